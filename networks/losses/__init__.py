"""Losses, one a file. The names below are public: configurations refer to them as ``networks.losses.NAME``."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "alpha_loss": ["AlphaLoss"],
        "background_channel": ["BackgroundChannelLoss"],
        "binary_cross_entropy": ["BinaryCrossEntropyLoss"],
        "catalogue": ["NamedLoss"],
        "centerline_dice": ["CenterlineDiceLoss"],
        "class_weighted": ["ClassWeightedLoss"],
        "cross_entropy": ["CrossEntropyLoss"],
        "data_parameter": ["DataParameterLoss"],
        "dual_task_consistency": ["DualTaskConsistencyLoss"],
        "exponential_logarithmic": ["ExponentialLogarithmicLoss"],
        "exponential_logarithmic_dice": ["ExponentialLogarithmicDiceLoss"],
        "focal": ["FocalLoss"],
        "foreground_dice": ["ForegroundDiceLoss"],
        "level_set": ["LevelSetLoss"],
        "level_set_divergence": ["LevelSetDivergenceLoss"],
        "log_cosh_dice": ["LogCoshDiceLoss"],
        "mask": ["MaskLoss"],
        "presence": ["PresenceLoss"],
        "regression": ["MeanAbsoluteErrorLoss", "MeanSquaredErrorLoss", "RootMeanSquaredErrorLoss"],
        "skeleton_recall": ["SkeletonRecallLoss"],
        "summed": ["SummedLoss"],
        "teacher_consistency": ["TeacherConsistencyLoss"],
        "temperature": ["TemperatureLoss"],
        "uncertainty_weighted_sum": ["UncertaintyWeightedSum"],
        "weighted_sum": ["WeightedSum"],
    },
)

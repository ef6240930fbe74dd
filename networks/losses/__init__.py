"""Losses, one a file. The names below are public: configurations refer to them as ``networks.losses.NAME``."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "class_weighted": ["ClassWeightedLoss"],
        "data_parameter": ["DataParameterLoss"],
        "dual_task_consistency": ["DualTaskConsistencyLoss"],
        "level_set": ["LevelSetLoss"],
        "level_set_divergence": ["LevelSetDivergenceLoss"],
        "mask": ["MaskLoss"],
        "teacher_consistency": ["TeacherConsistencyLoss"],
        "temperature": ["TemperatureLoss"],
    },
)

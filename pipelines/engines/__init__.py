"""The loops: trainers on Ignite and MONAI engines, and what decides their losses."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "data_parameter_trainer": ["DataParameterTrainer"],
        "dual_task_trainer": ["DualTaskTrainer"],
        "multi_task_trainer": ["MultiTaskTrainer"],
        "volume_evaluator": ["VolumeEvaluator"],
    },
)

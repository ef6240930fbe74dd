"""Networks. The names below are public: configurations refer to them as ``networks.nets.NAME``."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "dilated_unet_plus_plus": ["DilatedUNetPlusPlus"],
        "dropout_average": ["DropoutAverage"],
        "dual_task_predictor": ["DualTaskPredictor"],
        "dual_task_vnet": ["DualTaskOutput", "DualTaskVNet"],
        "flip_average": ["FlipAverage"],
        "lesion_detector": ["LesionDetector"],
        "lraspp_mobilenet": ["LRASPPMobileNet"],
        "multi_task_predictor": ["MultiTaskPredictor"],
        "multi_task_unet": ["MultiTaskUNet"],
        "slice_predictor": ["SlicePredictor"],
        "softmax_predictor": ["SoftmaxPredictor"],
        "upscaled_network": ["UpscaledNetwork"],
    },
)

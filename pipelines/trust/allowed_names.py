"""The names that a foreign configuration may use. What is not listed here is refused.

A name is *free* when nothing that it can be called with, from such a configuration, does harm: it writes no file and
reads none but lists of names, loads no module by name, downloads nothing, and unpickles nothing. What does so for some
arguments is *checked*: :mod:`pipelines.trust.components` and :mod:`pipelines.trust.expressions` look at how it is
called.
"""

from __future__ import annotations

import re

MODULES = frozenset(
    (
        *("glob", "itertools", "json", "logging", "math", "numpy", "os", "os.path", "pathlib", "random", "re", "sys"),
        *("torch", "torch.nn", "torch.nn.functional", "torch.optim", "monai", "monai.data", "monai.engines"),
        *("monai.handlers", "monai.inferers", "monai.losses", "monai.metrics", "monai.networks"),
        *("monai.networks.layers", "monai.networks.nets", "monai.transforms", "monai.utils"),
    )
)
# What MONAI gives every expression.
GLOBALS = {"monai": "monai", "torch": "torch", "np": "numpy", "numpy": "numpy"}

BUILTINS = frozenset(
    (
        *("abs", "all", "any", "bool", "dict", "divmod", "enumerate", "filter", "float", "frozenset", "int"),
        *("isinstance", "len", "list", "map", "max", "min", "range", "reversed", "round", "set", "slice", "sorted"),
        *("str", "sum", "tuple", "zip"),
    )
)

# Attributes of anything that is no module: tensors, arrays, strings, dictionaries, networks, transforms.
ATTRIBUTES = frozenset(
    (
        *("T", "abs", "affine", "all", "amax", "amin", "any", "argmax", "argmin", "array", "astype", "bool", "ceil"),
        *("chunk", "clamp", "clip", "clone", "contiguous", "count", "cpu", "cuda", "detach", "device", "dim", "double"),
        *("dtype", "endswith", "eval", "exp", "expand", "flatten", "flip", "float", "floor", "get", "half", "index"),
        *("int", "item", "items", "join", "keys", "log", "long", "lower", "lstrip", "max", "mean", "median", "meta"),
        *("min", "ndim", "new_zeros", "numel", "numpy", "parameters", "permute", "pixdim", "prod", "ravel", "repeat"),
        *("reshape", "round", "rsplit", "rstrip", "sdf", "shape", "sigmoid", "size", "softmax", "split", "sqrt"),
        *("squeeze", "startswith", "state_dict", "std", "strip", "sum", "to", "tolist", "train", "transforms"),
        *("transpose", "unsqueeze", "upper", "values", "var", "view"),
    )
)
# Of what runs, which inference never parses.
WORKFLOW_ATTRIBUTES = ATTRIBUTES | {"run", "load_state_dict", "optimizer", "step"}


def _words(text: str) -> list[str]:
    return text.split()


_DTYPES = _words("bool float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64")
_TORCH = _words("""
    abs amax amin argmax argmin as_tensor bfloat16 cat ceil channels_last channels_last_3d clamp clip contiguous_format
    cuda.device_count cuda.is_available device double exp eye finfo flip float floor from_numpy full half iinfo inf int
    is_tensor isfinite isnan linspace log logical_and logical_not logical_or long manual_seed max maximum mean median
    min minimum nan nan_to_num norm ones ones_like permute pi pow prod preserve_format quantile relu round sigmoid
    softmax sort sqrt squeeze stack std strided sum tanh tensor topk unique unsqueeze var where zeros zeros_like
    nn.functional.avg_pool2d nn.functional.avg_pool3d nn.functional.interpolate nn.functional.log_softmax
    nn.functional.max_pool2d nn.functional.max_pool3d nn.functional.normalize nn.functional.one_hot nn.functional.pad
    nn.functional.relu nn.functional.sigmoid nn.functional.softmax set_float32_matmul_precision
""")
_NUMPY = _words("""
    abs all any arange argmax argmin array asarray bool_ ceil clip concatenate cumsum exp expand_dims eye floor full inf
    isfinite isnan linspace log logical_and logical_not logical_or max maximum mean median min minimum nan newaxis ones
    ones_like percentile pi prod quantile round sqrt squeeze stack std sum transpose unique where zeros zeros_like
""")
_MATH = _words("ceil cos e exp floor inf log log10 log2 nan pi prod radians sin sqrt tan")

# Each also as ...d, ...D and ...Dict.
TRANSFORMS = _words("""
    Activations AddCoordinateChannels AdjustContrast Affine AsChannelLast AsDiscrete BorderPad BoundingRect CastToType
    CenterScaleCrop CenterSpatialCrop ClassesToIndices ClipIntensityPercentiles ConvertToMultiChannelBasedOnBratsClasses
    Crop CropForeground CutOut DataStats DistanceTransformEDT DivisiblePad EnsureChannelFirst EnsureType FgBgToIndices
    FillHoles Flip ForegroundMask GaussianSharpen GaussianSmooth GibbsNoise GridDistortion GridPatch GridSplit
    HistogramNormalize Identity IntensityStats Invert KeepLargestConnectedComponent LabelFilter LabelToContour
    LabelToMask Lambda MapLabelValue MaskIntensity MeanEnsemble MedianSmooth NormalizeIntensity Orientation Pad ProbNMS
    RandAdjustContrast RandAffine RandAxisFlip RandBiasField RandCoarseDropout RandCoarseShuffle RandCropByLabelClasses
    RandCropByPosNegLabel RandFlip RandGaussianNoise RandGaussianSharpen RandGaussianSmooth RandGibbsNoise
    RandGridDistortion RandHistogramShift RandLambda RandRicianNoise RandRotate RandRotate90 RandScaleCrop
    RandScaleIntensity RandScaleIntensityFixedMean RandShiftIntensity RandSimulateLowResolution RandSpatialCrop
    RandSpatialCropSamples RandStdShiftIntensity RandWeightedCrop RandZoom Rand2DElastic Rand3DElastic
    RemoveRepeatedChannel RemoveSmallObjects RepeatChannel ResampleToMatch Resize ResizeWithPadOrCrop Rotate Rotate90
    SavitzkyGolaySmooth ScaleIntensity ScaleIntensityRange ScaleIntensityRangePercentiles ShiftIntensity SobelGradients
    Spacing SpatialCrop SpatialPad SpatialResample SplitDim SqueezeDim StdShiftIntensity ThresholdIntensity ToDevice
    ToNumpy ToTensor Transpose VoteEnsemble Zoom
""")
_WITHOUT_DICTIONARIES = _words("Compose OneOf RandomOrder Resample ScaleIntensityFixedMean SomeOf")
_FOR_DICTIONARIES = _words("ConcatItems CopyItems DeleteItems FlattenSubKeys FromMetaTensor SelectItems ToMetaTensor")
_NETS = _words("""
    AttentionUnet AutoEncoder BasicUNet BasicUNetPlusPlus BasicUnet BasicUnetPlusPlus DynUNet DynUnet HighResNet MedNeXt
    MedNeXtB MedNeXtL MedNeXtM MedNeXtS RegUNet SegResNet SegResNetDS SegResNetDS2 SegResNetVAE SwinUNETR UNETR UNet
    Unet VNet VarAutoEncoder ViT
""")
_INFERERS = _words("SimpleInferer SliceInferer SlidingWindowInferer SlidingWindowInfererAdapt")
# What a run of the whole bundle is made of; inference parses none of it.
_WORKFLOW = {
    "data": "CacheDataset DataLoader Dataset SmartCacheDataset ThreadDataLoader decollate_batch list_data_collate "
    "load_decathlon_datalist pad_list_data_collate",
    "engines": "EnsembleEvaluator SupervisedEvaluator SupervisedTrainer default_prepare_batch",
    "handlers": "ConfusionMatrix DecollateBatch GarbageCollector HausdorffDistance IgniteMetricHandler "
    "LrScheduleHandler MeanDice MeanIoUHandler PostProcessing StatsHandler SurfaceDistance ValidationHandler "
    "from_engine ignore_data",
    "losses": "DiceCELoss DiceFocalLoss DiceLoss FocalLoss GeneralizedDiceFocalLoss GeneralizedDiceLoss TverskyLoss",
    "metrics": "ConfusionMatrixMetric CumulativeAverage DiceHelper DiceMetric GeneralizedDiceScore "
    "HausdorffDistanceMetric LossMetric MAEMetric MSEMetric MeanIoU RMSEMetric SurfaceDiceMetric SurfaceDistanceMetric",
    "utils": "ensure_tuple ensure_tuple_rep set_determinism",
}
_VARIANTS = ("", "d", "D", "Dict")


def _monai() -> dict[str, str]:
    """Give the dotted path of each of MONAI's free classes and functions by its last name."""
    names = {f"{name}{variant}": "transforms" for name in TRANSFORMS for variant in _VARIANTS}
    names |= {f"{name}{variant}": "transforms" for name in _FOR_DICTIONARIES for variant in _VARIANTS[1:]}
    names |= dict.fromkeys(_WITHOUT_DICTIONARIES, "transforms")
    names |= dict.fromkeys(_NETS, "networks.nets") | dict.fromkeys(_INFERERS, "inferers")
    return {name: f"monai.{package}.{name}" for name, package in names.items()}


# By last name, as MONAI finds a `_target_` that has no dots.
INFERENCE_NAMES = _monai()
WORKFLOW_NAMES = {
    name: f"monai.{package}.{name}" for package, names in _WORKFLOW.items() for name in names.split()
}  # fmt: skip
CHECKED_NAMES = {
    name: f"monai.{package}.{name}"
    for package, names in {
        "transforms": [f"{name}{variant}" for name in ("LoadImage", "SaveImage") for variant in _VARIANTS],
        "handlers": ["CheckpointLoader"],
        "networks.nets": ["FlexibleUNet"],
    }.items()
    for name in names
}
CHECKED = frozenset((*CHECKED_NAMES.values(), "torch.jit.load", "torch.load"))
READERS = frozenset(
    (
        *("ITKReader", "NibabelReader", "NrrdReader", "PILReader", "PydicomReader", "itkreader", "nibabelreader"),
        *("nrrdreader", "pilreader", "pydicomreader", "transforms.io.volume_reader.VolumeReader"),
    )
)
WRITERS = frozenset(("ITKWriter", "NibabelWriter", "PILWriter"))

_FREE = frozenset(
    (
        *INFERENCE_NAMES.values(),
        *WORKFLOW_NAMES.values(),
        *(f"torch.{name}" for name in (*_TORCH, *_DTYPES)),
        *(f"numpy.{name}" for name in (*_NUMPY, *_DTYPES)),
        *(f"math.{name}" for name in _MATH),
        *(f"os.path.{name}" for name in ("basename", "dirname", "exists", "isdir", "isfile", "join")),
        *("os.listdir", "os.getcwd", "glob.glob", "torch.backends.cudnn.is_available"),
        "monai.networks.layers.SkipConnection",
    )
)
# Layers and optimisers; our own networks, losses and transforms, which these packages give as classes and nothing else.
_FREE_CLASSES = re.compile(r"torch\.nn\.[A-Z]\w*|torch\.optim\.[A-Z]\w*|torch\.optim\.lr_scheduler\.[A-Z]\w*")
OURS = re.compile(r"(networks\.(nets|losses)|transforms)\.[A-Z]\w*")
_LONG_MONAI = re.compile(
    r"(monai\.transforms|monai\.networks\.nets|monai\.inferers)(?:\.[a-z]+(?:_[a-z]+)*){1,2}\.(\w+)"
)


def is_free(dotted: str) -> bool:
    """Tell whether a dotted name may be called with anything."""
    return dotted in _FREE or _FREE_CLASSES.fullmatch(dotted) is not None


def is_for_inference(dotted: str) -> bool:
    """Tell whether a component of that name may be part of what inference makes: transforms, networks, inferers."""
    return (
        dotted in INFERENCE_NAMES.values()
        or OURS.fullmatch(dotted) is not None
        or re.fullmatch(r"torch\.nn\.[A-Z]\w*", dotted) is not None
    )


def full_name(target: str) -> str:
    """Give the dotted path that a ``_target_`` means, in the short form that the lists of this module have.

    MONAI looks a name without dots up among its own classes and functions; ``monai.transforms.spatial.array.Flip``
    is ``monai.transforms.Flip``.
    """
    long = _LONG_MONAI.fullmatch(target)
    if long:
        return f"{long.group(1)}.{long.group(2)}"
    for names in (INFERENCE_NAMES, WORKFLOW_NAMES, CHECKED_NAMES):
        if target in names:
            return names[target]
    return target

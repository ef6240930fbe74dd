"""What a run's configuration says of its network and training, in words, and the papers to cite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from networks.blocks.task_heads import CLASSIFICATION
from pipelines.prediction.class_predictor import SLICES, SOFTMAX, head_of

DUAL_TASK = "Luo et al., Semi-supervised medical image segmentation through dual-task consistency, AAAI 2021"
V_NET = "Milletari et al., V-Net: fully convolutional neural networks for volumetric segmentation, 3DV 2016"
U_NET = "Ronneberger et al., U-Net: convolutional networks for biomedical image segmentation, MICCAI 2015"
U_NET_PLUS_PLUS = (
    "Zhou et al., UNet++: redesigning skip connections to exploit multiscale features in image segmentation, IEEE TMI "
    "2020"
)
D_LINK_NET = (
    "Zhou et al., D-LinkNet: LinkNet with pretrained encoder and dilated convolution for high resolution satellite "
    "imagery road extraction, CVPR workshops 2018"
)
EXPONENTIAL_LOGARITHMIC = (
    "Wong et al., 3D segmentation with exponential logarithmic loss for highly unbalanced object sizes, MICCAI 2018"
)
ATTENTION_U_NET = "Oktay et al., Attention U-Net: learning where to look for the pancreas, MIDL 2018"
MOBILENET_V3 = "Howard et al., Searching for MobileNetV3, ICCV 2019"
MOBILENET_V2 = "Sandler et al., MobileNetV2: inverted residuals and linear bottlenecks, CVPR 2018"
PYRAMID = "Chen et al., Rethinking atrous convolution for semantic image segmentation, 2017"
DATA_PARAMETERS = (
    "Weihsbach et al., DeepSTAPLE: learning to predict multimodal registration quality for unsupervised domain "
    "adaptation, WBIR 2022"
)
SAXENA = (
    "Saxena et al., Data parameters: a new family of parameters for learning a differentiable curriculum, NeurIPS 2019"
)
_WEIHSBACH = "(Weihsbach et al., WBIR 2022)"
_NOISY_WORDS = {
    "out-of-line": f"on noisy labels, with one data parameter for each, learnt beside the network {_WEIHSBACH}",
    "in-line": f"on noisy labels, each weighted by a data parameter {_WEIHSBACH}",
    "temperature": "on noisy labels, with a temperature for each (Saxena et al., NeurIPS 2019)",
    "none": "on noisy labels, all of which count alike",
}
KENDALL = (
    "Kendall et al., Multi-task learning using uncertainty to weigh losses for scene geometry and semantics, CVPR 2018"
)
_TASK_WORDS = {
    "UncertaintyWeightedSum": "weighted by uncertainties that are learnt (Kendall et al., CVPR 2018)",
    "AlphaLoss": "weighted by the ratio of their losses in the epoch before",
    "WeightedSum": "with fixed weights",
}
_MOBILE_WORDS = {
    "mobilenet_v3_large": "MobileNetV3-Large with the Lite R-ASPP head",
    "published_3d": "DeepSTAPLE's light mobile network (atrous spatial pyramid pooling, Lite R-ASPP head)",
}
_MOBILE_REFERENCES = {
    "mobilenet_v3_large": (MOBILENET_V3,),
    "published_3d": (MOBILENET_V2, PYRAMID, MOBILENET_V3, DATA_PARAMETERS),
}


def network_words(config: Mapping[str, Any]) -> str:
    """Say in half a sentence what a run's network is."""
    if _is_dual(config):
        return "a V-Net with two heads, mask and signed distance map"
    if is_multi_task(config):
        return _multi_task_words(config)
    if goes_by_slices(config):
        return _slice_words(config)
    if _network_name(config) == "LRASPPMobileNet":
        words = f"{_MOBILE_WORDS.get(_mobile_variant(config), 'LRASPPMobileNet')} in {config['spatial_dims']}D"
        factor = _enlargement(config)
        return words if factor == 1 else f"{words}, on images enlarged {factor:g} times"
    name = _network_name(config)
    return f"a network of the class `{name}`" if name else "a network of its own making"


def is_multi_task(config: Mapping[str, Any]) -> bool:
    """Whether a run's network is a U-Net with named heads."""
    return _network_name(config) == "MultiTaskUNet"


def goes_by_slices(config: Mapping[str, Any]) -> bool:
    """Whether a run's network looks at slices, each with its neighbours."""
    return head_of(config) == SLICES


def tells_presence(config: Mapping[str, Any]) -> bool:
    """Whether a network of slices tells what each of them holds."""
    return goes_by_slices(config) and bool(config.get("detects", False))


def _slice_words(config: Mapping[str, Any]) -> str:
    kind = "U-Net++" if _of_network(config, "nested", True) else "U-Net"
    dilated = "dilated " if _of_network(config, "dilations", True) else ""
    count = config["neighbours"] if config["spatial_dims"] == 3 else 0
    seen = f" with {count} neighbour{'s' * (count > 1)} on either side" if count else ""
    return f"a {dilated}{kind} in 2D on slices{seen}"


def _of_network(config: Mapping[str, Any], option: str, default: Any) -> Any:
    """Look up an option of a run's network; what is not given is the class's own default."""
    return _value(config, _network(config).get(option, default))


def _multi_task_words(config: Mapping[str, Any]) -> str:
    network = _network(config)
    heads = _value(config, network.get("heads"))
    if not isinstance(heads, Mapping) or not heads:
        return f"a U-Net in {config['spatial_dims']}D"
    *others, last = heads
    told = f"heads {', '.join(others)} and {last}" if others else f"head {last}"
    kind = "an attention U-Net" if _value(config, network.get("attention", False)) else "a U-Net"
    words = f"{kind} in {config['spatial_dims']}D with the {told}"
    dense = [name for name, options in heads.items() if options.get("kind") != CLASSIFICATION]
    decoders = _value(config, network.get("decoders", "shared"))
    apart = decoders == "separate" or (isinstance(decoders, Mapping) and len(set(decoders.values())) > 1)
    return f"{words}, on several decoders" if apart and len(dense) > 1 else words


def training_words(config: Mapping[str, Any]) -> str:
    """Say how it was trained, by the loss that unlabelled scans had a part in, or what noisy labels were given."""
    if has_noisy_labels(config):
        return _NOISY_WORDS.get(str(config.get("mode")), _NOISY_WORDS["out-of-line"])
    if len(_task_losses(config)) > 1:
        tasks = " and ".join(_task_losses(config))
        return f"from labelled images alone, on the tasks {tasks}, {_TASK_WORDS.get(_combination(config), 'added up')}"
    if goes_by_slices(config):
        told = "masks and what each slice holds" if tells_presence(config) else "masks"
        return f"from labelled images alone, slice by slice, on {told}"
    consistency = config.get("consistency")
    if not consistency:
        return "from labelled scans alone"
    if str(consistency.get("_target_", "")).endswith("TeacherAgrees"):
        return "with a mean teacher (Tarvainen and Valpola, NeurIPS 2017)"
    return "by dual-task consistency (Luo et al., AAAI 2021)"


def description(config: Mapping[str, Any]) -> str:
    """Name the network in a few words, as a sentence begins."""
    if _is_dual(config):
        return "Dual-task network"
    return capitalised(network_words(config))


def capitalised(words: str) -> str:
    """Give words as a sentence begins, the rest of them as it is."""
    return words[:1].upper() + words[1:]


def references(config: Mapping[str, Any]) -> list[str]:
    """Give the papers of a run's network and training."""
    if _is_dual(config):
        found = [DUAL_TASK, V_NET]
    elif goes_by_slices(config):
        found = _slice_references(config)
    elif is_multi_task(config):
        found = [U_NET, ATTENTION_U_NET] if _value(config, _network(config).get("attention", False)) else [U_NET]
    elif _network_name(config) == "LRASPPMobileNet":
        found = list(_MOBILE_REFERENCES.get(_mobile_variant(config), ()))
    else:
        found = []
    if len(_task_losses(config)) > 1 and _combination(config) == "UncertaintyWeightedSum":
        found.append(KENDALL)
    if has_noisy_labels(config) and config.get("mode") != "none":
        found.insert(0, SAXENA if config.get("mode") == "temperature" else DATA_PARAMETERS)
    return list(dict.fromkeys(found))


def _slice_references(config: Mapping[str, Any]) -> list[str]:
    found = [U_NET_PLUS_PLUS] if _of_network(config, "nested", True) else [U_NET]
    if _of_network(config, "dilations", True):
        found.append(D_LINK_NET)
    loss = _value(config, config.get("overlap_loss"))
    if isinstance(loss, Mapping) and _class_of(loss).startswith("ExponentialLogarithmic"):
        found.append(EXPONENTIAL_LOGARITHMIC)
    return found


def batch_words(config: Mapping[str, Any]) -> str:
    """Say what is in a batch."""
    if goes_by_slices(config):
        size = config.get("batch_size", "?")
        return "slices" if str(size).startswith("$") else f"{size} slices"
    if "labeled_per_batch" in config:
        return f"{config['labeled_per_batch']} labelled, {config.get('unlabeled_per_batch', '?')} unlabelled windows"
    return f"{config.get('batch_size', '?')} windows"


def has_noisy_labels(config: Mapping[str, Any]) -> bool:
    """Whether a run was made on several labels of each case, by the trainer that learns how far to trust each."""
    train = config.get("train")
    trainer = train.get("trainer") if isinstance(train, Mapping) else None
    return isinstance(trainer, Mapping) and str(trainer.get("_target_", "")).endswith("DataParameterTrainer")


def _task_losses(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the losses of a multi-task network by task; empty for any other network."""
    losses = config.get("losses")
    return losses if is_multi_task(config) and isinstance(losses, Mapping) else {}


def _combination(config: Mapping[str, Any]) -> str:
    """Give the class that adds up the losses of several tasks."""
    definition = config.get("combination_def")
    return _class_of(definition) if isinstance(definition, Mapping) else ""


def _is_dual(config: Mapping[str, Any]) -> bool:
    return head_of(config) not in (SOFTMAX, SLICES) and not is_multi_task(config)


def _network_name(config: Mapping[str, Any]) -> str:
    """Give the last name of the network's class; empty where an expression makes it."""
    return _class_of(_network(config))


def _mobile_variant(config: Mapping[str, Any]) -> str:
    """Give the variant of an LRASPPMobileNet; what is not given is the class's own default."""
    return str(_value(config, _network(config).get("variant", "mobilenet_v3_large")))


def _network(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the definition of a run's network, within what enlarges its images; empty where an expression makes it."""
    network = config.get("network_def")
    if isinstance(network, Mapping) and _class_of(network) == "UpscaledNetwork":
        network = network.get("network")
    return network if isinstance(network, Mapping) else {}


def _enlargement(config: Mapping[str, Any]) -> float:
    """Give how many times as large as they are a run's network sees its images."""
    network = config["network_def"]
    return float(_value(config, network.get("factor", 1))) if _class_of(network) == "UpscaledNetwork" else 1.0


def _class_of(definition: Mapping[str, Any]) -> str:
    return str(definition.get("_target_", "")).rpartition(".")[2]


def _value(config: Mapping[str, Any], value: Any) -> Any:
    """Look up what a reference names; anything else is as it is."""
    return config.get(value[1:], value) if isinstance(value, str) and value.startswith("@") else value

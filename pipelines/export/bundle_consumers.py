"""What ``monai.bundle.load``, MONAI Label and the Deploy App SDK ask of a bundle, each rule learnt from a failure."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.export.bundle_stages import SEPARATOR, find_part, references_of, walk

# Under these names MONAI's transforms keep what they know of a file, as mappings.
OWN_KEYS = re.compile(r"(?:image|label)_(?:meta_dict|transforms|orientation)")
TAKEN = re.compile(r"(?:image|label)_\w+")
KEY_ARGUMENTS = ("keys", "names", "output_keys", "orig_keys", "new_keys", "select_keys")
PARTS = ("preprocessing", "postprocessing", "inferer", "device")
OF_A_DATA_SET = ("dataset", "dataset_dir", "datalist", "dataloader", "evaluator")


def label_faults(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Find what breaks under MONAI Label.

    MONAI's ``Spacingd`` takes every entry ``image_...`` of a case for metadata, and MONAI Label adds ``image_path``.

    Args:
        config: the inference configuration, merged.

    Returns:
        Pairs of an id and what is wrong there.
    """
    faults = []
    for identity, value in walk(config):
        if isinstance(value, str) and value.startswith("$"):
            taken = [name for name in _keys_of_mappings(value[1:]) if _is_taken(name)]
        elif isinstance(value, dict) and isinstance(value.get("_target_"), str):
            deletes = _class_of(value) == "DeleteItemsd"
            taken = [] if deletes else [name for name in _keys_of(value) if _is_taken(name)]
        else:
            continue
        reason = "is a data key that MONAI's Spacingd takes for metadata; call it case_id or the like"
        faults += [(identity, f"{name} {reason}") for name in taken]
    return [*faults, *_image_path(config)]


def load_faults(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Find what keeps ``monai.bundle.load`` from making the network.

    It gives the network ``models/model.pt`` itself, and tells the configuration nothing of where the bundle is.

    Args:
        config: the inference configuration, merged.

    Returns:
        Pairs of an id and what is wrong there.
    """
    if "bundle_root" not in _reached(config, "network_def"):
        return []
    reason = "depends on @bundle_root, so monai.bundle.load makes the network from within the bundle's folder alone"
    return [("network_def", reason)]


def deploy_faults(config: Mapping[str, Any], metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Find what breaks under the Deploy App SDK's ``MonaiBundleInferenceOperator``.

    Args:
        config: the inference configuration, merged.
        metadata: content of ``metadata.json``.

    Returns:
        Pairs of an id and what is wrong there; ids in the metadata start with ``_meta_``.
    """
    faults = [(name, "is missing (the MONAI Deploy App SDK asks for it)") for name in PARTS if name not in config]
    kind = find_part(metadata, f"network_data_format{SEPARATOR}outputs{SEPARATOR}pred{SEPARATOR}type")[1]
    if kind is not None and kind != "image":
        place = f"_meta_{SEPARATOR}network_data_format{SEPARATOR}outputs{SEPARATOR}pred{SEPARATOR}type"
        faults.append((place, f"is {kind!r}; the MONAI Deploy App SDK gives a mask for 'image' alone"))
    faults += _channel_made_by_loader(config)
    faults += _several_channels(config)
    for part in ("preprocessing", "postprocessing", "inferer"):
        for name in sorted(_reached(config, part) & set(OF_A_DATA_SET)):
            faults.append((part, f"depends on @{name}, which is not there when a single image is given"))
    return faults


def _transforms(config: Mapping[str, Any], part: str) -> list[tuple[str, dict[str, Any]]]:
    found, place = find_part(config, f"{part}{SEPARATOR}transforms")
    if not found or not isinstance(place, list):
        return []
    return [
        (f"{part}{SEPARATOR}transforms{SEPARATOR}{i}", item) for i, item in enumerate(place) if isinstance(item, dict)
    ]


def _class_of(component: Mapping[str, Any]) -> str:
    return str(component.get("_target_", "")).rpartition(".")[2]


def _keys_of(component: Mapping[str, Any]) -> Iterator[str]:
    for argument in KEY_ARGUMENTS:
        value = component.get(argument)
        yield from (item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str))


def _is_taken(name: str) -> bool:
    return TAKEN.fullmatch(name) is not None and OWN_KEYS.fullmatch(name) is None


def _keys_of_mappings(code: str) -> Iterator[str]:
    try:
        tree = ast.parse(re.sub(r"[@%](?:\w|::|#)*", "None", code).strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            yield from (key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str))


def _image_path(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    deleted = False
    for identity, transform in _transforms(config, "preprocessing"):
        if _class_of(transform) == "DeleteItemsd":
            deleted |= "image_path" in _keys_of(transform)
        if _class_of(transform) == "Spacingd" and not deleted:
            yield identity, "comes without a DeleteItemsd of image_path before it, so it fails under MONAI Label"
            return


def _channel_made_by_loader(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    transforms = _transforms(config, "preprocessing")
    if any(_class_of(transform).startswith("EnsureChannelFirst") for _, transform in transforms):
        return
    for identity, transform in transforms:
        if _class_of(transform).startswith("LoadImage"):
            yield (
                identity,
                "is left out by the MONAI Deploy App SDK; an EnsureChannelFirstd after it must make the channel",
            )


def _several_channels(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Follow the transforms that change the number of channels; what counts is the last one."""
    transforms = _transforms(config, "postprocessing")
    if not transforms:
        return
    single = None
    for _, transform in transforms:
        name = _class_of(transform)
        if name.startswith("AsDiscrete"):
            if transform.get("argmax") is True or transform.get("threshold") is not None:
                single = True
            if transform.get("to_onehot") not in (None, False):
                single = False
        elif name.startswith("KeepLargestConnectedComponent") and transform.get("is_onehot") is True:
            single = False
    if single is not True:
        yield "postprocessing", "does not end with one channel of labels (AsDiscreted with argmax, or a threshold)"


def _reached(config: Mapping[str, Any], part: str) -> set[str]:
    """Give the top-level ids that a part refers to, itself or through others."""
    seen: set[str] = set()
    waiting = [part]
    while waiting:
        place = waiting.pop()
        for identity, value in walk(find_part(config, place)[1], place):
            for name in references_of(value, identity):
                if name not in seen:
                    seen.add(name)
                    waiting.append(name)
    return {name.partition(SEPARATOR)[0] for name in seen}

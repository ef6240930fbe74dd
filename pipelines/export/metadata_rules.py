"""The rules for a bundle's ``metadata.json``, without a network: those of MONAI's schema, and the model zoo's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

TEXTS = (
    "schema",
    "version",
    "monai_version",
    "pytorch_version",
    "numpy_version",
    "task",
    "description",
    "authors",
    "copyright",
)
OBJECTS = ("required_packages_version", "network_data_format")
OPTIONAL = {"changelog": dict, "eval_metrics": dict, "supported_apps": dict, "references": list, "name": str}
TENSOR_KEYS: dict[str, type | tuple[type, ...]] = {
    "type": str,
    "format": str,
    "num_channels": int,
    "spatial_shape": list,
    "dtype": str,
    "value_range": list,
}
TENSOR_OPTIONAL = {"modality": str, "is_patch_data": bool, "channel_def": dict}
FORMATS = (
    *("magnitude", "hounsfield", "kspace", "raw", "labels", "classes", "segmentation", "points"),
    *("normals", "indices", "sequence", "latent", "gradient"),
)
_VERSION = re.compile(r"\d+\.\d+\.\d+([.+-]?[0-9A-Za-z.-]+)?")
_SIDE = re.compile(r"\*|\d+\*n|\d+\*\*p|\d+\*\*p\*n|n|p")
_DATA_FORMAT = re.compile(r"[_a-zA-Z0-9]+_data_format")
_NAMES = {str: "a text", int: "a whole number", list: "a list", dict: "an object", bool: "true or false"}


def metadata_faults(metadata: Any) -> list[str]:
    """Find everything that MONAI's schema of 2024-07-25 or the model zoo's checks would refuse.

    Args:
        metadata: content of ``metadata.json``.

    Returns:
        A line for each fault, with the place of what is wrong; empty when there is none.
    """
    if not isinstance(metadata, Mapping):
        return ["metadata.json must hold an object"]
    faults = [*_keys(metadata, dict.fromkeys(TEXTS, str) | dict.fromkeys(OBJECTS, dict), OPTIONAL, "")]
    faults += _versions(metadata)
    for name, value in metadata.items():
        if _DATA_FORMAT.fullmatch(str(name)) and isinstance(value, Mapping):
            faults += _data_format(value, str(name))
    network = metadata.get("network_data_format")
    if isinstance(network, Mapping):
        for group, tensor in (("inputs", "image"), ("outputs", "pred")):
            # MONAI's own tools look for these names.
            if isinstance(network.get(group), Mapping) and tensor not in network[group]:
                faults.append(f"network_data_format.{group} must name one {tensor}")
    return faults


def _keys(
    node: Mapping[str, Any],
    required: Mapping[str, type | tuple[type, ...]],
    optional: Mapping[str, type],
    place: str,
) -> Iterator[str]:
    for name in required:
        if name not in node:
            yield f"{place}{name} is missing"
    for name, kind in {**required, **optional}.items():
        if name in node and not _is(node[name], kind):
            yield f"{place}{name} must be {_NAMES[kind]}, got {node[name]!r}"  # type: ignore[index]


def _is(value: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def _versions(metadata: Mapping[str, Any]) -> Iterator[str]:
    for name in ("version", "monai_version", "pytorch_version", "numpy_version"):
        value = metadata.get(name)
        if isinstance(value, str) and not _VERSION.fullmatch(value):
            yield f"{name} must be like 1.2.3, got {value!r}"
    changelog, version = metadata.get("changelog"), metadata.get("version")
    if not isinstance(changelog, Mapping):
        yield "changelog is missing"
    elif version not in changelog:
        yield f"changelog has no entry for version {version}"
    packages = metadata.get("required_packages_version")
    if isinstance(packages, Mapping):
        for name, value in packages.items():
            if not isinstance(value, str):
                yield f"required_packages_version.{name} must be a text, got {value!r}"
    if "optional_packages_version" in metadata:
        yield "optional_packages_version is the old name of required_packages_version"
    references = metadata.get("references")
    if isinstance(references, list) and not all(isinstance(item, str) for item in references):
        yield "references must be a list of texts"


def _data_format(node: Mapping[str, Any], place: str) -> Iterator[str]:
    yield from _keys(node, {"inputs": dict, "outputs": dict}, {"post_processed_outputs": dict}, f"{place}.")
    for group in ("inputs", "outputs", "post_processed_outputs"):
        tensors = node.get(group)
        if not isinstance(tensors, Mapping):
            continue
        for name, tensor in tensors.items():
            if isinstance(tensor, Mapping):
                yield from _tensor(tensor, f"{place}.{group}.{name}.")
            elif not isinstance(tensor, str | int | float | bool):
                yield f"{place}.{group}.{name} must be an object, number, text or truth value"


def _tensor(tensor: Mapping[str, Any], place: str) -> Iterator[str]:
    yield from _keys(tensor, TENSOR_KEYS, TENSOR_OPTIONAL, place)
    if isinstance(tensor.get("format"), str) and tensor["format"] not in FORMATS:
        yield f"{place}format must be one of {', '.join(FORMATS)}, got {tensor['format']!r}"
    channels: Any = tensor.get("num_channels")
    if _is(channels, int) and channels < 1:
        yield f"{place}num_channels must be at least 1, got {channels}"
    shape = tensor.get("spatial_shape")
    for side in shape if isinstance(shape, list) else ():
        if not ((_is(side, int) and side > 0) or (isinstance(side, str) and _SIDE.fullmatch(side))):
            yield f"{place}spatial_shape holds {side!r}; a size, '*', '16*n' or '2**p' is meant"
    limits = tensor.get("value_range")
    for limit in limits if isinstance(limits, list) else ():
        if isinstance(limit, bool) or not isinstance(limit, int | float):
            yield f"{place}value_range holds {limit!r}, which is no number"
    named = tensor.get("channel_def")
    if isinstance(named, Mapping) and _is(channels, int) and sorted(named) != sorted(map(str, range(channels))):
        yield f"{place}channel_def must name the channels 0 to {channels - 1}, got {', '.join(map(str, named))}"

"""The properties that MONAI's workflows and its model zoo ask of a configuration: all that are wrong, at once.

MONAI's own ``check_properties`` stops at the first one that is missing, and needs the bundle's objects for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.export.bundle_stages import SEPARATOR, find_part, references_of, walk

INFERENCE_KEYS = ("bundle_root", "device", "network_def", "inferer")
TRAIN_KEYS = ("bundle_root", "device", "dataset_dir")
GROUP_KEYS = {
    "train": ("trainer", f"trainer{SEPARATOR}max_epochs", "dataset", f"dataset{SEPARATOR}data", "handlers"),
    "validate": ("evaluator", "handlers", "dataset", f"dataset{SEPARATOR}data"),
}
WRITERS = ("SaveImage", "SaveImaged", "CheckpointSaver", "MetricsSaver", "ClassificationSaver")


def property_faults(
    config: Mapping[str, Any], metadata: Mapping[str, Any], workflow_type: str
) -> list[tuple[str, str]]:
    """Find what MONAI's ``ConfigWorkflow`` and the zoo's rules would miss or refuse.

    What ``MetaProperties`` asks for is asked by :func:`pipelines.export.metadata_rules.metadata_faults`.

    Args:
        config: one stage, merged with what it is read on top of.
        metadata: content of ``metadata.json``, to which a configuration may refer as ``@_meta_::id``.
        workflow_type: ``train`` or ``inference`` (which stands for evaluation too).

    Returns:
        Pairs of an id and what is wrong with it; a missing id is told once.
    """
    from monai.bundle.properties import InferProperties, TrainProperties

    whole = {**config, "_meta_": dict(metadata)}
    own: Mapping[Any, Mapping[Any, Any]] = TrainProperties if workflow_type == "train" else InferProperties
    faults: dict[str, str] = {}
    for name, entry in own.items():
        if entry.get("required") and not find_part(whole, entry["id"])[0]:
            faults[entry["id"]] = f"is missing (MONAI's property {name})"
    for identity in _zoo_keys(config, workflow_type):
        if not find_part(config, identity)[0]:
            faults.setdefault(identity, f"is missing (the model zoo asks {workflow_type} configurations for it)")
    found = [*faults.items(), *_misnamed(whole, own), *_dangling(whole)]
    if not find_part(config, "run")[0]:
        found.append(("run", "is missing: `python -m monai.bundle run` would have nothing to do"))
    return found


def _zoo_keys(config: Mapping[str, Any], workflow_type: str) -> Iterator[str]:
    yield from TRAIN_KEYS if workflow_type == "train" else INFERENCE_KEYS
    if any(isinstance(node, dict) and node.get("_target_") in WRITERS for _, node in walk(config)):
        yield "output_dir"
    if workflow_type == "train":
        for group, names in GROUP_KEYS.items():
            if group in config:
                yield from (f"{group}{SEPARATOR}{name}" for name in names)


def _misnamed(config: Mapping[str, Any], properties: Mapping[Any, Mapping[Any, Any]]) -> Iterator[tuple[str, str]]:
    """Find what takes an optional property from elsewhere than its own id, where tools would not find it."""
    for name, entry in properties.items():
        place = entry.get("refer_id")
        if entry.get("required") or place is None:
            continue
        for identity, value in _uses(config, name, place):
            if isinstance(value, str) and value.startswith(("$", "%")):
                continue
            if value is not None and (not isinstance(value, str) or value.replace("#", SEPARATOR) != f"@{entry['id']}"):
                yield identity, f'must be exactly "@{entry["id"]}" or an expression, for MONAI\'s property {name}'


def _uses(config: Mapping[str, Any], name: str, place: str) -> Iterator[tuple[str, Any]]:
    if name not in ("evaluator", "val_interval"):
        yield place, find_part(config, place)[1]
        return
    # These two are arguments of a handler, wherever in the list of handlers it is.
    handlers = find_part(config, f"train{SEPARATOR}handlers")[1]
    for index, handler in enumerate(handlers if isinstance(handlers, list) else ()):
        if isinstance(handler, dict) and str(handler.get("_target_", "")).rpartition(".")[2] == "ValidationHandler":
            yield f"train{SEPARATOR}handlers{SEPARATOR}{index}{SEPARATOR}{place}", handler.get(place)


def _dangling(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for identity, value in walk(config):
        for target in dict.fromkeys(references_of(value, identity)):
            if not identity.startswith("_meta_") and not find_part(config, target)[0]:
                yield identity, f"refers to @{target}, which is not there"

"""Judging the components of a configuration: what ``_target_`` may be called, and with what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipelines.trust import allowed_names
from pipelines.trust.expressions import names_weights
from pipelines.trust.finding import shown

SPECIAL = frozenset(("_target_", "_disabled_", "_requires_", "_desc_", "_mode_"))
LONGEST_CHAIN = 10
_LOADING = (
    "keys reader dtype image_only ensure_channel_first simple_keys meta_keys meta_key_postfix overwriting "
    "prune_meta_pattern prune_meta_sep expanduser allow_missing_keys reverse_indexing affine_lps_to_ras channel_dim "
    "squeeze_non_spatial_dims swap_ij as_closest_canonical"
)
_SAVING = (
    "keys meta_keys meta_key_postfix output_dir output_postfix output_ext output_dtype resample mode padding_mode "
    "scale dtype allow_missing_keys align_corners squeeze_end_dims data_root_dir separate_folder print_log "
    "savepath_in_metadict output_format writer channel_dim"
)


def judge_component(node: Mapping[str, Any], look_up: Callable[[str], Any], *, for_inference: bool) -> str | None:
    """Judge a component by its name, its special keys and, where that matters, its arguments.

    Args:
        node: the configuration of the component, with a ``_target_``; what lies in it is judged elsewhere.
        look_up: gives what the configuration holds under an id, None when there is nothing.
        for_inference: whether inference makes it; else it belongs to the rest of a bundle.

    Returns:
        Why it is refused; None when it is allowed.
    """
    target = node["_target_"]
    if not isinstance(target, str) or not target.replace(".", "").replace("_", "").isalnum() or not target.isascii():
        return f"has the _target_ {shown(str(target))}, which is no plain dotted name"
    unknown = [name for name in node if isinstance(name, str) and name.startswith("_") and name not in SPECIAL]
    if unknown:
        return f"has the key {shown(unknown[0])}, which is not allowed"
    mode = node.get("_mode_", "default")
    if mode not in ("default", "callable"):
        return f"has the _mode_ {shown(str(mode))}, which is not allowed"
    dotted = allowed_names.full_name(target)
    if dotted in allowed_names.CHECKED:
        if mode != "default":
            return f"hands {target} on, which must be called here"
        return _judge_arguments(dotted, node, look_up, for_inference=for_inference)
    allowed = allowed_names.is_for_inference(dotted) or (not for_inference and allowed_names.is_free(dotted))
    return None if allowed else f"names {shown(target)}, which is not allowed"


def _judge_arguments(
    dotted: str, node: Mapping[str, Any], look_up: Callable[[str], Any], *, for_inference: bool
) -> str | None:
    name = dotted.rpartition(".")[2]
    given = set(node) - SPECIAL
    if name.startswith("LoadImage"):
        return _listed(name, given - set(_LOADING.split())) or _one_of(
            name, "reader", node, look_up, allowed_names.READERS
        )
    if name.startswith("SaveImage"):
        if for_inference:
            return f"{name} writes files, which inference does itself"
        return _listed(name, given - set(_SAVING.split())) or _one_of(
            name, "writer", node, look_up, allowed_names.WRITERS
        )
    if name == "FlexibleUNet":
        return None if node.get("pretrained", False) is False else f"{name} downloads weights with pretrained"
    if name == "CheckpointLoader":
        if for_inference:
            return f"{name} is a handler, and no part of inference"
        allowed = {"load_path", "load_dict", "name", "map_location", "strict", "strict_shape"}
        path = node.get("load_path")
    else:
        allowed = {"f", "map_location", *(("weights_only",) if dotted == "torch.load" else ())}
        path = node.get("f")
        if dotted == "torch.load" and node.get("weights_only") is not True:
            return "calls torch.load without weights_only: true"
    wrong = _listed(name, given - allowed)
    if wrong is None and not (isinstance(path, str) and names_weights(path, look_up)):
        return f"{dotted} reads what is not plainly a file of weights in the bundle"
    return wrong


def _listed(name: str, others: set[str]) -> str | None:
    return f"{name} has the argument {shown(min(map(str, others)))}, which is not allowed" if others else None


def _one_of(
    name: str, argument: str, node: Mapping[str, Any], look_up: Callable[[str], Any], allowed: frozenset[str]
) -> str | None:
    """Allow a name that MONAI would import as a module only if it is one of its own."""
    value: Any = node.get(argument)
    for _ in range(LONGEST_CHAIN):
        if not (isinstance(value, str) and value[:1] in ("@", "%")):
            break
        value = look_up(value[1:])
    if value is None and argument in node and node[argument] is not None:
        return f"{name} has a {argument} that is not plainly one of MONAI's"
    for one in value if isinstance(value, list) else [value]:
        if one is not None and not (isinstance(one, str) and one in allowed):
            return f"{name} has the {argument} {shown(str(one))}, which is not allowed"
    return None

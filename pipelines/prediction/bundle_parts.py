"""What a bundle from elsewhere does in its own way, brought into the form that our predictor has."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from monai.transforms import Compose, Invertd, Spacing, Spacingd

from pipelines.keys import Keys
from pipelines.trust.bundle_scan import METADATA_FILE, target_of
from pipelines.trust.weights import check_finite, load_state
from transforms.io.input_error import InputError

READER = "transforms.io.volume_reader.VolumeReader"
PICTURE_AXES = "transforms.io.columns_first.ColumnsFirstd"
WEIGHTS_FILE = Path("models", "model.pt")


def with_our_reader(node: Any) -> Any:
    """Give a configuration whose ``LoadImaged`` takes our reader, and what follows it pictures as MONAI's gives them.

    It reads every format, and refuses damaged files that MONAI's readers take.
    """
    if isinstance(node, dict):
        changed = {name: with_our_reader(value) for name, value in node.items()}
        return {**changed, "reader": READER} if target_of(node).startswith("LoadImage") else changed
    if not isinstance(node, list):
        return node
    steps = [with_our_reader(value) for value in node]
    place = next((number for number, step in enumerate(steps, start=1) if _gives_channels_first(step)), None)
    # Who names our reader has learnt from what it gives.
    if place is not None and not any(isinstance(step, dict) and step.get("reader") == READER for step in node):
        keys = steps[place - 1]["keys"]
        steps.insert(place, {"_target_": PICTURE_AXES, "keys": keys, "allow_missing_keys": True})
    return steps


def _gives_channels_first(step: Any) -> bool:
    if not isinstance(step, dict) or "keys" not in step:
        return False
    name = target_of(step)
    return name == "EnsureChannelFirstd" or (name == "LoadImaged" and step.get("ensure_channel_first") is True)


def class_names(metadata: Mapping[str, Any], bundle: Path) -> dict[int, str]:
    """Give the names of the foreground classes, by label, that the metadata tell.

    Raises:
        InputError: when they do not tell them.
    """
    try:
        channels = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
        return {int(label): str(name) for label, name in channels.items() if int(label) > 0}
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise InputError(
            bundle / METADATA_FILE, "does not tell the classes (network_data_format::outputs::pred::channel_def)"
        ) from fault


def grid_facts(
    config: Mapping[str, Any], metadata: Mapping[str, Any], parts: Mapping[str, Any], bundle: Path
) -> tuple[int, int, tuple[float, ...]]:
    """Give the channels and dimensions of a network's images, and the spacing in mm of its grid, per axis.

    Our own bundles say them in so many words; of others they are in the metadata and in the parts made of them. The
    spacing is infinite along axes that are not resampled: images of any size will do.

    Raises:
        InputError: when they are not to be found.
    """
    try:
        image = metadata["network_data_format"]["inputs"]["image"] if "in_channels" not in config else {}
        channels = int(config["in_channels"] if "in_channels" in config else image["num_channels"])
        window = config["patch_size"] if "patch_size" in config else getattr(parts["inferer"], "roi_size", None)
        # Networks that take whole images have no window.
        told_dims = config.get("spatial_dims") if "in_channels" in config and window is None else None
        dims = told_dims or len(window if isinstance(window, Sequence) else image["spatial_shape"])
        spacing = config.get("spacing_mm")
        told = _spacing(parts["preprocessing"], dims) if spacing is None else [float(step) for step in spacing]
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise InputError(bundle / METADATA_FILE, "does not tell the channels and dimensions of the images") from fault
    if channels < 1 or dims not in (2, 3) or len(told) != dims:
        raise InputError(bundle, f"takes images of {channels} channels and {dims} dimensions, which is not supported")
    return channels, dims, tuple(told)


def _spacing(preprocessing: Any, dims: int) -> list[float]:
    steps = [step for step in getattr(preprocessing, "transforms", ()) if isinstance(step, Spacing | Spacingd)]
    if not steps:
        return [math.inf] * dims
    first = steps[0].spacing_transform if isinstance(steps[0], Spacingd) else steps[0]
    told = [float(step) for step in first.pixdim[:dims]]
    told += told[-1:] * (dims - len(told))
    return [step if step > 0 else math.inf for step in told]


def fill_network(network: Any, bundle: Path) -> torch.nn.Module:
    """Give the network with the bundle's weights: TorchScript holds its own, others are in ``models/model.pt``.

    Raises:
        InputError: when the weights are missing, of another network, or not finite.
    """
    if not isinstance(network, torch.nn.Module):
        raise InputError(bundle, "its network_def makes no network")
    if isinstance(network, torch.jit.ScriptModule):
        check_finite(network.state_dict().items(), bundle / "models")
        return network
    if not (bundle / WEIGHTS_FILE).is_file():
        raise InputError(bundle / WEIGHTS_FILE, "is missing, so the network has no weights")
    load_state(network, bundle / WEIGHTS_FILE)
    return network


class ActivatedInferer:
    """An inferer followed by the steps that a bundle's postprocessing has before it goes back to the image's grid.

    Args:
        inferer: the bundle's.
        steps: dictionary transforms of the prediction, each case's alone.
    """

    def __init__(self, inferer: Callable[..., torch.Tensor], steps: Sequence[Callable[..., Any]]) -> None:
        self.inferer, self.steps = inferer, Compose(steps)

    def __call__(self, inputs: torch.Tensor, network: Callable[..., torch.Tensor]) -> torch.Tensor:
        """Infer (B, C, ...) images, and take the steps on each (K, ...) prediction."""
        outputs = self.inferer(inputs, network)
        return torch.stack([self.steps({Keys.PRED.value: output})[Keys.PRED.value] for output in outputs])


def in_our_order(parts: Mapping[str, Any], bundle: Path) -> dict[str, Any]:
    """Give preprocessing, inferer and postprocessing such that the postprocessing begins with ``Invertd``.

    Raises:
        InputError: when it has none, or is no list of steps.
    """
    steps = list(getattr(parts["postprocessing"], "transforms", ()))
    place = next((number for number, step in enumerate(steps) if isinstance(step, Invertd)), None)
    if place is None or not hasattr(parts["preprocessing"], "transforms"):
        raise InputError(bundle, "its postprocessing has no Invertd, which brings the result back to the image's grid")
    if place == 0:
        return dict(parts)
    inferer = ActivatedInferer(parts["inferer"], steps[:place])
    return {**parts, "inferer": inferer, "postprocessing": Compose(steps[place:])}


@contextmanager
def quiet_parsing() -> Iterator[None]:
    """Keep quiet what MONAI and torch say at every load: that configurations run code, that TorchScript and
    some defaults are old."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*GHSA-873f-pvrv-4x83.*")
        warnings.filterwarnings("ignore", message=".*nvImageCodec.*")
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
        # Of defaults that MONAI means to change, in bundles that are not the user's to mend.
        warnings.filterwarnings("ignore", message=r"monai\.transforms", category=FutureWarning)
        yield


@contextmanager
def own_code_of(bundle: Path | None) -> Iterator[None]:
    """Let a trusted bundle import its own ``scripts``, without leaving compiled files in it."""
    if bundle is None:
        yield
        return
    writes = sys.dont_write_bytecode
    sys.path.append(str(bundle.resolve()))
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes
        sys.path.remove(str(bundle.resolve()))

"""Making a predictor out of what a training has left: a run folder, a checkpoint in it, or an exported bundle."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from networks.nets.dual_task_predictor import HEADS, DualTaskPredictor
from networks.nets.flip_average import FlipAverage
from pipelines.handlers.run_checkpoint import read_checkpoint
from pipelines.prediction.predictor import Predictor
from pipelines.runs.record import CONFIG_FILE, RUN_FILE
from transforms.io.input_error import InputError


@dataclass(frozen=True)
class InferenceSettings:
    """How to infer, where it differs from what the bundle says.

    Attributes:
        head: ``mask``, ``level_set`` or ``mean``; None for the bundle's.
        overlap: of neighbouring windows, a fraction or one per axis; None for the bundle's.
        stride: from window to window, voxels of the network's grid along each axis; another way to say ``overlap``.
        window_mode: ``gaussian`` or ``constant`` weights within a window; None for the bundle's.
        flips: axes to mirror for test-time augmentation.
        device: where to compute.
    """

    head: str | None = None
    overlap: float | Sequence[float] | None = None
    stride: tuple[int, ...] | None = None
    window_mode: str | None = None
    flips: tuple[int, ...] = ()
    device: torch.device = torch.device("cpu")

    def __post_init__(self) -> None:
        if self.head is not None and self.head not in HEADS:
            raise InputError("--head", f"must be one of {', '.join(HEADS)}, got {self.head}")


@dataclass(frozen=True)
class ModelFacts:
    """What a predictor is and takes.

    Attributes:
        name: of the run or bundle.
        class_names: label to name, the background left out.
        in_channels: channels of an image.
        spatial_dims: 2 or 3.
        spacing_mm: of the grid that the network works on, per axis.
        config: the configuration it was made of.
        settings: how it infers; JSON.
        run: the run folder that it comes from; None when that is not at hand.
    """

    name: str
    class_names: dict[int, str]
    in_channels: int
    spatial_dims: int
    spacing_mm: tuple[float, ...]
    config: Mapping[str, Any]
    settings: dict[str, Any]
    run: Path | None = None


def load_predictor(source: Path, settings: InferenceSettings) -> tuple[Predictor, ModelFacts]:
    """Make a predictor of a run folder, one of its checkpoints, or an exported bundle.

    Raises:
        InputError: when there is nothing of the kind, it is damaged, or the settings do not fit it.
    """
    source = Path(source)
    with _quiet_parsing():
        return _load(source, settings)


def _load(source: Path, settings: InferenceSettings) -> tuple[Predictor, ModelFacts]:
    if not source.exists():
        raise InputError(source, "does not exist")
    if source.is_file():
        return _from_run(source.resolve().parent.parent, source, settings)
    if (source / CONFIG_FILE).is_file():
        best = source / "checkpoints" / "best.pt"
        return _from_run(source, best if best.is_file() else source / "checkpoints" / "last.pt", settings)
    if (source / "configs" / "inference.json").is_file():
        return _from_bundle(source, settings)
    raise InputError(
        source, "is neither a run folder, nor a checkpoint in one, nor a bundle with configs/inference.json"
    )


def read_run_config(run: Path) -> dict[str, Any]:
    """Read the configuration that a run was made with.

    Raises:
        InputError: when it is missing or no YAML.
    """
    file = run / CONFIG_FILE
    if not file.is_file():
        raise InputError(file, "is missing, so this is no run folder")
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise InputError(file, "is no YAML") from fault
    if not isinstance(config, dict):
        raise InputError(file, "is no run's configuration")
    return config


def load_network(config: Mapping[str, Any], checkpoint: Path) -> torch.nn.Module:
    """Build the network that ``config`` defines and give it the averaged weights of ``checkpoint``.

    Raises:
        InputError: when the weights are damaged or of another network.
    """
    return with_weights(_parser(config).get_parsed_content("network_def"), checkpoint)


def with_weights(network: torch.nn.Module, checkpoint: str | Path) -> torch.nn.Module:
    """Give ``network`` the averaged weights of ``checkpoint``, and put it into evaluation mode.

    Raises:
        InputError: when the weights are damaged or of another network.
    """
    parts = read_checkpoint(Path(checkpoint))["parts"]
    try:
        network.load_state_dict(parts["average"])
    except (KeyError, RuntimeError) as fault:
        raise InputError(checkpoint, "holds weights of another network than the configuration defines") from fault
    return network.eval()


def class_names_of(run: Path) -> dict[int, str]:
    """Give the names of the foreground classes that a run was trained for."""
    return {int(label): name for label, name in read_record(run)["class_names"].items()}


def read_record(run: Path) -> dict[str, Any]:
    """Read the ``run.json`` of a run folder.

    Raises:
        InputError: when it is missing or damaged.
    """
    file = run / RUN_FILE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as fault:
        raise InputError(file, f"cannot be read, so this is no run folder: {fault.strerror}") from fault
    except ValueError as fault:
        raise InputError(file, "is not valid JSON") from fault
    if not isinstance(content, dict) or "class_names" not in content:
        raise InputError(file, "is no record of a training")
    return content


def _from_run(run: Path, checkpoint: Path, settings: InferenceSettings) -> tuple[Predictor, ModelFacts]:
    config = _with_settings(read_run_config(run), settings)
    network = load_network(config, checkpoint).to(settings.device)
    probabilities = DualTaskPredictor(network, k=float(config["k"]), head=config["head"])
    parser = _parser(config)
    predictor = Predictor(
        _flipped(probabilities, settings),
        parser.get_parsed_content("preprocessing"),
        parser.get_parsed_content("inferer"),
        parser.get_parsed_content("postprocessing"),
        settings.device,
        level_set=lambda image: network(image).sdf,
    )
    names = class_names_of(run)
    facts = _facts(run.resolve().name, names, config, {"checkpoint": checkpoint.name, **_told(config, settings)}, run)
    return predictor, facts


def _from_bundle(bundle: Path, settings: InferenceSettings) -> tuple[Predictor, ModelFacts]:
    from monai.bundle import ConfigParser

    try:
        config = ConfigParser.load_config_file(str(bundle / "configs" / "inference.json"))
        metadata = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
        channels = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
    except (OSError, ValueError, KeyError) as fault:
        raise InputError(bundle, f"its configuration or metadata cannot be read: {fault}") from fault
    config["bundle_root"] = str(bundle)
    config = _with_settings(config, settings)
    # Our reader takes every format, and refuses damaged files that MONAI's reads; and we write the masks.
    for transform in config["preprocessing"]["transforms"]:
        if transform["_target_"] == "LoadImaged":
            transform["reader"] = "transforms.io.volume_reader.VolumeReader"
    after = config["postprocessing"]["transforms"]
    config["postprocessing"]["transforms"] = [step for step in after if step["_target_"] != "SaveImaged"]
    config["device"] = f"$torch.device('{settings.device}')"
    parser = _parser(config)
    try:
        network = parser.get_parsed_content("network_def")
        parts = {name: parser.get_parsed_content(name) for name in ("preprocessing", "inferer", "postprocessing")}
    except (RuntimeError, ValueError, KeyError) as fault:
        raise InputError(bundle, f"its parts cannot be made: {fault.__cause__ or fault}") from fault
    if settings.head is not None:
        if not hasattr(network, "head"):
            raise InputError("--head", f"the network of {bundle} has no choice of heads")
        network.head = settings.head
    # What export_bundle writes holds the two-headed network; a bundle from elsewhere may hold anything.
    level_set = (lambda image: network.network(image).sdf) if hasattr(network, "network") else None
    predictor = Predictor(_flipped(network, settings), device=settings.device, level_set=level_set, **parts)
    names = {int(label): name for label, name in channels.items() if int(label) > 0}
    run = bundle.resolve().parent
    is_of_run = all((run / name).is_file() for name in (RUN_FILE, CONFIG_FILE))
    facts = _facts(bundle.resolve().name, names, config, _told(config, settings), run if is_of_run else None)
    return predictor, facts


def _facts(
    name: str, class_names: dict[int, str], config: Mapping[str, Any], told: dict[str, Any], run: Path | None
) -> ModelFacts:
    return ModelFacts(
        name,
        class_names,
        int(config["in_channels"]),
        len(config["patch_size"]),
        tuple(float(step) for step in config["spacing_mm"]),
        config,
        told,
        run,
    )


def _with_settings(config: Mapping[str, Any], settings: InferenceSettings) -> dict[str, Any]:
    config = {**config, "keys": ["image"]}
    if settings.head is not None:
        config["head"] = settings.head
    overlap = settings.overlap
    if settings.stride is not None:
        overlap = stride_overlap(settings.stride, config["patch_size"])
    if overlap is not None:
        config["overlap"] = overlap
        config["inferer"] = {**config["inferer"], "overlap": overlap}
    if settings.window_mode is not None:
        config["inferer"] = {**config["inferer"], "mode": settings.window_mode}
    for axis in settings.flips:
        if not 0 <= axis < len(config["patch_size"]):
            last = len(config["patch_size"]) - 1
            raise InputError("--flips", f"axis {axis} is not there; the network's axes are 0 to {last}")
    return config


def stride_overlap(stride: Sequence[int], window: Sequence[int]) -> list[float]:
    """Give the overlap per axis, ``1 - stride / window``, with which MONAI steps by exactly ``stride`` voxels.

    MONAI rounds ``window * (1 - overlap)`` down, which loses a voxel wherever that product is a hair below ``stride``;
    a millionth less overlap keeps it.

    Raises:
        InputError: when there is not one stride per axis, or one is less than 1 or beyond the window.
    """
    if len(stride) != len(window):
        raise InputError("--stride", f"needs {len(window)} values, one per axis, got {len(stride)}")
    for step, side in zip(stride, window, strict=True):
        if not 1 <= step <= side:
            raise InputError("--stride", f"must be from 1 to the window's {side} voxels, got {step}")
    return [max(0.0, 1 - step / side - 1e-6 / side) for step, side in zip(stride, window, strict=True)]


def _told(config: Mapping[str, Any], settings: InferenceSettings) -> dict[str, Any]:
    told = {
        "head": config.get("head"),
        "overlap": config.get("overlap"),
        "window_weights": config["inferer"].get("mode"),
        "window": config.get("patch_size"),
        "flips": list(settings.flips),
        "device": str(settings.device),
    }
    return told if settings.stride is None else {**told, "stride": list(settings.stride)}


def _flipped(network: torch.nn.Module, settings: InferenceSettings) -> torch.nn.Module:
    return FlipAverage(network, settings.flips) if settings.flips else network


@contextmanager
def _quiet_parsing() -> Iterator[None]:
    """Keep quiet what MONAI and torch say at every load: that configurations run code, that TorchScript is old."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*GHSA-873f-pvrv-4x83.*")
        warnings.filterwarnings("ignore", message=".*nvImageCodec.*")
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
        yield


def _parser(config: Mapping[str, Any]) -> Any:
    from monai.bundle import ConfigParser

    parser = ConfigParser(dict(config))
    parser.parse(reset=True)
    return parser

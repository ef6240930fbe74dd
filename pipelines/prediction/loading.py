"""Making a predictor out of what a training has left: a run folder, a checkpoint in it, or an exported bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from networks.nets.dual_task_predictor import HEADS, DualTaskPredictor
from networks.nets.flip_average import FlipAverage
from pipelines.handlers.run_checkpoint import read_checkpoint
from pipelines.prediction.predictor import Predictor
from pipelines.runs.record import CONFIG_FILE
from transforms.io.input_error import InputError


@dataclass(frozen=True)
class InferenceSettings:
    """How to infer, where it differs from what the bundle says.

    Attributes:
        head: ``mask``, ``level_set`` or ``mean``; None for the bundle's.
        overlap: of neighbouring windows, a fraction or one per axis; None for the bundle's.
        window_mode: ``gaussian`` or ``constant`` weights within a window; None for the bundle's.
        flips: axes to mirror for test-time augmentation.
        device: where to compute.
    """

    head: str | None = None
    overlap: float | Sequence[float] | None = None
    window_mode: str | None = None
    flips: tuple[int, ...] = ()
    device: torch.device = torch.device("cpu")

    def __post_init__(self) -> None:
        if self.head is not None and self.head not in HEADS:
            raise InputError("--head", f"must be one of {', '.join(HEADS)}, got {self.head}")


def load_predictor(source: Path, settings: InferenceSettings) -> tuple[Predictor, dict[str, Any]]:
    """Make a predictor of a run folder, one of its checkpoints, or an exported bundle.

    Returns:
        The predictor, and what is known about it: ``class_names`` (label to name), ``name``, ``settings``.

    Raises:
        InputError: when there is nothing of the kind, or it is damaged.
    """
    source = Path(source)
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
    except yaml.YAMLError as fault:
        raise InputError(file, "is no YAML") from fault
    return dict(config)


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
    content = json.loads((run / "run.json").read_text(encoding="utf-8"))
    return {int(label): name for label, name in content["class_names"].items()}


def _from_run(run: Path, checkpoint: Path, settings: InferenceSettings) -> tuple[Predictor, dict[str, Any]]:
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
    return predictor, {
        "name": run.resolve().name,
        "class_names": class_names_of(run),
        "settings": {"checkpoint": checkpoint.name, **_told(config, settings)},
    }


def _from_bundle(bundle: Path, settings: InferenceSettings) -> tuple[Predictor, dict[str, Any]]:
    from monai.bundle import ConfigParser

    try:
        config = ConfigParser.load_config_file(str(bundle / "configs" / "inference.json"))
        metadata = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
        channels = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
    except (OSError, ValueError, KeyError) as fault:
        raise InputError(bundle, f"its configuration or metadata cannot be read: {fault}") from fault
    config["bundle_root"] = str(bundle)
    config = _with_settings(config, settings)
    # Our reader takes every format, and refuses damaged files that MONAI's reads.
    for transform in config["preprocessing"]["transforms"]:
        if transform["_target_"] == "LoadImaged":
            transform["reader"] = "transforms.io.volume_reader.VolumeReader"
    config["device"] = f"$torch.device('{settings.device}')"
    parser = _parser(config)
    network = parser.get_parsed_content("network_def")
    if settings.head is not None:
        if not hasattr(network, "head"):
            raise InputError("--head", f"the network of {bundle} has no choice of heads")
        network.head = settings.head
    predictor = Predictor(
        _flipped(network, settings),
        parser.get_parsed_content("preprocessing"),
        parser.get_parsed_content("inferer"),
        parser.get_parsed_content("postprocessing"),
        settings.device,
    )
    return predictor, {
        "name": bundle.resolve().name,
        "class_names": {int(label): name for label, name in channels.items() if int(label) > 0},
        "settings": _told(config, settings),
    }


def _with_settings(config: Mapping[str, Any], settings: InferenceSettings) -> dict[str, Any]:
    config = {**config, "keys": ["image"]}
    if settings.head is not None:
        config["head"] = settings.head
    if settings.overlap is not None:
        config["overlap"] = settings.overlap
    if settings.window_mode is not None:
        config["inferer"] = {**config["inferer"], "mode": settings.window_mode}
    return config


def _told(config: Mapping[str, Any], settings: InferenceSettings) -> dict[str, Any]:
    return {
        "head": config.get("head"),
        "overlap": config.get("overlap"),
        "window_weights": config["inferer"].get("mode"),
        "window": config.get("patch_size"),
        "flips": list(settings.flips),
        "device": str(settings.device),
    }


def _flipped(network: torch.nn.Module, settings: InferenceSettings) -> torch.nn.Module:
    return FlipAverage(network, settings.flips) if settings.flips else network


def _parser(config: Mapping[str, Any]) -> Any:
    from monai.bundle import ConfigParser

    parser = ConfigParser(dict(config))
    parser.parse(reset=True)
    return parser

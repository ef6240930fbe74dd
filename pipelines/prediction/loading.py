"""Making a predictor out of what a training has left: a run folder, a checkpoint in it, or an exported bundle."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from networks.layers.seeded_dropout import has_dropout
from networks.nets.dropout_average import DropoutAverage
from networks.nets.dual_task_predictor import HEADS
from networks.nets.flip_average import FlipAverage
from pipelines.handlers.run_checkpoint import read_checkpoint
from pipelines.prediction.bundle_parts import (
    class_names,
    fill_network,
    grid_facts,
    in_our_order,
    own_code_of,
    quiet_parsing,
    with_our_reader,
)
from pipelines.prediction.class_predictor import choose_head, class_predictor, head_of, level_set_of
from pipelines.prediction.flip_axes import flip_axes
from pipelines.prediction.predictor import Predictor
from pipelines.runs.record import CONFIG_FILE, RUN_FILE
from pipelines.trust.archive import unpacked
from pipelines.trust.bundle_scan import (
    INFERENCE_FILE,
    INFERENCE_PARTS,
    METADATA_FILE,
    bundle_findings,
    bundle_parts,
    network_part,
    refuse_findings,
    run_findings,
    target_of,
    without_writers,
)
from pipelines.trust.config_files import read_config
from pipelines.trust.config_scan import parts_for
from pipelines.trust.weights import check_bundle_weights, check_weight_file
from transforms.io.input_error import InputError

# What MONAI and torch raise when a configuration names what is not there, or its parts do not fit each other.
_UNFIT = (RuntimeError, ValueError, KeyError, TypeError, AttributeError, ImportError, OSError)


@dataclass(frozen=True)
class InferenceSettings:
    """How to infer, where it differs from what the bundle says.

    Attributes:
        head: of a network with several, ``mask``, ``level_set`` or ``mean``; None for the bundle's.
        overlap: of neighbouring windows, a fraction or one per axis; None for the bundle's.
        stride: from window to window, voxels of the network's grid along each axis; another way to say ``overlap``.
        window_mode: ``gaussian`` or ``constant`` weights within a window; None for the bundle's.
        flips: axes to mirror for test-time augmentation, by number from 0 or, for networks that look at slices, by name
            (:data:`pipelines.prediction.options.FLIP_NAMES`).
        dropout_samples: passes with dropout on, of which the mean is taken and the uncertainty told; None for one
            without.
        device: where to compute.
        weights: of the sources of an ensemble, positive; None for equal ones.
    """

    head: str | None = None
    overlap: float | Sequence[float] | None = None
    stride: tuple[int, ...] | None = None
    window_mode: str | None = None
    flips: tuple[int | str, ...] = ()
    dropout_samples: int | None = None
    device: torch.device = torch.device("cpu")
    weights: tuple[float, ...] | None = None

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
        sha256: of the source, when hashes of trusted ones were given; else empty.
        members: what the sources of an ensemble are; empty of one source.
    """

    name: str
    class_names: dict[int, str]
    in_channels: int
    spatial_dims: int
    spacing_mm: tuple[float, ...]
    config: Mapping[str, Any]
    settings: dict[str, Any]
    run: Path | None = None
    sha256: str = ""
    members: tuple[ModelFacts, ...] = ()


def load_predictor(
    source: Path, settings: InferenceSettings, trusted: Collection[str] = ()
) -> tuple[Predictor, ModelFacts]:
    """Make a predictor of a run folder, one of its checkpoints, or an exported bundle, as a folder or a zip file.

    Nothing of it is parsed, loaded or run before :mod:`pipelines.trust` has looked through it.

    Args:
        source: the folder or file.
        settings: how to infer.
        trusted: SHA-256 hashes (:func:`pipelines.trust.fingerprint.bundle_sha256`) of sources that may run any code.

    Raises:
        InputError: when there is nothing of the kind, it is damaged, it could do harm and is not trusted, or the
            settings do not fit it.
    """
    predictor, facts = load_member(source, settings, trusted)
    refuse_other_hashes(trusted, {str(source): facts.sha256})
    return predictor, facts


def load_member(
    source: Path, settings: InferenceSettings, trusted: Collection[str] = ()
) -> tuple[Predictor, ModelFacts]:
    """Do as :func:`load_predictor`, where the hashes may be of other members of an ensemble."""
    source = Path(source)
    if not source.exists():
        raise InputError(source, "does not exist")
    with quiet_parsing(), unpacked(source) as opened:
        return _load(source, opened, settings, trusted)


def refuse_other_hashes(trusted: Collection[str], found: Mapping[str, str]) -> None:
    """Refuse hashes that are of nothing that was given: a bundle has been changed since it was trusted.

    Args:
        trusted: the user's hashes.
        found: the hash of each source by its name.

    Raises:
        InputError: telling the right ones.
    """
    for digest in trusted:
        if digest not in found.values():
            told = " and ".join(f"{name} has {other}" for name, other in found.items())
            raise InputError(
                "--trust", f"{digest} is of nothing that was given: {told}; trusting means running its code"
            )


def _load(
    source: Path, opened: Path, settings: InferenceSettings, trusted: Collection[str]
) -> tuple[Predictor, ModelFacts]:
    if opened.is_file():
        return _from_run(opened.resolve().parent.parent, opened, settings, trusted)
    if (opened / CONFIG_FILE).is_file():
        best = opened / "checkpoints" / "best.pt"
        checkpoint = best if best.is_file() else opened / "checkpoints" / "last.pt"
        return _from_run(opened, checkpoint, settings, trusted)
    if (opened / INFERENCE_FILE).is_file():
        return _from_bundle(source, opened, settings, trusted)
    raise InputError(
        source, "is neither a run folder, nor a checkpoint in one, nor a bundle with configs/inference.json"
    )


def read_run_config(run: Path) -> dict[str, Any]:
    """Read the configuration that a run was made with.

    Raises:
        InputError: when it is missing, no YAML, or larger or deeper than configurations are.
    """
    file = run / CONFIG_FILE
    if not file.is_file():
        raise InputError(file, "is missing, so this is no run folder")
    return read_config(file)


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


def _from_run(
    run: Path, checkpoint: Path, settings: InferenceSettings, trusted: Collection[str]
) -> tuple[Predictor, ModelFacts]:
    read = read_run_config(run)
    digest = refuse_findings(run, run, run_findings(read, run), trusted)
    if checkpoint.is_file():
        check_weight_file(checkpoint)
    names = class_names_of(run)
    try:
        config = _with_settings(read, settings)
        parser = _parser(parts_for(config, INFERENCE_PARTS))
        network = with_weights(parser.get_parsed_content("network_def"), checkpoint).to(settings.device)
        classes = class_predictor(network, read)
        if settings.head is not None:
            choose_head(classes, settings.head, run)
        parts = {name: parser.get_parsed_content(name) for name in ("preprocessing", "inferer", "postprocessing")}
        grid = grid_facts(config, {}, parts, run)
        predictor = Predictor(
            _averaged(classes, settings, run, grid[1]),
            device=settings.device,
            level_set=level_set_of(classes),
            tells_uncertainty=settings.dropout_samples is not None,
            **in_our_order(parts, run),
        )
        told = {"checkpoint": checkpoint.name, **_told(config, settings)}
    except InputError:
        raise
    except _UNFIT as fault:
        raise InputError(run / CONFIG_FILE, f"its parts cannot be made: {fault.__cause__ or fault!r}") from fault
    return predictor, ModelFacts(run.resolve().name, names, *grid, config, told, run, digest)


def _from_bundle(
    source: Path, bundle: Path, settings: InferenceSettings, trusted: Collection[str]
) -> tuple[Predictor, ModelFacts]:
    config, metadata = read_config(bundle / INFERENCE_FILE), read_config(bundle / METADATA_FILE)
    digest = refuse_findings(source, bundle, bundle_findings(config, metadata, bundle), trusted)
    names = class_names(metadata, bundle)
    check_bundle_weights(bundle, code_trusted=digest in trusted)
    # An absolute path: MONAI would take one that begins with a dollar sign for an expression.
    config["bundle_root"] = str(bundle.resolve())
    try:
        config = _with_settings(with_our_reader(without_writers(config)), settings)
        config["device"] = f"$torch.device('{settings.device}')"
        with own_code_of(bundle if digest in trusted else None):
            parser = _parser(bundle_parts(config))
            network: Any = fill_network(parser.get_parsed_content(network_part(config)), bundle)
            parts = {name: parser.get_parsed_content(name) for name in ("preprocessing", "inferer", "postprocessing")}
        told, grid = _told(config, settings), grid_facts(config, metadata, parts, bundle)
    except InputError:
        raise
    except _UNFIT as fault:
        raise InputError(source, f"its parts cannot be made: {fault.__cause__ or fault!r}") from fault
    # What export_bundle writes holds the network with its heads; a bundle from elsewhere may hold anything.
    if settings.head is not None:
        choose_head(network, settings.head, source)
    predictor = Predictor(
        _averaged(network, settings, source, grid[1]),
        device=settings.device,
        level_set=level_set_of(network),
        tells_uncertainty=settings.dropout_samples is not None,
        **in_our_order(parts, bundle),
    )
    run = bundle.resolve().parent
    is_of_run = all((run / name).is_file() for name in (RUN_FILE, CONFIG_FILE))
    name = source.stem if source.is_file() else bundle.resolve().name
    return predictor, ModelFacts(name, names, *grid, config, told, run if is_of_run else None, digest)


def _with_settings(config: Mapping[str, Any], settings: InferenceSettings) -> dict[str, Any]:
    config = {**config, "keys": ["image"]}
    if settings.head is not None:
        config["head"] = settings.head
    overlap = settings.overlap
    if target_of(config["inferer"]) == "SimpleInferer":
        given = {"--stride": settings.stride, "--overlap": overlap, "--window-weights": settings.window_mode}
        for option, value in given.items():
            if value is not None:
                raise InputError(option, "is for windows, and this network takes whole images")
    if settings.stride is not None:
        if "patch_size" not in config:
            raise InputError("--stride", "needs a bundle that tells its patch_size; take --overlap")
        overlap = stride_overlap(settings.stride, config["patch_size"])
    if overlap is not None:
        config["overlap"] = overlap
        config["inferer"] = {**config["inferer"], "overlap": overlap}
    if settings.window_mode is not None:
        config["inferer"] = {**config["inferer"], "mode": settings.window_mode}
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
        "head": head_of(config),
        "overlap": config.get("overlap"),
        "window_weights": config["inferer"].get("mode") if isinstance(config["inferer"], dict) else None,
        "window": config.get("patch_size"),
        "flips": list(settings.flips),
        "device": str(settings.device),
    }
    if settings.dropout_samples is not None:
        told["dropout_samples"] = settings.dropout_samples
    return told if settings.stride is None else {**told, "stride": list(settings.stride)}


def _averaged(network: torch.nn.Module, settings: InferenceSettings, source: Path, dims: int) -> torch.nn.Module:
    if settings.dropout_samples is not None:
        if not has_dropout(network):
            reason = "an exported network keeps none" if isinstance(network, torch.jit.ScriptModule) else "it has none"
            raise InputError("--dropout-samples", f"the network of {source} cannot draw dropout: {reason}")
        network = DropoutAverage(network, settings.dropout_samples)
    axes = flip_axes(settings.flips, dims, network, source)
    return FlipAverage(network, axes) if axes else network


def _parser(config: Mapping[str, Any]) -> Any:
    from monai.bundle import ConfigParser

    parser = ConfigParser(dict(config))
    parser.parse(reset=True)
    return parser

"""The files of a recording: one a moment of training, whole or not there, read without running code."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from pipelines.loss_study.scoring import Scores
from pipelines.metrics.calibration import ReliabilityBins
from transforms.io.atomic import atomic_path
from transforms.io.input_error import InputError

FOLDER, CASES_FILE = "recording", "cases.npz"
MAPS = ("loss", "confidence", "gradient", "prediction")


@dataclass(frozen=True)
class Moment:
    """A moment of training.

    Attributes:
        iteration: how many iterations had passed.
        scores: on the validation cases.
        loss: the loss itself on them.
        maps: by name of ``MAPS``, one array (...) a pictured case; a loss without values of its pixels has no ``loss``.
        weights: all parameters, (P,) float16; empty where they are not kept.
    """

    iteration: int
    scores: Scores
    loss: float | None
    maps: Mapping[str, Sequence[np.ndarray]] = field(default_factory=dict)
    weights: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float16))


@dataclass(frozen=True)
class PicturedCase:
    """A case that maps are drawn of.

    Attributes:
        case_id: its name.
        image: (C, ...) as the network sees it.
        label: (...) integers.
    """

    case_id: str
    image: np.ndarray
    label: np.ndarray


def moment_file(folder: Path, iteration: int) -> Path:
    """Where the moment after so many iterations is kept."""
    return folder / f"iteration_{iteration:07d}.npz"


def recorded_iterations(folder: Path) -> list[int]:
    """Give the iterations that ``folder`` has a moment of, in order."""
    return sorted(int(path.stem.removeprefix("iteration_")) for path in folder.glob("iteration_*.npz"))


def write_moment(folder: Path, moment: Moment) -> None:
    """Write a moment.

    Raises:
        InputError: when it cannot be written.
    """
    numbers = {"iteration": moment.iteration, "loss": moment.loss, "scores": dict(moment.scores.values)}
    arrays = {f"{name}_{index}": part for name, parts in moment.maps.items() for index, part in enumerate(parts)}
    _write(
        moment_file(folder, moment.iteration),
        {
            **arrays,
            "numbers": np.array(json.dumps(numbers)),
            "bins": moment.scores.bins.to_sums(),
            "foreground_bins": moment.scores.foreground_bins.to_sums(),
            "weights": moment.weights,
        },
    )


def read_moment(folder: Path, iteration: int, *, with_weights: bool = False) -> Moment:
    """Read a moment; its weights only when asked for.

    Raises:
        InputError: when the file is missing or damaged.
    """
    path = moment_file(folder, iteration)
    with opened_arrays(path) as file:
        numbers = json.loads(str(file["numbers"]))
        maps: dict[str, list[np.ndarray]] = {}
        for name in MAPS:
            count = sum(key.startswith(f"{name}_") for key in file.files)
            if count:
                maps[name] = [file[f"{name}_{index}"] for index in range(count)]
        bins, foreground = (ReliabilityBins.from_sums(file[name]) for name in ("bins", "foreground_bins"))
        weights = file["weights"] if with_weights else np.zeros(0, np.float16)
    return Moment(numbers["iteration"], Scores(numbers["scores"], bins, foreground), numbers["loss"], maps, weights)


def read_recording(folder: Path) -> list[Moment]:
    """Read all moments in ``folder`` in order, without weights.

    Raises:
        InputError: when there is none, or one is damaged.
    """
    moments = [read_moment(folder, iteration) for iteration in recorded_iterations(folder)]
    if not moments:
        raise InputError(folder, "holds no recording of a training")
    return moments


def write_cases(folder: Path, cases: Sequence[PicturedCase]) -> None:
    """Write the cases that the maps are of."""
    arrays: dict[str, np.ndarray] = {"case_ids": np.array([case.case_id for case in cases])}
    for index, case in enumerate(cases):
        arrays |= {f"image_{index}": case.image, f"label_{index}": case.label}
    _write(folder / CASES_FILE, arrays)


def read_cases(folder: Path) -> list[PicturedCase]:
    """Read what :func:`write_cases` wrote.

    Raises:
        InputError: when the file is missing or damaged.
    """
    with opened_arrays(folder / CASES_FILE) as file:
        names = [str(name) for name in file["case_ids"]]
        return [PicturedCase(name, file[f"image_{index}"], file[f"label_{index}"]) for index, name in enumerate(names)]


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    try:
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **dict(arrays))  # type: ignore[arg-type]
    except OSError as fault:
        raise InputError(path, f"cannot be written: {fault.strerror}") from fault


@contextmanager
def opened_arrays(path: Path) -> Iterator[Any]:
    """Open an NPZ file, whose arrays are read as they are asked for; no code in it is run.

    Raises:
        InputError: when it is missing or damaged.
    """
    try:
        # NumPy leaves a file that it cannot read open.
        with path.open("rb") as source, np.load(source, allow_pickle=False) as arrays:
            yield arrays
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as fault:
        raise InputError(path, "is missing or damaged; start the study anew") from fault

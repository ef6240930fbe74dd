"""Seeded synthetic cohorts in the data layout that every command reads; one table names the kinds.

A case is a pure function of (kind, seed, case number, shape, spacing): asking for more cases, or splitting them in
another way, changes no case. Files hold no time and no name, so that running twice gives the same bytes. The patients
are drawn, not copied from anybody.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.phantom_files import write_array
from pipelines.data.phantom_kinds import KINDS, PhantomKind, find_kind
from pipelines.data.phantom_raters import draw_raters
from pipelines.data.phantom_shapes import Array
from transforms.io.atomic import write_json_atomic
from transforms.io.input_error import InputError

__all__ = ["KINDS", "Phantom", "choose_ending", "make_case", "make_cohort", "share_cases"]

MOST_CASES = 9999
MOST_VOXELS = 2**27
_LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class Phantom:
    """One drawn case.

    Attributes:
        image: (X, Y[, Z]) int16; x to the patient's left, y to the back, z to the head. In colour (X, Y, 3) uint8; in
            optical coherence tomography (Y, X, Z) uint8: depth, across a B-scan, B-scans.
        label: (X, Y[, Z]) uint8, 0 and the classes.
        spacing_mm: millimetres per voxel, same order.
        raters: what several raters made of ``label``; () for most kinds.
        fov: (X, Y) uint8, 1 where the image shows anything that counts; None where all of it does.
        axes: of x, y and z as 0, 1 and 2, that of each array axis.
    """

    image: Array
    label: Array
    spacing_mm: tuple[float, ...]
    raters: tuple[Array, ...] = ()
    fov: Array | None = None
    axes: tuple[int, ...] = (0, 1, 2)

    @property
    def affine(self) -> Array:
        """(4, 4) voxel index to NIfTI world (RAS+) in mm; the world's origin is the middle of the field of view."""
        steps = np.diag((-1.0, -1.0, 1.0))[:, list(self.axes)] * np.array([*self.spacing_mm, 1.0][:3])
        affine = np.eye(4)
        affine[:3, :3] = steps
        affine[:3, 3] = -steps @ (np.array([*self.label.shape, 1][:3]) - 1) / 2
        return affine


def make_case(
    kind: str,
    number: int,
    *,
    seed: int = 0,
    shape: Sequence[int] | None = None,
    spacing_mm: Sequence[float] | None = None,
) -> Phantom:
    """Draw case ``number`` of a kind; the same arguments give the same case.

    Args:
        kind: a key of ``KINDS``.
        number: which case, from 1.
        seed: of the cohort.
        shape: voxels along x, y[, z]; the kind's own by default. The anatomy is scaled as a whole to fit the field of
            view.
        spacing_mm: millimetres per voxel, one for all axes or one an axis; the kind's own by default, or what keeps its
            field of view.

    Raises:
        InputError: for an unknown kind, or a seed, shape or spacing that makes no sense.
    """
    found = find_kind(kind)
    if not 0 <= seed <= _LARGEST_SEED:
        raise InputError("--seed", f"must lie within 0 and {_LARGEST_SEED}, got {seed}")
    voxels = _checked_shape(kind, found, shape)
    spacing = _checked_spacing(kind, found, spacing_mm, voxels)
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), number])
    image, label, *fov = found.draw(rng, voxels, spacing, *((number,) if found.numbered else ()))
    raters = tuple(draw_raters(label, rng)) if found.raters else ()
    return Phantom(image, label, spacing, raters, fov[0] if fov else None, found.axes)


def _checked_shape(name: str, kind: PhantomKind, shape: Sequence[int] | None) -> tuple[int, ...]:
    if shape is None:
        return kind.shape
    axes = len(kind.shape)
    if len(shape) != axes or min(shape) < 8:
        raise InputError("--shape", f"{name} needs {axes} sizes of at least 8 voxels, got {' '.join(map(str, shape))}")
    if int(np.prod([int(size) for size in shape], dtype=object)) > MOST_VOXELS:
        raise InputError("--shape", f"at most {MOST_VOXELS} voxels, got {' x '.join(map(str, shape))}")
    return tuple(int(size) for size in shape)


def _checked_spacing(
    name: str, kind: PhantomKind, spacing_mm: Sequence[float] | None, shape: Sequence[int]
) -> tuple[float, ...]:
    if spacing_mm is None:
        grown = [usual / count for usual, count in zip(kind.shape, shape, strict=True)]
        return tuple(
            step * (factor if kind.fixed_field else 1) for step, factor in zip(kind.spacing_mm, grown, strict=True)
        )
    axes = len(kind.shape)
    spacing = tuple(float(step) for step in spacing_mm) * (axes if len(spacing_mm) == 1 else 1)
    if len(spacing) != axes or not all(0.001 <= step <= 100 for step in spacing):
        given = " ".join(map(str, spacing_mm))
        raise InputError("--spacing", f"{name} needs 1 or {axes} values within 0.001 and 100 mm, got {given}")
    return spacing


def share_cases(
    cases: int,
    *,
    labeled: int | None = None,
    unlabeled: int | None = None,
    validation: int | None = None,
    test: int | None = None,
) -> dict[str, int]:
    """Decide how many cases each part of a cohort gets.

    What is not given shares what is left, as 1 labelled : 2 unlabelled : 1 test; validation is 0 unless given. Labelled
    cases come first when there are too few for all, then test cases.

    Returns:
        Counts of ``training``, ``unlabeled``, ``validation`` and ``test``, which sum to ``cases``.

    Raises:
        InputError: when ``cases`` is out of range, a count is negative, or the counts cannot sum to ``cases``.
    """
    if not 1 <= cases <= MOST_CASES:
        raise InputError("--cases", f"must lie within 1 and {MOST_CASES}, got {cases}")
    given = {"labeled": labeled, "unlabeled": unlabeled, "validation": validation or 0, "test": test}
    for name, count in given.items():
        if count is not None and count < 0:
            raise InputError(f"--{name}", f"must not be negative, got {count}")
    left = cases - sum(count or 0 for count in given.values())
    wanted = {name: weight for name, weight in (("labeled", 1), ("unlabeled", 2), ("test", 1)) if given[name] is None}
    if left < 0 or (left > 0 and not wanted):
        parts = ", ".join(f"{name} {count}" for name, count in given.items() if count)
        raise InputError("--cases", f"{cases} cases do not divide into the parts asked for ({parts})")
    shares: dict[str, int] = {}
    for name in ("labeled", "test", "unlabeled"):
        if name in wanted:
            fair = max(left * wanted[name] // sum(wanted.values()), 1)
            shares[name] = min(fair, left - sum(shares.values()))
    if shares:
        shares["unlabeled" if "unlabeled" in shares else next(iter(shares))] += left - sum(shares.values())
    counts = {name: shares.get(name, count or 0) for name, count in given.items()}
    return {"training" if name == "labeled" else name: count for name, count in counts.items()}


def make_cohort(
    kind: str,
    output: str | Path,
    cases: int,
    *,
    labeled: int | None = None,
    unlabeled: int | None = None,
    test: int | None = None,
    validation: int | None = None,
    shape: Sequence[int] | None = None,
    spacing_mm: Sequence[float] | None = None,
    seed: int = 0,
    file_ending: str | None = None,
    watch: Callable[[Sequence[tuple[str, int]]], Any] = iter,
) -> Path:
    """Draw a cohort and write it as ``dataset.json``, ``images/`` and ``labels/`` (and ``fov/``, where a kind has it).

    Cases are numbered through the parts training, unlabeled, validation, test; unlabelled ones get no label file. Where
    classes are rare, a part with three cases or more has them all (see ``phantom_oct.lesions_of``). The
    list of cases is written last, so a folder that has one is complete.

    Args:
        kind: a key of ``KINDS``.
        output: the folder, made when it is not there; files of the same names are replaced.
        cases: how many in all.
        labeled: training cases with labels; see ``share_cases`` for what is not given.
        unlabeled: cases without a label file.
        test: labelled cases that no training may see.
        validation: labelled cases that select a model.
        shape: voxels along x, y[, z].
        spacing_mm: millimetres per voxel, one for all axes or one an axis.
        seed: of the cohort.
        file_ending: ``.nii.gz``, ``.nii`` or, for 2D, ``.png``; the kind's own by default.
        watch: wraps the list of cases while they are drawn, to show progress.

    Returns:
        The path of ``dataset.json``.

    Raises:
        InputError: for anything that does not fit; nothing is written then.
    """
    found, root = find_kind(kind), Path(output)
    counts = share_cases(cases, labeled=labeled, unlabeled=unlabeled, validation=validation, test=test)
    ending = choose_ending(kind, file_ending)
    parts = [(part, number) for number, part in enumerate(_repeat(counts), start=1)]
    listed: dict[str, list[dict[str, Any]]] = {part: [] for part in counts}
    listing = root / "dataset.json"
    for part, number in watch(parts):
        phantom = make_case(kind, number, seed=seed, shape=shape, spacing_mm=spacing_mm)
        if number == 1:
            listing.unlink(missing_ok=True)
        name = f"{kind}_{number:04d}{ending}"
        entry: dict[str, Any] = {"image": f"./images/{name}"}
        write_array(root / "images" / name, phantom.image, phantom.affine)
        if part == "unlabeled":
            (root / "labels" / name).unlink(missing_ok=True)
        else:
            entry["label"] = f"./labels/{name}"
            write_array(root / "labels" / name, phantom.label, phantom.affine)
        if phantom.fov is not None:
            entry["fov"] = f"./fov/{name}"
            write_array(root / "fov" / name, phantom.fov, phantom.affine)
        if part == "training" and phantom.raters:
            entry |= _write_raters(root, f"{kind}_{number:04d}", ending, phantom)
        listed[part].append(entry)
    write_json_atomic(listing, _description(kind, found, seed, listed))
    return listing


def _repeat(counts: dict[str, int]) -> list[str]:
    return [part for part in ("training", "unlabeled", "validation", "test") for _ in range(counts[part])]


def choose_ending(name: str, ending: str | None) -> str:
    """The file ending of images and labels of kind ``name``: ``ending``, or the kind's own.

    Raises:
        InputError: for an unknown kind, or an ending that cannot hold it.
    """
    kind = find_kind(name)
    allowed = (".png",) if kind.colour else (".nii.gz", ".nii", *((".png",) if len(kind.shape) == 2 else ()))
    ending = ending or kind.file_ending
    if ending not in allowed:
        raise InputError("--file-ending", f"{name} can be written as {', '.join(allowed)}, not {ending!r}")
    return ending


def _description(name: str, kind: PhantomKind, seed: int, listed: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """What ``dataset.json`` says; parts without a case are left out, except training and test."""
    return {
        "name": f"{name} phantom",
        "description": f"Synthetic: {kind.summary}. Drawn, no person's data. Research use only, not for diagnosis.",
        "tensorImageSize": f"{len(kind.shape)}D",
        "modality": {"0": kind.modality},
        "labels": {"0": "background", **{str(value): label for value, label in enumerate(kind.labels, start=1)}},
        "phantom": {"kind": name, "seed": seed},
        "numTraining": len(listed["training"]),
        "numTest": len(listed["test"]),
        **{part: entries for part, entries in listed.items() if entries or part in ("training", "test")},
    }


def _write_raters(root: Path, case: str, ending: str, phantom: Phantom) -> dict[str, list[str]]:
    """Write the labels of all raters and give what the case's entry says of them."""
    names = [f"rater{number}" for number in range(1, len(phantom.raters) + 1)]
    for name, label in zip(names, phantom.raters, strict=True):
        write_array(root / "raters" / f"{case}_{name}{ending}", label, phantom.affine)
    return {"raters": [f"./raters/{case}_{name}{ending}" for name in names], "atlas": names}

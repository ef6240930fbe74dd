"""Which atlases go to which targets."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.data.dataset import Case, DataSet, resolve_inside
from transforms.io.input_error import InputError

MASK_KEY = "mask"


@dataclass(frozen=True)
class AtlasChoice:
    """What the user wants of the two data sets.

    Args:
        atlas_ids: case ids of the atlases; all labelled training cases when empty.
        atlas_count: draw this many of them; None for all.
        target_count: draw this many targets; None for all.
        disjoint: whether an atlas is no target.
        seed: of the draws.
    """

    atlas_ids: tuple[str, ...] = ()
    atlas_count: int | None = None
    target_count: int | None = None
    disjoint: bool = False
    seed: int = 0


def choose_atlases(atlases: DataSet, choice: AtlasChoice) -> tuple[Case, ...]:
    """Give the atlases, in file order.

    Raises:
        InputError: for an atlas that is not there or has no label, and when there are fewer than asked for.
    """
    known = {case.case_id: case for _, case in atlases.cases}
    for case_id in choice.atlas_ids:
        if case_id not in known:
            raise InputError("--atlas-ids", f"{case_id} is no case of {atlases.root}")
        if known[case_id].label is None:
            raise InputError("--atlas-ids", f"{case_id} has no label in {atlases.root}, so it cannot be an atlas")
    labelled = [case for case in atlases.training if case.label is not None]
    offered = [known[case_id] for case_id in dict.fromkeys(choice.atlas_ids)] or labelled
    if not offered:
        raise InputError(atlases.root, "has no labelled training case, so there is no atlas in it")
    return _draw("--atlas-count", offered, choice.atlas_count, choice.seed)


def choose_targets(targets: DataSet, atlases: Sequence[Case], choice: AtlasChoice) -> tuple[Case, ...]:
    """Give the targets, training cases and then unlabelled ones, in file order.

    Raises:
        InputError: when there are none, or fewer than asked for.
    """
    offered = [
        case
        for case in (*targets.training, *targets.unlabeled)
        if not (choice.disjoint and any(same_person(case, atlas) for atlas in atlases))
    ]
    offered = list({case.case_id: case for case in offered}.values())
    if not offered:
        raise InputError(targets.root, "has no training or unlabelled case that could be a target")
    return _draw("--target-count", offered, choice.target_count, choice.seed)


def plan_pairs(atlases: Sequence[Case], targets: Sequence[Case]) -> list[tuple[Case, Case]]:
    """Give (atlas, target) for every target and every atlas of somebody else, target by target.

    Raises:
        InputError: when no pair is left.
    """
    pairs = [(atlas, target) for target in targets for atlas in atlases if not same_person(atlas, target)]
    if not pairs:
        raise InputError("--atlases", "no target is left that is not the atlas itself")
    return pairs


def same_person(first: Case, second: Case) -> bool:
    """Whether two cases are one, or show one patient, by their ids."""
    return first.case_id == second.case_id or first.patient_id == second.patient_id or first.images == second.images


def mask_of(dataset: DataSet, case: Case) -> Path | None:
    """Give the file of a case's ``mask`` entry, None when it has none.

    Raises:
        InputError: when the entry is no path inside the data set, or there is no such file.
    """
    given = case.extras.get(MASK_KEY)
    if given is None:
        return None
    path = resolve_inside(dataset.root, given, f"{dataset.root} ({case.case_id})")
    if not path.is_file():
        raise InputError(path, "does not exist")
    return path


def require_same_labels(atlases: DataSet, targets: DataSet) -> None:
    """Refuse two data sets whose label values mean other things.

    Raises:
        InputError: naming both.
    """
    if any(case.label for _, case in targets.cases) and dict(atlases.labels) != dict(targets.labels):
        raise InputError(
            targets.root, f"declares other labels than {atlases.root}: {_told(targets)}, not {_told(atlases)}"
        )


def _told(dataset: DataSet) -> str:
    return ", ".join(f"{value} {name}" for value, name in dataset.labels.items())


def _draw(option: str, cases: Sequence[Case], count: int | None, seed: int) -> tuple[Case, ...]:
    if count is None:
        return tuple(cases)
    if not 1 <= count <= len(cases):
        raise InputError(option, f"must lie within 1 and {len(cases)}, the cases that there are; got {count}")
    kept = sorted(random.Random(f"{option} {seed}").sample(range(len(cases)), count))
    return tuple(cases[number] for number in kept)

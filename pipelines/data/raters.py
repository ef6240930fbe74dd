"""Several noisy labels of one image: where they lie, and one training instance for each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.data.dataset import Case
from pipelines.keys import Keys

EXPERT = "expert"


@dataclass(frozen=True)
class Instance:
    """One noisy label of one case: what a data parameter belongs to.

    Args:
        index: its number among all instances of the data set, which no filter changes.
        case: whose label it is.
        label: absolute path of the noisy label.
        rater: the label's file relative to the data set, which names it in tables.
        atlas: where the label comes from, "" when the data set does not say.
        is_expert: whether the label is the case's own one, because the data set lists no raters.
    """

    index: int
    case: Case
    label: Path
    rater: str
    atlas: str = ""
    is_expert: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """Case and rater: what names an instance in ``data_parameters.csv``."""
        return self.case.case_id, self.rater

    def entry(self) -> dict[str, Any]:
        """Give the instance as MONAI's loaders take it: ``image``, ``label`` (the noisy one), ``case_id``,
        ``instance_index`` and, where the case has an expert's label, its path under ``expert``, to be compared with
        and never to be trained on.
        """
        entry = {**self.case.entry(), Keys.LABEL.value: str(self.label), Keys.INSTANCE_INDEX.value: self.index}
        if self.case.label is not None:
            entry[EXPERT] = str(self.case.label)
        return entry


def rater_labels(case: Case) -> tuple[Path, ...]:
    """Give the absolute path of each noisy label of ``case``, in the order of its ``raters``; none is (): no raters."""
    return case.raters


def atlas_names(case: Case) -> tuple[str, ...]:
    """Give the name of the atlas that each of :func:`rater_labels` comes from, "" where the data set does not say."""
    return case.atlases or ("",) * len(case.raters)


def expand_raters(cases: Iterable[Case], root: Path) -> list[Instance]:
    """Give one instance per case and rater, numbered from 0 in file order.

    Where no case has raters, the cases' own labels are the noisy ones (as when they are to be disturbed on purpose).

    Args:
        cases: those to learn from; a case without raters among cases that have some is left out.
        root: the data set's folder, to which the files of ``rater`` are relative.
    """
    cases = list(cases)
    found: list[tuple[Case, Path, str, bool]] = []
    if any(case.raters for case in cases):
        for case in cases:
            found += [
                (case, path, atlas, False) for path, atlas in zip(rater_labels(case), atlas_names(case), strict=True)
            ]
    else:
        found = [(case, case.label, "", True) for case in cases if case.label is not None]
    return [
        Instance(index, case, path, path.relative_to(root).as_posix(), atlas, is_expert)
        for index, (case, path, atlas, is_expert) in enumerate(found)
    ]

"""Who is learned from, with and without label, who chooses the model, and who is only tested on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.dataset import Case, DataSet
from transforms.io.atomic import write_json_atomic
from transforms.io.input_error import InputError, InputErrors

# Of the training cases, where the data set lists no validation cases.
VALIDATION_SHARE = 0.2


@dataclass(frozen=True)
class Splits:
    """The four parts of a training run; no patient is in two of labelled or unlabelled, validation, and test.

    Args:
        labeled: cases to learn from with their labels.
        unlabeled: cases to learn from without; they carry no label even where the data set has one.
        validation: cases that may choose the model; often none.
        test: cases that take no part in training.
    """

    labeled: tuple[Case, ...]
    unlabeled: tuple[Case, ...] = ()
    validation: tuple[Case, ...] = ()
    test: tuple[Case, ...] = ()

    def entries(self, split: str) -> list[dict[str, Any]]:
        """Give one part as MONAI's data lists have it."""
        cases: tuple[Case, ...] = getattr(self, split)
        return [case.entry() for case in cases]

    def to_json(self) -> dict[str, list[str]]:
        """Give the case ids of each part."""
        return {part.name: [case.case_id for case in getattr(self, part.name)] for part in fields(self)}


def make_splits(dataset: DataSet, labeled: int | None, validation: int | None, seed: int) -> Splits:
    """Divide a data set for a semi-supervised run.

    Args:
        dataset: the data set.
        labeled: the first so many labelled cases of ``training``, in file order, keep their labels; the rest of
            ``training`` becomes unlabelled. All keep them when None.
        validation: so many cases are taken out of the labelled ones by a seeded draw of patients, when the data set
            lists no validation cases of its own. None when None. Unlabelled cases of a drawn patient are left out.
        seed: of that draw.

    Raises:
        InputError: when there are fewer labels than asked for, the draw would leave nothing to learn from or cannot be
            made of whole patients, or a patient is in two parts.
    """
    with_label = [case for case in dataset.training if case.label is not None]
    _check_labeled(dataset, labeled, len(with_label))
    keep = with_label if labeled is None else with_label[:labeled]
    kept = {case.case_id for case in keep}
    rest = [case.without_label() for case in dataset.training if case.case_id not in kept]
    unlabeled = [*rest, *(case.without_label() for case in dataset.unlabeled)]
    chosen = _chosen_validation(dataset, keep, validation, seed)
    if not dataset.validation:
        patients = {case.patient_id for case in chosen}
        keep = [case for case in keep if case.patient_id not in patients]
        unlabeled = [case for case in unlabeled if case.patient_id not in patients]
    splits = Splits(tuple(keep), tuple(unlabeled), tuple(chosen), dataset.test)
    _refuse_shared_patients(splits)
    return splits


def make_rater_splits(dataset: DataSet, validation: int | None, seed: int) -> Splits:
    """Divide a data set for learning from noisy labels.

    Args:
        dataset: the data set; its training cases with ``raters`` are learned from, whether or not they have an expert's
            label. Where no case has raters, those with a label are.
        validation: so many cases with an expert's label are taken out of them, as :func:`make_splits` does.
        seed: of that draw.

    Raises:
        InputError: when there is nothing to learn from, and as :func:`make_splits`.
    """
    keep = [case for case in dataset.training if case.raters] or [case for case in dataset.training if case.label]
    if not keep:
        raise InputError(dataset.root, 'has no training case with "raters" or a label')
    chosen = _chosen_validation(dataset, [case for case in keep if case.label], validation, seed)
    patients = {case.patient_id for case in chosen}
    keep = [case for case in keep if case.patient_id not in patients]
    if not keep:
        raise InputError("--validation", "takes every case; at least 1 must stay to learn from")
    splits = Splits(tuple(keep), (), tuple(chosen), dataset.test)
    _refuse_shared_patients(splits)
    return splits


def cases_of_share(dataset: DataSet, share: float, seed: int) -> int:
    """Give how many of the labelled training cases to set aside for validation: about ``share`` of them, as many as
    the draw of whole patients adds up to.

    Returns:
        0 where the data set lists validation cases of its own, or has not two labelled ones.

    Raises:
        InputError: when no part of the cases is made of whole patients.
    """
    labeled = sum(case.label is not None for case in dataset.training)
    if dataset.validation or labeled < 2:
        return 0
    wanted = max(1, round(share * labeled))
    for count in sorted(range(1, labeled), key=lambda count: (abs(count - wanted), count)):
        try:
            make_splits(dataset, None, count, seed)
        except InputError:
            continue
        return count
    raise InputError("--validation", "is needed: no part of the cases can be set aside by whole patients; 0 for none")


def patient_faults(parts: dict[str, Iterable[Case]]) -> list[InputError]:
    """Find patients that are in two of ``parts``; one fault for each pair of parts that a patient joins.

    Args:
        parts: name and cases of each part. Cases whose patient is not known count as patients of their own.
    """
    first: dict[str, dict[str, Case]] = {}
    faults = []
    for part, cases in parts.items():
        for case in cases:
            seen = first.setdefault(case.patient_id, {})
            for other, earlier in seen.items():
                if other != part and part not in seen:
                    what = "is the same case" if earlier.case_id == case.case_id else "shows the same patient"
                    faults.append(
                        InputError(
                            case.images[0], f"in {part} {what} as {earlier.images[0]} in {other}; keep it in one"
                        )
                    )
            seen.setdefault(part, case)
    return faults


def write_splits(path: str | Path, splits: Splits) -> None:
    """Write the case ids of each part as JSON."""
    write_json_atomic(path, splits.to_json())


def read_splits(path: str | Path, dataset: DataSet) -> Splits:
    """Read what ``write_splits`` wrote, and find the cases in ``dataset``.

    Raises:
        InputError: when the file cannot be read, or names cases that the data set no longer has, or a patient is in
            two parts.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise InputError(path, f"cannot be read: {fault.strerror}") from fault
    except ValueError as fault:
        raise InputError(path, "is not valid JSON") from fault
    names = [part.name for part in fields(Splits)]
    lists = isinstance(content, dict) and set(content) == set(names) and all(type(v) is list for v in content.values())
    if not lists:
        raise InputError(path, f"must hold the lists {', '.join(names)}")
    known = {case.case_id: case for _, case in dataset.cases}
    wanted = [case_id for name in names for case_id in content[name]]
    absent = [case_id for case_id in wanted if case_id not in known]
    if absent:
        raise InputError(path, f"names {len(absent)} cases that are not in {dataset.root}, for example {absent[0]}")
    parts = {name: tuple(known[case_id] for case_id in content[name]) for name in names}
    parts["unlabeled"] = tuple(case.without_label() for case in parts["unlabeled"])
    bare = [case.case_id for name in ("labeled", "validation") for case in parts[name] if case.label is None]
    if bare:
        raise InputError(path, f"needs the label of {bare[0]}, which {dataset.root} does not have")
    splits = Splits(**parts)
    _refuse_shared_patients(splits)
    return splits


def _refuse_shared_patients(splits: Splits) -> None:
    learned = (*splits.labeled, *splits.unlabeled)
    faults = patient_faults({"training": learned, "validation": splits.validation, "test": splits.test})
    if faults:
        raise InputErrors(faults)


def _check_labeled(dataset: DataSet, labeled: int | None, available: int) -> None:
    if labeled is not None and labeled < 1:
        raise InputError("--labeled", f"is {labeled}; at least 1 case must keep its label")
    if available == 0:
        raise InputError(dataset.root, "has no training case with a label")
    if labeled is not None and labeled > available:
        raise InputError("--labeled", f"is {labeled}, but {dataset.root} has {available} training cases with a label")


def _chosen_validation(dataset: DataSet, labeled: Sequence[Case], validation: int | None, seed: int) -> list[Case]:
    """Give the data set's own validation cases or, when it lists none, ``validation`` of the ``labeled`` ones."""
    own = list(dataset.validation)
    if own and validation and validation != len(own):
        raise InputError("--validation", f"is {validation}, but the data set lists its own {len(own)} validation cases")
    return _draw_validation(labeled, validation, seed) if validation and not own else own


def _draw_validation(labeled: Sequence[Case], count: int, seed: int) -> list[Case]:
    """Draw whole patients until exactly ``count`` cases are drawn."""
    if not 0 < count < len(labeled):
        raise InputError(
            "--validation", f"is {count}; of {len(labeled)} labelled cases at least 1 must stay to learn from"
        )
    by_patient: dict[str, list[Case]] = {}
    for case in labeled:
        by_patient.setdefault(case.patient_id, []).append(case)
    patients = list(by_patient)
    drawn: set[str] = set()
    left = count
    for index in np.random.default_rng(seed).permutation(len(patients)):
        if len(by_patient[patients[index]]) <= left:
            drawn.add(patients[index])
            left -= len(by_patient[patients[index]])
    if left:
        raise InputError(
            "--validation", f"is {count}, which the cases of whole patients do not add up to; try {count - left}"
        )
    return [case for case in labeled if case.patient_id in drawn]

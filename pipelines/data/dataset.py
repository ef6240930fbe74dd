"""Data sets on disk: Medical Segmentation Decathlon folders and nnU-Net v2 folders, as one ``DataSet``."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines.keys import Keys
from transforms.io.input_error import InputError, InputErrors
from transforms.io.volume import stem_of

SPLITS = ("training", "validation", "test", "unlabeled")
DESCRIPTION = "dataset.json"
_OWN_KEYS = ("name", "modality", "labels", *SPLITS)
_CASE_KEYS = ("image", "label", "patient", "subject")


@dataclass(frozen=True)
class Case:
    """One image with, perhaps, its label.

    Args:
        case_id: unique in its data set and usable as a file name.
        images: absolute path of each channel's file (or DICOM folder); one for most data sets.
        label: absolute path, or None when the case has no label.
        patient: who was imaged, None when the data set does not say.
        extras: what else its entry holds (``presence``, ``raters``, ...), as it is written there.
        raters: absolute path of each noisy label: what several raters drew, or what several atlases gave.
        atlases: where each of ``raters`` comes from, in the same order; empty when the data set does not say.
        fov: absolute path of the mask of the field of view (above 0 is inside), or None when all of the image counts.
    """

    case_id: str
    images: tuple[Path, ...]
    label: Path | None = None
    patient: str | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)
    raters: tuple[Path, ...] = ()
    atlases: tuple[str, ...] = ()
    fov: Path | None = None

    @property
    def patient_id(self) -> str:
        """The patient; when the data set names none, every case counts as a patient of its own."""
        return self.case_id if self.patient is None else self.patient

    @property
    def files(self) -> tuple[Path, ...]:
        """All images, then the label when there is one, the labels of the raters, and the field of view if any."""
        label, fov = (() if path is None else (path,) for path in (self.label, self.fov))
        return (*self.images, *label, *self.raters, *fov)

    def entry(self) -> dict[str, Any]:
        """Give the case as MONAI's loaders take it: ``image`` (one path or a list), ``label`` and ``fov`` if any,
        ``case_id``, and ``presence`` as the data list has it, if it does.
        """
        images = [str(path) for path in self.images]
        entry: dict[str, Any] = {Keys.IMAGE.value: images[0] if len(images) == 1 else images}
        if self.label is not None:
            entry[Keys.LABEL.value] = str(self.label)
        if self.fov is not None:
            entry[Keys.FOV.value] = str(self.fov)
        entry[Keys.CASE_ID.value] = self.case_id
        if Keys.PRESENCE.value in self.extras:
            entry[Keys.PRESENCE.value] = self.extras[Keys.PRESENCE.value]
        return entry

    def without_label(self) -> Case:
        """Give the same case as if it had never been labelled."""
        return replace(self, label=None)


@dataclass(frozen=True)
class DataSet:
    """What a data set's folder offers.

    Args:
        root: absolute path of the folder.
        name: as its description says, else the folder's name.
        modality: one name per channel, or whatever names the description lists.
        labels: name of each label value 0 to K, background included.
        training: cases to learn from, those without a label among them.
        validation: cases that may choose a model.
        test: cases that may not.
        unlabeled: further cases without a label.
        extras: what else the description holds.
    """

    root: Path
    name: str
    modality: tuple[str, ...]
    labels: Mapping[int, str]
    training: tuple[Case, ...] = ()
    validation: tuple[Case, ...] = ()
    test: tuple[Case, ...] = ()
    unlabeled: tuple[Case, ...] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cases(self) -> tuple[tuple[str, Case], ...]:
        """Every case with the name of its split, in file order."""
        return tuple((split, case) for split in SPLITS for case in getattr(self, split))


def read_dataset(root: str | Path) -> DataSet:
    """Read the description of the data set in ``root``; images and labels are not opened, but must be there.

    Args:
        root: a folder with a ``dataset.json`` in the form of the Medical Segmentation Decathlon (``training``,
            ``labels``, ``modality``) or of nnU-Net v2 (``channel_names``, ``file_ending``, and the folders
            ``imagesTr``, ...).

    Raises:
        InputError: (``InputErrors`` when there are several faults) for a missing or unreadable description, missing
            keys, labels that are not the integers 0 to K, paths that leave the folder, and missing files.
    """
    dataset, faults = scan_dataset(root)
    every = [path for _, case in dataset.cases for path in case.files]
    absent = [InputError(path, "does not exist") for path in dict.fromkeys(every) if not os.path.lexists(path)]
    if faults or absent:
        raise InputErrors([*faults, *absent])
    return dataset


def scan_dataset(root: str | Path) -> tuple[DataSet, tuple[InputError, ...]]:
    """Read as much of a data set's description as makes sense, for a report of all its faults.

    Returns:
        The data set with the cases that could be understood, whether or not their files are there; and the faults of
        the other entries.

    Raises:
        InputError: when the description as a whole cannot be read.
    """
    root = Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would follow links
    content = _read_description(root)
    faults: list[InputError] = []
    splits = _nnunet_splits if "training" not in content and "channel_names" in content else _decathlon_splits
    cases = splits(root, content, faults)
    if not any(cases.values()) and not faults:
        raise InputError(root / DESCRIPTION, "lists no cases")
    labels = _labels(
        root / DESCRIPTION, content, any(case.label or case.raters for group in cases.values() for case in group)
    )
    modality = content.get("channel_names", content.get("modality"))
    dataset = DataSet(
        root=root,
        name=str(content.get("name") or root.name),
        modality=_modality(root / DESCRIPTION, modality),
        labels=labels,
        extras={key: value for key, value in content.items() if key not in _OWN_KEYS},
        **_with_unique_ids(root, cases),
    )
    return dataset, tuple(faults)


def resolve_inside(root: Path, relative: Any, subject: str | Path) -> Path:
    """Give the absolute path of ``relative`` in ``root``.

    Args:
        root: absolute path of the data set.
        relative: what the description holds.
        subject: who to blame.

    Raises:
        InputError: when it is no text, is absolute, or leaves ``root`` through ``..``.
    """
    if not isinstance(relative, str) or not relative.strip() or "\0" in relative:
        raise InputError(subject, f"holds {relative!r} where the path of a file belongs")
    if Path(relative).is_absolute() or relative.startswith("~"):
        raise InputError(subject, f"holds the path {relative!r}; paths are relative to the folder of the data set")
    path = Path(os.path.normpath(root / relative))
    if path != root and root not in path.parents:
        raise InputError(subject, f"holds the path {relative!r}, which leaves the folder of the data set")
    return path


def _read_description(root: Path) -> dict[str, Any]:
    path = root / DESCRIPTION
    if not root.exists():
        raise InputError(root, "does not exist")
    if not root.is_dir():
        raise InputError(root, f"is a file; a data set is a folder with a {DESCRIPTION}")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as fault:
        hint = " (there are NIfTI files: list them in one)" if any(root.glob("*.nii*")) else ""
        raise InputError(root, f"has no {DESCRIPTION}, which says what its files are{hint}") from fault
    except OSError as fault:
        raise InputError(path, f"cannot be read: {fault.strerror}") from fault
    except UnicodeDecodeError as fault:
        raise InputError(path, "is not UTF-8 text") from fault
    except (json.JSONDecodeError, RecursionError) as fault:
        where = f" in line {fault.lineno}: {fault.msg}" if isinstance(fault, json.JSONDecodeError) else ""
        raise InputError(path, f"is not valid JSON{where}") from fault
    _require_keys(path, content)
    return content


def _require_keys(path: Path, content: Any) -> None:
    if not isinstance(content, dict):
        raise InputError(path, "must hold one JSON object")
    if "training" not in content and "channel_names" not in content:
        raise InputError(path, 'has neither "training" (Decathlon form) nor "channel_names" (nnU-Net v2 form)')
    for key in ("labels",) if "channel_names" in content else ("labels", "modality"):
        if key not in content:
            example = '{"0": "background", "1": "organ"}' if key == "labels" else '{"0": "MRI"}'
            raise InputError(path, f'has no "{key}", for example {example}')


def _labels(path: Path, content: Mapping[str, Any], needed: bool) -> dict[int, str]:
    """Give value -> name from ``{"0": "background"}`` or from nnU-Net's ``{"background": 0}``."""
    given = content["labels"]
    if isinstance(given, list):
        given = {str(value): name for value, name in enumerate(given)}
    if not isinstance(given, dict):
        raise InputError(path, '"labels" must map each value to its name, as in {"0": "background", "1": "organ"}')
    labels: dict[int, str] = {}
    for key, value in given.items():
        pair = (key, value) if str(key).strip().lstrip("-").isdigit() else (value, key)
        if isinstance(pair[0], bool) or not str(pair[0]).strip().lstrip("-").isdigit() or not isinstance(pair[1], str):
            raise InputError(path, f'"labels" holds {key!r}: {value!r}, which is not one whole number and one name')
        if int(pair[0]) in labels:
            raise InputError(path, f'"labels" gives the value {int(pair[0])} two names')
        labels[int(pair[0])] = pair[1]
    if not labels and not needed:
        return {0: "background"}
    if sorted(labels) != list(range(len(labels))) or (needed and len(labels) < 2):
        told = ", ".join(str(value) for value in sorted(labels)) or "none"
        raise InputError(
            path, f'"labels" must be the whole numbers 0 (background), 1, 2, ... without a gap; given: {told}'
        )
    if len(set(labels.values())) < len(labels):
        raise InputError(path, '"labels" gives two values the same name')
    return dict(sorted(labels.items()))


def _modality(path: Path, given: Any) -> tuple[str, ...]:
    if isinstance(given, dict):
        return tuple(str(name) for name in given.values())
    if isinstance(given, list):
        return tuple(str(name) for name in given)
    if isinstance(given, str):
        return (given,)
    raise InputError(path, '"modality" must name the channels, as in {"0": "MRI"}')


def _decathlon_splits(root: Path, content: Mapping[str, Any], faults: list[InputError]) -> dict[str, list[Case]]:
    cases: dict[str, list[Case]] = {}
    for split in SPLITS:
        entries = content.get(split, [])
        if not isinstance(entries, list):
            raise InputError(root / DESCRIPTION, f'"{split}" must be a list of cases')
        cases[split] = []
        for number, entry in enumerate(entries, start=1):
            try:
                cases[split].append(_decathlon_case(root, split, f"{split} case {number}", entry))
            except InputError as fault:
                faults.append(fault)
    return cases


def _decathlon_case(root: Path, split: str, where: str, entry: Any) -> Case:
    path = root / DESCRIPTION
    subject = f"{path} ({where})"
    if isinstance(entry, str):
        entry = {"image": entry}
    if not isinstance(entry, dict) or "image" not in entry:
        raise InputError(subject, 'has no "image"')
    given = entry["image"] if isinstance(entry["image"], list) else [entry["image"]]
    if not given:
        raise InputError(subject, 'its "image" is an empty list')
    images = tuple(resolve_inside(root, image, subject) for image in given)
    label = None if split == "unlabeled" else entry.get("label")
    if label is not None and resolve_inside(root, label, subject) in images:
        raise InputError(subject, "names one file as both image and label")
    patient = entry.get("patient", entry.get("subject"))
    raters = () if split == "unlabeled" else _raters(root, entry, subject)
    taken = {*images, *(() if label is None else (resolve_inside(root, label, subject),))}
    if taken & set(raters):
        raise InputError(subject, f"names {sorted(taken & set(raters))[0].name} as a rater and as image or label too")
    fov = None if entry.get("fov") is None else resolve_inside(root, entry["fov"], subject)
    if fov in {*taken, *raters}:
        raise InputError(subject, f"names {entry['fov']} as the field of view and as image or label too")
    return Case(
        case_id=stem_of(images[0]),
        images=images,
        label=None if label is None else resolve_inside(root, label, subject),
        patient=None if patient is None else str(patient),
        extras={key: value for key, value in entry.items() if key not in _CASE_KEYS},
        raters=raters,
        atlases=_atlases(entry, len(raters), subject) if raters else (),
        fov=fov,
    )


def _raters(root: Path, entry: Mapping[str, Any], subject: str) -> tuple[Path, ...]:
    """Give the files of ``"raters"``: labels of the same image by several raters or from several atlases."""
    given = entry.get("raters")
    given = [] if given is None else given
    if not isinstance(given, list):
        raise InputError(subject, 'its "raters" must be a list of label files')
    raters = tuple(resolve_inside(root, rater, subject) for rater in given)
    if len(set(raters)) < len(raters):
        raise InputError(subject, f"names the rater {Counter(given).most_common(1)[0][0]} twice")
    return raters


def _atlases(entry: Mapping[str, Any], raters: int, subject: str) -> tuple[str, ...]:
    """Give the name of each rater's atlas: one for all, one each, or none."""
    given = entry.get("atlas")
    if given is None:
        return ()
    names = [given] * raters if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(names) != raters:
        raise InputError(subject, f'its "atlas" must be one name, or a list of {raters} names: one for each rater')
    return tuple(names)


def _nnunet_splits(root: Path, content: Mapping[str, Any], faults: list[InputError]) -> dict[str, list[Case]]:
    channels = content["channel_names"]
    ending = content.get("file_ending")
    if not isinstance(ending, str) or not ending.startswith("."):
        raise InputError(root / DESCRIPTION, 'has no "file_ending", for example ".nii.gz"')
    if not isinstance(channels, dict | list) or not channels:
        raise InputError(root / DESCRIPTION, '"channel_names" must name the channels, as in {"0": "MRI"}')
    return {
        "training": _nnunet_cases(root, "imagesTr", "labelsTr", ending, len(channels), faults),
        "validation": [],
        "test": _nnunet_cases(root, "imagesTs", "labelsTs", ending, len(channels), faults),
        "unlabeled": _nnunet_cases(root, "imagesUn", "", ending, len(channels), faults),
    }


def _nnunet_cases(
    root: Path, images: str, labels: str, ending: str, channels: int, faults: list[InputError]
) -> list[Case]:
    """Gather the cases of one pair of folders: ``<case>_<4 digits><ending>`` and ``<case><ending>``."""
    found: dict[str, dict[int, Path]] = {}
    for path in _files(root / images, ending):
        stem, _, channel = path.name[: -len(ending)].rpartition("_")
        if not stem or len(channel) != 4 or not channel.isdigit():
            faults.append(InputError(path, f"is not named <case>_<4-digit channel>{ending}, as in case_0000{ending}"))
            continue
        found.setdefault(stem, {})[int(channel)] = path
    label_of = {path.name[: -len(ending)]: path for path in _files(root / labels, ending)} if labels else {}
    for stem in sorted(set(label_of) - set(found)):
        faults.append(InputError(label_of[stem], f"is a label whose image {images}/{stem}_0000{ending} does not exist"))
    cases = []
    for stem, files in sorted(found.items()):
        if sorted(files) != list(range(channels)):
            told = ", ".join(f"{channel:04d}" for channel in sorted(files))
            subject = files[min(files)]
            faults.append(InputError(subject, f"its case has the channels {told}, but {DESCRIPTION} names {channels}"))
            continue
        cases.append(Case(stem, tuple(files[channel] for channel in range(channels)), label_of.get(stem)))
    return cases


def _files(folder: Path, ending: str) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name.endswith(ending) and not path.name.startswith("."))


def _with_unique_ids(root: Path, cases: Mapping[str, Sequence[Case]]) -> dict[str, tuple[Case, ...]]:
    """Tell cases of equal file name apart by their folders. A case that is listed twice keeps its one name."""
    images = {case.images: case.case_id for group in cases.values() for case in group}
    count = Counter(images.values())
    longer = {}
    for paths, case_id in images.items():
        parts = (*paths[0].relative_to(root).parts[:-1], case_id)
        longer[paths] = "_".join(parts) if count[case_id] > 1 else case_id
    return {
        split: tuple(replace(case, case_id=longer[case.images]) for case in group) for split, group in cases.items()
    }

"""The folders of the crossMoDA 2021 challenge and of the VS-SEG collection, read as they are.

crossMoDA 2021 (vestibular schwannoma and cochlea; contrast-enhanced T1 is the source, high-resolution T2 the target),
in one folder or as its archives unpack (``crossmoda_training/``, ``crossmoda_validation/``)::

    source_training/crossmoda_<1-105>_ceT1.nii.gz      with crossmoda_<N>_Label.nii.gz
    target_training/crossmoda_<106-210>_hrT2.nii.gz    with a Label file or without
    target_validation/crossmoda_<211-242>_hrT2.nii.gz  with a Label file or without

VS-SEG (The Cancer Imaging Archive), after its authors' conversion to NIfTI without registration::

    vs_gk_<N>/ (or vs_gk_<N>_t1/ and vs_gk_<N>_t2/)
        vs_gk_t1_refT1.nii.gz    with vs_gk_seg_refT1.nii.gz, the tumour
        vs_gk_t2_refT2.nii.gz    with vs_gk_seg_refT2.nii.gz, the tumour

What that conversion writes on request is not read: scans registered to the other modality, and one file for each
structure (``vs_gk_struc<k>_<name>``), since neither number nor name certainly tells tumour from cochlea.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pipelines.data.dataset import Case, DataSet
from transforms.io.input_error import InputError, InputErrors

DOMAINS = ("both", "source", "target")
LABELS = {0: "background", 1: "vestibular schwannoma", 2: "cochlea"}
SOURCE, TARGET = "ceT1", "hrT2"
# Folder: its archive, the modality in it, and the numbers of its cases.
_PARTS = {
    "source_training": ("crossmoda_training", SOURCE, range(1, 106)),
    "target_training": ("crossmoda_training", TARGET, range(106, 211)),
    "target_validation": ("crossmoda_validation", TARGET, range(211, 243)),
}
_NAME = re.compile(r"crossmoda_(?P<number>\d+)_(?P<what>ceT1|hrT2|Label)\.nii(\.gz)?")
_VS_SEG = re.compile(r"vs_gk_(?P<number>\d+)(_t[12])?")


def read_crossmoda(root: str | Path, domain: str = "both") -> DataSet:
    """Read a folder of crossMoDA 2021 or VS-SEG, of which any part of the cases may be there; no file is opened.

    Args:
        root: the folder.
        domain: ``source`` takes the T1 scans alone, for ``training``. ``target`` takes the T2 scans alone: those of
            ``target_training`` (of VS-SEG: all) are ``training`` with their label, ``unlabeled`` without; those of
            ``target_validation`` are ``validation`` with label, ``test`` without. ``both`` is the challenge: as
            ``source`` and ``target`` together, but T2 scans of ``target_training`` (VS-SEG: all) are ``unlabeled``
            even where a label is there.

    Raises:
        InputError: (``InputErrors`` for several) when the folder is neither, names or numbers do not fit, a source scan
            has no label, a label has no scan, or the domain asked for has no scan.
    """
    root = Path(root).absolute()
    if domain not in DOMAINS:
        raise InputError("--domain", f"must be one of {', '.join(DOMAINS)}, got {domain}")
    if not root.is_dir():
        raise InputError(root, "is a file, not a folder of crossMoDA" if root.exists() else "does not exist")
    faults: list[InputError] = []
    parts = {name: found for name in _PARTS if (found := _folder_of(root, name)) is not None}
    if parts:
        name, labels = "crossMoDA 2021", LABELS
        cases = {part: list(_challenge_cases(folder, part, faults)) for part, folder in parts.items()}
    else:
        name, labels = "VS-SEG", {value: LABELS[value] for value in (0, 1)}
        cases = _collection_cases(root)
    if faults:
        raise InputErrors(faults)
    splits = _splits(cases, domain)
    if not any(splits.values()):
        wanted = "" if domain == "both" else f" of the {domain} domain"
        raise InputError(root, f"holds no scan{wanted}: neither {', '.join(_PARTS)} nor vs_gk_<N> with NIfTI files")
    modality = {"both": (f"{SOURCE} or {TARGET}",), "source": (SOURCE,), "target": (TARGET,)}[domain]
    groups = (tuple(splits.get(split, ())) for split in ("training", "validation", "test", "unlabeled"))
    training, validation, test, unlabeled = groups
    return DataSet(root, name, modality, labels, training, validation, test, unlabeled)


def _folder_of(root: Path, part: str) -> Path | None:
    places = (root / part, root / _PARTS[part][0] / part)
    return next((place for place in places if place.is_dir()), None)


def _challenge_cases(folder: Path, part: str, faults: list[InputError]) -> Iterator[Case]:
    """Give the cases of one folder in the order of their numbers."""
    _, modality, numbers = _PARTS[part]
    scans: dict[int, Path] = {}
    labels: dict[int, Path] = {}
    for path in sorted(folder.glob("[!.]*.nii*")):
        match = _NAME.fullmatch(path.name)
        if match is None or match["what"] not in (modality, "Label"):
            faults.append(
                InputError(path, f"is not named crossmoda_<N>_{modality}.nii.gz or crossmoda_<N>_Label.nii.gz")
            )
        elif int(match["number"]) not in numbers:
            faults.append(InputError(path, f"does not belong to {part}, whose cases are {numbers[0]} to {numbers[-1]}"))
        else:
            group = labels if match["what"] == "Label" else scans
            number = int(match["number"])
            if group.setdefault(number, path) != path:
                faults.append(InputError(path, f"is the same scan or label as {group[number].name}"))
    for number in sorted(labels.keys() - scans.keys()):
        faults.append(InputError(labels[number], f"is a label whose scan crossmoda_{number}_{modality} does not exist"))
    for number, scan in sorted(scans.items()):
        if modality == SOURCE and number not in labels:
            faults.append(InputError(scan, f"its label crossmoda_{number}_Label does not exist"))
        yield Case(f"crossmoda_{number}_{modality}", (scan,), labels.get(number), f"crossmoda_{number}")


def _collection_cases(root: Path) -> dict[str, list[Case]]:
    """Give the cases of VS-SEG; a patient has one in each modality."""
    cases: dict[str, list[Case]] = {"source_training": [], "target_training": []}
    numbered = [(match, folder) for folder in root.iterdir() if (match := _VS_SEG.fullmatch(folder.name))]
    for match, folder in sorted(numbered, key=lambda pair: (int(pair[0]["number"]), pair[1].name)):
        patient = f"vs_gk_{match['number']}"
        for part, short, modality in (("source_training", "t1", "T1"), ("target_training", "t2", "T2")):
            scan = _nifti(folder, f"vs_gk_{short}_ref{modality}")
            if scan is not None:
                label = _nifti(folder, f"vs_gk_seg_ref{modality}")
                cases[part].append(Case(f"{patient}_{short}", (scan,), label, patient))
    return cases


def _nifti(folder: Path, stem: str) -> Path | None:
    return next((path for suffix in (".nii.gz", ".nii") if (path := folder / f"{stem}{suffix}").is_file()), None)


def _splits(cases: dict[str, list[Case]], domain: str) -> dict[str, list[Case]]:
    source, target = cases.get("source_training", []), cases.get("target_training", [])
    held_out = cases.get("target_validation", [])
    if domain == "source":
        return {"training": source}
    if domain == "both":
        training, unlabeled = source, [replace(case, label=None) for case in target]
    else:
        training = [case for case in target if case.label is not None]
        unlabeled = [case for case in target if case.label is None]
    return {
        "training": training,
        "unlabeled": unlabeled,
        "validation": [case for case in held_out if case.label is not None],
        "test": [case for case in held_out if case.label is None],
    }

"""Train masks of retinal oedema in OCT, and which lesions each slice holds, from one network, in 2.5D.

``dilated`` is the whole: a U-Net++ with dilated convolutions at its deepest level, the exponential-logarithmic Dice
loss, and a head that tells which lesions a slice holds. The others are what it was built up from: ``single`` (a U-Net
that segments), ``detection`` (and tells what a slice holds), ``nested`` (U-Net++), ``explog`` (with the
exponential-logarithmic loss in place of Dice); ``detector`` is a ResNet-18 that tells what a slice holds, and no more.

The cases are volumes (3D), whose slices the network sees with their neighbours, or single slices (2D). Several methods
or seeds are trained into folders of their own, ``OUTPUT/METHOD_SEED``, and compared on the test cases.

This command merges the files of a bundle and runs them, so that ``python -m monai.bundle run`` with the same files does
the same work.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipelines.console import command_parser, run_command, say
from pipelines.data.cohort import checked_dataset
from pipelines.data.dataset import DataSet
from pipelines.data.splits import Splits, make_splits
from pipelines.keys import Keys
from pipelines.method_training import MethodTraining, validation_cases
from pipelines.training_command import add_training_arguments
from pipelines.workflow import config_files, find_bundle
from transforms.io.input_error import InputError

# The overlays that make a method of the bundle's own settings.
METHODS: dict[str, tuple[str, ...]] = {
    "single": ("single",),
    "detection": ("detection",),
    "nested": ("nested",),
    "explog": ("explog",),
    "dilated": ("dilated",),
    "detector": ("detector",),
}
LINES = ("LR", "PA", "IS")  # the two ends of each of a patient's axes


def build_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = command_parser(
        "train_edema", "Retinal oedema in OCT: masks, and what each slice holds, from slices and their neighbours."
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="data set folder (dataset.json or nnU-Net v2): volumes or single slices",
    )
    add_training_arguments(parser, TRAINING.bundle)
    TRAINING.add_arguments(parser, method="which form of the network")
    return parser


def run(args: argparse.Namespace) -> int:
    """Train."""
    return TRAINING.run(args)


def _fit(args: argparse.Namespace, data: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Fit the network to the data set (dimensions, classes, channels; axes and intensities of the training cases) and
    set validation cases aside, unless the user has said how; refuse what is not sound.

    All faults are found here already, before torch is loaded.
    """
    dataset, report = checked_dataset(data)
    known = report.fingerprint["cases"]
    first = next(iter(known.values()))
    found = {
        "spatial_dims": len(first["shape"]),
        "num_classes": len(dataset.labels) - 1,
        "in_channels": first["channels"],
    }
    aside = validation_cases(args, dataset, settings)
    if aside is not None:
        found["validation_cases"] = aside
    splits = make_splits(dataset, None, args.validation or aside or settings.get("validation_cases"), args.seed)
    if found["spatial_dims"] == 3:
        found["axcodes"] = Counter(known[case.case_id]["orientation"] for case in splits.labeled).most_common(1)[0][0]
    chosen = {**_chosen(args), **found, **settings}
    if settings.get("segments") is False and args.method != ["detector"]:
        raise InputError("--set", "segments=false leaves a mask that nothing teaches; take --method detector")
    _refuse_settings(chosen)
    _refuse_presence(dataset, known, chosen)
    _refuse_other_axes(data, known, chosen)
    _refuse_sizes(data, known, splits, chosen)
    _refuse_no_lesion(data, known, splits, [name for label, name in dataset.labels.items() if label > 0])
    if "intensity_mean" not in settings or "intensity_std" not in settings:
        from pipelines.data.intensity_statistics import intensity_statistics

        found["intensity_mean"], found["intensity_std"] = intensity_statistics(splits.entries("labeled"))
    return {name: value for name, value in found.items() if name not in settings}


def _chosen(args: argparse.Namespace) -> dict[str, Any]:
    """Give the values of the configuration that sizes are looked at by, later files winning."""
    files = config_files(find_bundle(args.bundle), ["common", "train", *args.overlay])
    content: dict[str, Any] = {}
    for file in files:
        content |= yaml.safe_load(file.read_text(encoding="utf-8"))
    wanted = ("slice_size", "slice_axis", "axcodes", "depth", "head", "class_weights")
    return {name: content.get(name) for name in wanted}


def _refuse_settings(chosen: Mapping[str, Any]) -> None:
    """Refuse what says nothing of how volumes lie and are cut."""
    axis, codes, size = (chosen[name] for name in ("slice_axis", "axcodes", "slice_size"))
    if isinstance(axis, bool) or not isinstance(axis, int) or not -3 <= axis <= 2:
        raise InputError("--set", f"slice_axis must be 0, 1 or 2, or -1 for the last, got {axis!r}")
    one_of_each = isinstance(codes, str) and len(codes) == 3 and all(len(set(codes) & set(pair)) == 1 for pair in LINES)
    if codes is not None and not one_of_each:
        raise InputError(
            "--set", f"axcodes must be a letter each of L or R, P or A, I or S, as PLS, or null, got {codes!r}"
        )
    sides = size if isinstance(size, list) else []
    if size is not None and (len(sides) != 2 or not all(isinstance(side, int) for side in sides)):
        raise InputError("--set", f"slice_size must be [ROWS,COLUMNS] or null, got {size!r}")
    if not isinstance(chosen["depth"], int) or chosen["depth"] < 1:
        raise InputError("--set", f"depth must be a whole number from 1 on, got {chosen['depth']!r}")
    if chosen["head"] != "slices":
        raise InputError("--set", f"head must be slices, got {chosen['head']!r}")
    if not isinstance(chosen["num_classes"], int):
        raise InputError("--set", f"num_classes must be a whole number, got {chosen['num_classes']!r}")
    deviation, classes = chosen.get("intensity_std"), chosen["num_classes"] + 1
    if isinstance(deviation, int | float) and deviation <= 0:
        raise InputError("--set", f"intensity_std must be positive, got {deviation}")
    if isinstance(weights := chosen["class_weights"], list) and len(weights) != classes:
        raise InputError("--set", f"class_weights must be {classes} numbers, the background's first, got {weights}")


def _refuse_presence(dataset: DataSet, known: Mapping[str, Any], chosen: Mapping[str, Any]) -> None:
    """Refuse a ``presence`` by slices that tells of another number than lie along the axis of the slices."""
    for case in (*dataset.training, *dataset.validation, *dataset.test):
        told, shape = case.extras.get(Keys.PRESENCE.value), known[case.case_id]["shape"]
        if not isinstance(told, Mapping) or len(shape) != 3:
            continue
        if len(told["slices"]) != (count := shape[chosen["slice_axis"]]):
            reason = f'its "presence" tells of {len(told["slices"])} slices, but the image has {count}'
            raise InputError(case.images[0], reason)


def _turned_axes(orientation: str, axcodes: str | None) -> list[int]:
    """Give the axes of a file with this orientation in the order that volumes are brought to."""
    lines = {letter: pair for pair in LINES for letter in pair}
    own = [lines[letter] for letter in orientation]
    return [own.index(lines[letter]) for letter in axcodes or orientation]


def _refuse_other_axes(data: Path, known: Mapping[str, Any], chosen: Mapping[str, Any]) -> None:
    """Refuse volumes whose slices would follow each other along another axis once they are turned."""
    slices = int(chosen["slice_axis"]) % 3
    for case_id, facts in known.items():
        if (
            len(facts["shape"]) != 3
            or (axis := _turned_axes(facts["orientation"], chosen["axcodes"])[slices]) == slices
        ):
            continue
        told = f"{case_id}, {facts['orientation']}, has its slices along axis {axis}, most others ({chosen['axcodes']})"
        raise InputError(data, f"{told} along axis {slices}; store them alike, or pass --set axcodes=null")


def _refuse_sizes(data: Path, known: Mapping[str, Any], splits: Splits, chosen: Mapping[str, Any]) -> None:
    """Refuse slices that are too small, and training slices of several sizes, which make no batch."""
    sizes: dict[tuple[int, ...], str] = {}
    for case in (*splits.labeled, *(case for case in splits.unlabeled if Keys.PRESENCE.value in case.extras)):
        facts = known[case.case_id]
        sides = list(facts["shape"])
        if len(sides) == 3:
            sides = [sides[axis] for axis in _turned_axes(facts["orientation"], chosen["axcodes"])]
            del sides[int(chosen["slice_axis"])]
        sizes.setdefault(tuple(sides), case.case_id)
    if chosen["slice_size"] is not None:
        sizes = {tuple(chosen["slice_size"]): "slice_size"}
    if len(sizes) > 1:
        told = " and ".join(f"{'x'.join(map(str, size))} ({case_id})" for size, case_id in list(sizes.items())[:2])
        raise InputError(data, f"has slices of several sizes, as {told}; pass --set slice_size=[ROWS,COLUMNS]")
    smallest = 2 ** chosen["depth"]  # smaller ones leave the deepest level less than one voxel of its own
    for size, case_id in sizes.items():
        if len(size) != 2 or min(size) < smallest:
            told = "x".join(map(str, size))
            raise InputError(data, f"has slices of {told} ({case_id}); both sides must have {smallest} or more")


def _refuse_no_lesion(data: Path, known: Mapping[str, Any], splits: Splits, names: Sequence[str]) -> None:
    """Refuse a training without any lesion; tell of kinds that none of the training cases shows."""
    shares = [known[case.case_id]["label_fractions"] for case in splits.labeled]
    absent = [name for name in names if not any(share.get(name, 0) for share in shares)]
    if len(absent) == len(names):
        raise InputError(data, f"shows no {' and no '.join(names)} in any of its {len(shares)} training cases")
    for name in absent:
        say(f"warning: {data}: no training case shows any {name}, which cannot be learnt")


def _smoke_data(args: argparse.Namespace) -> Path:
    from pipelines.data.phantoms import make_cohort

    folder: Path = args.output / "phantoms"
    make_cohort("oct", folder, 6, labeled=3, validation=1, unlabeled=0, test=2, shape=(48, 64, 8), seed=args.seed)
    return folder


TRAINING = MethodTraining(
    module="pipelines.train_edema",
    bundle="retinal_oedema",
    methods=METHODS,
    default="dilated",
    one_process="the slices of a batch are drawn by one process",
    scores=(),
    smoke_data=_smoke_data,
    fit=_fit,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see :func:`pipelines.console.run_command` for what it returns."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())

"""Cut crops out of raw volumes: isotropic, around a structure, all on one side of the patient.

    concord prepare_crops --data DIR --output CROPS [--flip-to left] [--slices W]

CROPS can be given to ``--data`` of any command; ``concord restore_crops`` puts masks of it back on the raw volumes.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.console import add_run_arguments, claim_output, command_parser, progress, run_command, say
from pipelines.data.crossmoda import DOMAINS, read_crossmoda
from pipelines.data.dataset import DESCRIPTION, SPLITS, DataSet, read_dataset
from pipelines.devices import check_device_name, resolve_device
from pipelines.prediction.options import check_trust_argument
from transforms.io.atomic import write_json_atomic
from transforms.io.input_error import InputError, InputErrors

if TYPE_CHECKING:
    import numpy as np

    from pipelines.data.crop_case import CropSettings
    from pipelines.data.crop_plan import Sample

ABOUT = """
Resample volumes to isotropic voxels and crop them around a structure, in one step: images linearly, labels and raters
class by class, linearly, above one half. Intensities are left alone: a training normalises them. The centre is that of
the label, else of the raters, unless --centres or --locate-with says otherwise; cases without the structure are left
out. A case is not resampled twice: a stopped command goes on where it was.
"""
MOST_VOXELS = 2**30


def build_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = command_parser("prepare_crops", ABOUT)
    none: Any = argparse.SUPPRESS
    parser.add_argument("--data", type=Path, required=True, default=none, metavar="DIR", help="the raw volumes")
    parser.add_argument(
        "--form",
        choices=("dataset", "crossmoda"),
        default="dataset",
        help="of --data: a folder with a dataset.json, or that of crossMoDA 2021 or VS-SEG as it is",
    )
    parser.add_argument("--domain", choices=DOMAINS, default="both", help="of crossmoda: T1 (source), T2 (target)")
    parser.add_argument(
        "--spacing-mm", type=float, nargs="+", default=[0.5], metavar="MM", help="one value, or along R A S"
    )
    parser.add_argument("--size", type=int, nargs="+", default=[128], metavar="N", help="voxels, one value or R A S")
    parser.add_argument(
        "--labels",
        type=int,
        nargs="+",
        default=none,
        metavar="N",
        help="label values to keep, renumbered 1, 2, ...; the others become background (default: all)",
    )
    parser.add_argument(
        "--structure",
        type=int,
        nargs="+",
        default=none,
        metavar="N",
        help="label values whose centre is the crop's, before --labels renumbers (default: all that are kept)",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--centres",
        type=Path,
        default=none,
        metavar="FILE",
        help=".csv (case_id,x,y,z[,side]) or .json ({case_id: [x, y, z]}), mm, R A S; several a case: several crops",
    )
    where.add_argument(
        "--locate-with", type=Path, default=none, metavar="BUNDLE", help="a coarse model whose mask's centre is taken"
    )
    parser.add_argument(
        "--trust", nargs="+", default=none, metavar="SHA256", help="let the bundle of this hash run any code as you"
    )
    parser.add_argument(
        "--flip-to",
        choices=("left", "right"),
        default=none,
        help="mirror to this side what lies on the other side of its image's middle plane (of the patient, where "
        "--centres tells the side; default: mirror nothing)",
    )
    parser.add_argument(
        "--fill", type=float, default=none, metavar="VALUE", help="outside the image (default: its smallest value)"
    )
    parser.add_argument(
        "--slices", choices=("H", "W", "D"), default=none, help="2D samples: slices across R (H), A (W) or S (D)"
    )
    parser.add_argument(
        "--min-foreground",
        type=int,
        default=1,
        metavar="N",
        help="foreground voxels that a training slice needs, in any rater, or in the label where there are none",
    )
    parser.add_argument("--slice-format", choices=("nifti", "png"), default="nifti", help="of --slices; png is 16 bit")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes that cut")
    add_run_arguments(parser, output="folder of the crops: a data set, and crops.json", seed=False)
    return parser


def run(args: argparse.Namespace) -> int:
    """Check everything, find the centres, cut, and list what was made."""
    settings = _settings(args)
    dataset = read_dataset(args.data) if args.form == "dataset" else read_crossmoda(args.data, args.domain)
    _check_labels(dataset, settings)
    from pipelines.data.crop_location import locate_cases
    from pipelines.data.crop_plan import Centre, check_headers, plan_samples, read_centres
    from pipelines.data.crop_records import RECORDS, bytes_needed, remove_crops, remove_records

    check_headers(dataset)
    options = vars(args)
    centres = read_centres(args.centres, dataset) if "centres" in options else None
    model = _coarse_model(args, dataset) if "locate_with" in options else None
    # The model finds one place a case, or none: space for as many crops as a case each is enough.
    each = {case.case_id: [Centre((0.0, 0.0, 0.0), "model")] for _, case in dataset.cases}
    samples = plan_samples(dataset, centres if model is None else each)
    _check_space(args.output, bytes_needed(samples, settings))
    claim_output(args.output, overwrite=args.overwrite, finished_by=DESCRIPTION)
    if args.overwrite:
        remove_crops(args.output)
    memory = args.output / RECORDS / "located" / "centres.json"
    if model is not None:
        cases = [case for _, case in dataset.cases]
        segment, identity = model
        centres = locate_cases(cases, segment, memory, identity, partial(progress, description="locating"))
        samples = plan_samples(dataset, centres)
    unfound = [case for _, case in dataset.cases if centres is not None and not centres[case.case_id]]
    records = _cut(samples, settings, args.output, args.workers)
    records += [
        {"sample_id": case.case_id, "case_id": case.case_id, "left_out": "the model finds nothing"} for case in unfound
    ]
    _write_listing(args.output, dataset, settings, records)
    memory.unlink(missing_ok=True)
    remove_records(args.output, samples)
    shutil.rmtree(args.output / RECORDS, ignore_errors=True)
    _tell(records, args.output)
    return 0


def _settings(args: argparse.Namespace) -> CropSettings:
    """Check the options and give what they mean for one crop."""
    from pipelines.data.crop_case import CropSettings
    from pipelines.data.crop_slices import ENDINGS, SliceSettings

    options = vars(args)
    check_device_name(args.device)
    if args.output.exists() and args.data.exists() and args.output.samefile(args.data):
        raise InputError(args.output, "is --data itself, which is not replaced")
    if "locate_with" in options and not args.locate_with.exists():
        raise InputError(args.locate_with, "does not exist")
    check_trust_argument(args)
    _check_numbers(options)
    spacing, size = _three("--spacing-mm", args.spacing_mm), _three("--size", args.size)
    sliced = (
        SliceSettings(options["slices"], args.min_foreground, ENDINGS[args.slice_format])
        if "slices" in options
        else None
    )
    return CropSettings(
        size=(int(size[0]), int(size[1]), int(size[2])),
        spacing_mm=spacing,
        flip_to=options.get("flip_to", ""),
        keep=tuple(options.get("labels", ())),
        structure=tuple(options.get("structure", ())),
        fill=options.get("fill"),
        slices=sliced,
    )


def _check_numbers(options: Mapping[str, Any]) -> None:
    if not all(0.01 <= step <= 100 for step in options["spacing_mm"]):
        raise InputError("--spacing-mm", f"must lie within 0.01 and 100, got {_listed(options['spacing_mm'])}")
    size = _three("--size", options["size"])
    if min(size) < 1 or math.prod(size) > MOST_VOXELS:
        raise InputError("--size", f"must be 1 or more, {MOST_VOXELS} voxels at most, got {_listed(options['size'])}")
    for option in ("labels", "structure"):
        values = options.get(option, [])
        if any(value < 1 for value in values) or len(set(values)) < len(values):
            raise InputError(f"--{option}", f"takes different labels from 1, got {_listed(values)}")
    if not math.isfinite(options.get("fill", 0.0)):
        raise InputError("--fill", f"must be a number, got {options['fill']}")
    if options["min_foreground"] < 0:
        raise InputError("--min-foreground", f"must not be negative, got {options['min_foreground']}")
    if options["workers"] < 1:
        raise InputError("--workers", f"must be at least 1, got {options['workers']}")


def _three(option: str, values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) not in (1, 3):
        raise InputError(option, f"takes one value, or three along R A S, got {_listed(values)}")
    first, second, third = list(values) * (3 if len(values) == 1 else 1)
    return first, second, third


def _listed(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _check_labels(dataset: DataSet, settings: CropSettings) -> None:
    """Refuse labels that the data set does not declare, and a structure that is not kept."""
    for option, values in (("--labels", settings.keep), ("--structure", settings.structure)):
        for value in values:
            if value not in dataset.labels:
                told = ", ".join(f"{known} {name}" for known, name in dataset.labels.items() if known)
                raise InputError(option, f"{value} is no label of {dataset.root} ({told})")
    if settings.keep and not set(settings.structure) <= set(settings.keep):
        raise InputError("--structure", f"must be among --labels ({_listed(settings.keep)})")


def _check_space(output: Path, needed: int) -> None:
    """Refuse what does not fit the disk before anything is written."""
    there = next(folder for folder in (output.absolute(), *output.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise InputError(output, f"needs up to {needed / 1e9:.1f} GB, but its disk has {free / 1e9:.1f} GB free")


def _coarse_model(args: argparse.Namespace, dataset: DataSet) -> tuple[Callable[[dict[str, Any]], np.ndarray], str]:
    """Load the model of ``--locate-with`` and see that it takes every image; give what segments, and its hash."""
    from pipelines.prediction.inputs import check_inputs
    from pipelines.prediction.loading import InferenceSettings, load_predictor
    from pipelines.prediction.options import trusted_hashes
    from pipelines.trust.fingerprint import bundle_sha256
    from pipelines.workflow import quiet_monai

    quiet_monai()
    settings = InferenceSettings(device=resolve_device(args.device))
    predictor, facts = load_predictor(args.locate_with, settings, trusted_hashes(args))
    entries = [case.entry() for _, case in dataset.cases]
    check_inputs(entries, facts.in_channels, facts.spatial_dims, facts.spacing_mm)
    return lambda entry: predictor.predict(entry).labels, bundle_sha256(args.locate_with)


def _cut(samples: Sequence[Sample], settings: CropSettings, output: Path, workers: int) -> list[dict[str, Any]]:
    """Make all crops; the records come in the order of the samples.

    Raises:
        InputErrors: when a case could not be read; the others have been made, and are not made again next time.
    """
    from pipelines.data.crop_records import cut_all

    results = list(progress(cut_all(samples, settings, output, workers), "cutting crops", len(samples)))
    faults = [result for result in results if isinstance(result, InputError)]
    if faults:
        raise InputErrors(sorted(faults, key=str))
    records = {record["sample_id"]: record for record in results if not isinstance(record, InputError)}
    return [records[sample.sample_id] for sample in samples]


def _write_listing(
    output: Path, dataset: DataSet, settings: CropSettings, records: Sequence[Mapping[str, Any]]
) -> None:
    """Write ``crops.json``, then ``dataset.json``, which says that all is done.

    Raises:
        InputError: when there is no crop to list.
    """
    from dataclasses import asdict

    from pipelines.data.crop_records import CROPS_FILE

    listed: dict[str, list[Any]] = {split: [] for split in SPLITS}
    for record in records:
        if "left_out" not in record:
            listed[record["split"]] += record["entries"]
    if not any(listed.values()):
        raise InputError(dataset.root, "gives no crop: no case holds the structure")
    names = dict(dataset.labels)
    if settings.keep:
        names = {0: names[0], **{index: names[value] for index, value in enumerate(settings.keep, start=1)}}
    told = {key: value for key, value in asdict(settings).items() if value not in ("", (), None)}
    kept = [{key: value for key, value in record.items() if key not in ("entries", "digest")} for record in records]
    write_json_atomic(output / CROPS_FILE, {"data": str(dataset.root), "settings": told, "samples": kept})
    description = {
        "name": f"{dataset.name} crops",
        "modality": {str(index): name for index, name in enumerate(dataset.modality)},
        "labels": {str(value): name for value, name in names.items()},
        "crops": told,
        **{split: entries for split, entries in listed.items() if entries or split in ("training", "test")},
    }
    write_json_atomic(output / DESCRIPTION, description)


def _tell(records: Sequence[Mapping[str, Any]], output: Path) -> None:
    """Say what was done with each case, and what deserves a second look."""
    for record in records:
        say(f"{record['sample_id']}: {_told(record)}")
    made = [record for record in records if "left_out" not in record]
    lost = [record["sample_id"] for record in made if record.get("structure_lost")]
    if lost:
        say(f"warning: the crop cuts off a part of the structure in {len(lost)} samples: {', '.join(lost)}")
    by_label = Counter(record["split"] for record in made if record["centre_from"] == "label")
    for split in ("validation", "test"):
        if by_label[split]:
            say(
                f"warning: {by_label[split]} {split} cases are centred on their label, which a new scan does not have; "
                "--locate-with shows what is reached without"
            )
    ways = ", ".join(f"{count} by {way}" for way, count in Counter(record["centre_from"] for record in made).items())
    out = [record["sample_id"] for record in records if "left_out" in record]
    flipped = sum(record["grid"]["flipped"] for record in made)
    say(f"{output}: {len(made)} crops (centres: {ways}), {flipped} mirrored")
    if out:
        say(f"left out: {len(out)} ({', '.join(out)})")


def _told(record: Mapping[str, Any]) -> str:
    if "left_out" in record:
        return f"left out: {record['left_out']}"
    place = ", ".join(f"{value:.1f}" for value in record["centre_mm"])
    parts = [f"{record['side']}, centre from {record['centre_from']} ({place}) mm"]
    if record["grid"]["flipped"]:
        parts.append("mirrored")
    if record["outside"]:
        parts.append(f"{100 * record['outside']:.1f} % beyond the image")
    if record.get("structure_lost"):
        parts.append(f"{100 * record['structure_lost']:.1f} % of the structure cut off")
    if "slices" in record:
        parts.append(f"{len(record['slices'])} slices")
    return ", ".join(parts)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see :func:`pipelines.console.run_command` for what it returns."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())

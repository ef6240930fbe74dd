"""Segment images: masks on the grids of the inputs, and the volume of each structure.

    concord infer --bundle RUN --input FILE-or-DIR --output DIR

Several bundles are an ensemble: the mean of their class probabilities, weighted by ``--weights``. Each image
``NAME.nii.gz`` (NRRD, MetaImage, picture, folder with a DICOM series) gives ``NAME_seg.nii.gz`` (``.png`` for
pictures); ``volumes.csv`` has the volumes. Networks that tell what is present give ``detections.json`` and
``detections.csv`` beside: the probability of each kind of lesion in every slice and in the volume.
With ``--dropout-samples``, ``NAME_uncertainty`` of the same suffix holds the entropy of the class probabilities, from 0
(certain) to 1 (all classes as likely); as 0 to 255 in pictures.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.console import add_run_arguments, claim_output, command_parser, progress, run_command, say
from pipelines.keys import Keys
from pipelines.prediction.options import (
    add_inference_arguments,
    check_inference_arguments,
    inference_settings,
    trusted_hashes,
)
from transforms.io.input_error import InputError, InputErrors

if TYPE_CHECKING:
    import numpy as np

    from pipelines.prediction.detections import DetectionRecord
    from pipelines.prediction.loading import ModelFacts
    from pipelines.prediction.segmenter import PresenceSegmenter, Segmenter

VOLUMES_FILE = "volumes.csv"
COLUMNS = ("case", "label", "class", "voxels", "volume_ml")


def build_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = command_parser("infer", "Segment images with one network or several: masks with the inputs' geometry.")
    parser.add_argument(
        "--bundle",
        type=Path,
        nargs="+",
        required=True,
        default=argparse.SUPPRESS,
        metavar="DIR",
        help="run folder, checkpoint or exported bundle (folder or zip); several make an ensemble",
    )
    parser.add_argument(
        "--input",
        type=Path,
        required=True,
        default=argparse.SUPPRESS,
        metavar="PATH",
        help="an image (NIfTI, NRRD, MetaImage, PNG, JPEG, TIFF), a DICOM series' folder, or a folder of either",
    )
    add_run_arguments(parser, output="folder of the masks and volumes.csv", seed=False)
    add_inference_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Check all inputs, then segment one after the other."""
    check_inference_arguments(args)
    for source in (*args.bundle, args.input):
        if not source.exists():
            raise InputError(source, "does not exist")
    from pipelines.prediction.detections import JSON_FILE, DetectionRecord, resources, sources_of
    from pipelines.prediction.ensemble import load_ensemble
    from pipelines.prediction.inputs import check_inputs, find_inputs
    from pipelines.workflow import quiet_monai

    quiet_monai()
    segmenter, facts = load_ensemble(args.bundle, inference_settings(args), trusted_hashes(args))
    entries = find_inputs(args.input, facts.in_channels, facts.spatial_dims)
    if not segmenter.gives_mask:
        return _detect(args, segmenter, facts, entries)
    uncertain = "dropout_samples" in vars(args)
    outputs = _planned_outputs(entries, args.output, args.overwrite, uncertain)
    check_inputs(entries, facts.in_channels, facts.spatial_dims, facts.spacing_mm)
    for name in (VOLUMES_FILE, JSON_FILE):
        claim_output(args.output, overwrite=args.overwrite, finished_by=name)
    if args.overwrite:
        _clear_uncertainty(entries, outputs)
        _clear_detections(args.output)
    found = DetectionRecord(facts.class_names)
    rows, faults = _segment(segmenter, entries, outputs, facts.class_names, found)
    if len(found):
        found.write(args.output, sources_of(facts), resources(found.seconds()))
    if len(faults) < len(entries):
        _write_volumes(args.output / VOLUMES_FILE, rows)
    say(f"{len(entries) - len(faults)} of {len(entries)} images segmented: {args.output}")
    if faults:
        raise InputErrors(faults)
    return 0


def _detect(
    args: argparse.Namespace, segmenter: PresenceSegmenter, facts: ModelFacts, entries: Sequence[Mapping[str, Any]]
) -> int:
    """Write what networks find that give no mask."""
    from pipelines.prediction.detections import JSON_FILE, DetectionRecord, resources, sources_of
    from pipelines.prediction.inputs import check_inputs

    check_inputs(entries, facts.in_channels, facts.spatial_dims, facts.spacing_mm)
    if (args.output / VOLUMES_FILE).exists():
        raise InputError(args.output, f"holds masks ({VOLUMES_FILE}), and these networks give none; choose another")
    claim_output(args.output, overwrite=args.overwrite, finished_by=JSON_FILE)
    if args.overwrite:
        _clear_detections(args.output)
    found = DetectionRecord(facts.class_names)
    faults = []
    for entry in progress(entries, "detecting"):
        try:
            found.add(str(entry[Keys.CASE_ID.value]), *segmenter.predict_presence(entry))
        except InputError as fault:
            faults.append(fault)
    for line in found.told():
        say(line)
    if len(found):
        found.write(args.output, sources_of(facts), resources(found.seconds()))
    say(f"{len(found)} of {len(entries)} images looked at, no masks made: {args.output}")
    if faults:
        raise InputErrors(faults)
    return 0


def _planned_outputs(
    entries: Sequence[Mapping[str, Any]], folder: Path, overwrite: bool, uncertain: bool
) -> list[Path]:
    """Give each image's mask, and refuse all that would lose a file; ``uncertain``: also the maps beside the masks.

    Raises:
        InputErrors: for images of one name, outputs that are there already, and outputs that are inputs.
    """
    from pipelines.prediction.evaluation import first_image, mask_suffix
    from pipelines.prediction.uncertainty_file import uncertainty_file

    planned: dict[Path, Path] = {}
    masks, faults = [], []
    inputs = {Path(name).resolve() for entry in entries for name in _image_files(entry)}
    for entry in entries:
        source, mask = first_image(entry), folder / f"{entry[Keys.CASE_ID.value]}_seg{mask_suffix(entry)}"
        masks.append(mask)
        for output in (mask, uncertainty_file(mask)) if uncertain else (mask,):
            if output in planned:
                faults.append(InputError(source, f"would be written to {output.name}, as {planned[output].name} would"))
            elif output.resolve() in inputs:
                faults.append(InputError(output, f"is an input, and the output for {source.name} too"))
            elif output.exists() and not overwrite:
                faults.append(InputError(output, "is there already; choose another folder or pass --overwrite"))
            planned.setdefault(output, source)
    if faults:
        raise InputErrors(faults)
    return masks


def _clear_uncertainty(entries: Sequence[Mapping[str, Any]], outputs: Sequence[Path]) -> None:
    """Take away the maps of masks that are replaced, lest they stay beside others."""
    from pipelines.prediction.uncertainty_file import uncertainty_file

    inputs = {Path(name).resolve() for entry in entries for name in _image_files(entry)}
    for mask in outputs:
        if uncertainty_file(mask).resolve() not in inputs:
            uncertainty_file(mask).unlink(missing_ok=True)


def _clear_detections(folder: Path) -> None:
    """Take away what an earlier run has detected."""
    from pipelines.prediction.detections import DETECTION_FILES

    for name in DETECTION_FILES:
        (folder / name).unlink(missing_ok=True)


def _image_files(entry: Mapping[str, Any]) -> list[str]:
    image = entry[Keys.IMAGE.value]
    return [image] if isinstance(image, str) else list(image)


def _segment(
    segmenter: Segmenter,
    entries: Sequence[Mapping[str, Any]],
    outputs: Sequence[Path],
    class_names: Mapping[int, str],
    detections: DetectionRecord,
) -> tuple[list[tuple[Any, ...]], list[InputError]]:
    """Write each image's mask and keep what is detected; give the rows of ``volumes.csv``, and what was wrong with
    those that have none.
    """
    from pipelines.prediction.evaluation import first_image
    from pipelines.prediction.uncertainty_file import uncertainty_file, write_uncertainty
    from transforms.io.scan_folder import is_scan_folder, tells_spacing
    from transforms.io.volume import read_geometry, write_mask

    rows: list[tuple[Any, ...]] = []
    faults = []
    for entry, output in progress(list(zip(entries, outputs, strict=True)), "segmenting"):
        source = first_image(entry)
        try:
            prediction = segmenter.predict(entry)
        except InputError as fault:
            faults.append(fault)
            continue
        try:
            write_mask(output, prediction.labels, source)
            if prediction.uncertainty is not None:
                write_uncertainty(uncertainty_file(output), prediction.uncertainty, source)
        except OSError as fault:
            raise InputError(output, f"cannot be written: {fault.strerror}") from fault
        case_id = str(entry[Keys.CASE_ID.value])
        if prediction.presence is not None:
            detections.add(case_id, prediction.presence, prediction.seconds)
        is_known = not is_scan_folder(source) or tells_spacing(source)
        affine = read_geometry(source).affine if is_known else None
        found = _volumes(case_id, prediction.labels, affine, class_names)
        unit = "pixels" if prediction.labels.ndim == 2 else "voxels"
        say(f"{case_id}: " + ", ".join(_told(row, unit) for row in found))
        rows += found
    return rows, faults


def _volumes(
    case_id: str, labels: np.ndarray, affine: np.ndarray | None, class_names: Mapping[int, str]
) -> list[tuple[Any, ...]]:
    """Count the voxels of each class; a 2D image, and one of unknown spacing, has no volume."""
    import numpy as np

    millilitres = None
    if labels.ndim == 3 and affine is not None:
        millilitres = abs(float(np.linalg.det(affine[:3, :3]))) / 1000
    rows = []
    for label, name in class_names.items():
        voxels = int(np.count_nonzero(labels == label))
        rows.append((case_id, label, name, voxels, None if millilitres is None else round(voxels * millilitres, 7)))
    return rows


def _told(row: tuple[Any, ...], unit: str) -> str:
    _, _, name, voxels, volume = row
    if volume is None:
        return f"{name} {voxels} {unit}"
    # Lesions of the retina are microlitres.
    return f"{name} {volume:.2f} mL" if volume == 0 or volume >= 0.1 else f"{name} {volume:.2g} mL"


def _write_volumes(path: Path, rows: Sequence[tuple[Any, ...]]) -> None:
    from transforms.io.atomic import atomic_path

    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows(rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see :func:`pipelines.console.run_command` for what it returns."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())

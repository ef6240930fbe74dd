"""The raters of one image, named one by one, fused to files beside each other."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pipelines.consensus.case_consensus import CaseFiles, CaseTask, build_case
from pipelines.consensus.data_set import mask_suffix
from pipelines.consensus.methods import ConsensusOptions
from pipelines.consensus.parameter_source import rater_parameters
from pipelines.consensus.rater_files import check_grids
from pipelines.consensus.summary import summarise_records, write_tables
from pipelines.console import claim_output, say
from transforms.io.input_error import InputError
from transforms.io.volume import format_of, stem_of


def fuse_image(
    *,
    raters: tuple[Path, ...],
    output: Path,
    methods: tuple[str, ...],
    options: ConsensusOptions,
    parameters: tuple[str, ...] | None,
    reference: Path | None,
    labels: tuple[int, ...] | None,
    probabilities: bool,
    overwrite: bool,
) -> int:
    """Fuse one image's raters by one method into ``output``, or by several into files of their names in that folder.

    Args:
        raters: label files on one grid, each named once.
        output: file of the consensus, or a folder for several methods.
        methods: of ``pipelines.consensus.methods.METHODS``.
        options: of STAPLE and the hybrid.
        parameters: as ``rater_parameters`` takes them.
        reference: the expert's label.
        labels: that may occur; None for any.
        probabilities: write soft results of all methods.
        overwrite: replace what is there.

    Returns:
        0.

    Raises:
        InputError: for whatever is wrong with the input or the output.
    """
    twice = [path for path, count in Counter(path.resolve() for path in raters).items() if count > 1]
    if twice:
        raise InputError(twice[0], "is named twice among --raters")
    numbers = None if parameters is None else rater_parameters(parameters, raters)
    check_grids(raters, reference)
    several = len(methods) > 1
    stems = {}
    if several:
        claim_output(output, overwrite=overwrite, finished_by="summary.json")
        stems = {method: (output / method, mask_suffix(raters[0])) for method in methods}
    else:
        _check_file(output, raters, overwrite)
        stems = {methods[0]: (output.with_name(stem_of(output)), output.name[len(stem_of(output)) :])}
    files = {
        method: CaseFiles(
            label=stem.with_name(stem.name + suffix),
            uncertainty=stem.with_name(f"{stem.name}_uncertainty.nii.gz"),
            probability=stem.with_name(f"{stem.name}_probability.nii.gz")
            if probabilities or method == "average"
            else None,
            record=stem.with_name(f"{stem.name}_record.json"),
        )
        for method, (stem, suffix) in stems.items()
    }
    name = "image" if several else stem_of(output)
    task = CaseTask(name, raters, tuple(map(str, raters)), numbers, reference, labels, files)
    try:
        records = [build_case(task, options)]
    finally:
        # The record serves to go on with a data set; one image is done anew.
        for each in files.values():
            each.record.unlink(missing_ok=True)
    folder, stem = (output, "") if several else (output.parent, f"{stem_of(output)}_")
    write_tables(folder, records, summarise_records(records, methods), stem)
    for method, record in records[0].items():
        told = (
            f"{files[method].label}: {method} of {len(raters)} raters, labels {', '.join(map(str, record['labels']))}"
        )
        if record["iterations"] is not None:
            told += f", {record['iterations']} iterations" + ("" if record["converged"] else " (not converged)")
        if record["mean_dice"] is not None:
            told += f", Dice {record['mean_dice']:.4f} against the reference"
        say(told)
    return 0


def _check_file(output: Path, raters: tuple[Path, ...], overwrite: bool) -> None:
    if output.is_dir():
        raise InputError(output, "is a folder, but --output must be a file when one image is fused by one method")
    if not format_of(output) or output.suffix.lower() in (".mhd", ".nhdr", ".jpg", ".jpeg"):
        raise InputError(output, "must end in .nii.gz, .nii, .nrrd, .mha, .png or .tif")
    if output.exists() and not overwrite:
        raise InputError(output, "is there already; choose another name or pass --overwrite")
    if output.exists() and any(rater.exists() and output.samefile(rater) for rater in raters):
        raise InputError(output, "is a rater itself, which is not replaced")

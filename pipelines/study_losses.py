"""Train one network per loss function, and draw what each loss makes of it through training.

The same network, with the same first weights, the same batches and the same length, is trained once per loss (and per
seed). Through training the validation cases are looked at: pixel accuracy, intersection over union, confidence of
foreground and background pixels, calibration; per-pixel loss, confidence and gradient of a few cases. Around each
solution the loss is drawn over a plane of random directions and over that of the training's own trajectory. The test
cases are scored once, at the end, and choose nothing.

``--output`` gets ``study.html``, which needs no network, ``study.json`` with all numbers, ``figures/*.png``, and a run
folder per loss and seed with its recording (NPZ). Losses are named as :func:`networks.losses.catalogue.make_loss`
has it; ``python -m networks.losses.catalogue`` prints them all.

References: Lin et al., *Focal loss for dense object detection*, ICCV 2017; Guo et al., *On calibration of modern
neural networks*, ICML 2017; Li et al., *Visualizing the loss landscape of neural nets*, NeurIPS 2018.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.console import add_run_arguments, claim_output, command_parser, run_command, say
from pipelines.data.cohort import checked_dataset
from pipelines.data.splits import VALIDATION_SHARE, cases_of_share, make_splits
from pipelines.devices import check_device_name, resolve_device
from pipelines.training_command import check_training_arguments
from pipelines.workflow import check_ids, config_files, find_bundle, parse_overrides, quiet_monai, run_stage
from transforms.io.input_error import InputError

DEFAULT_BUNDLE = "optic_disc_losses"
DEFAULT_LOSSES = ("ce:weights=[1,1]", "ce:weights=[1,3]", "focal:gamma=1", "focal:gamma=2", "focal:gamma=5", "dice")
STUDY_FILE, PAGE_FILE, RUNS, FIGURES = "study.json", "study.html", "runs", "figures"


class Planned(NamedTuple):
    """One training of the study."""

    loss: str
    seed: int
    folder: Path


def build_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = command_parser("study_losses", "One network per loss; what each loss makes of it, through training.")
    parser.add_argument("--data", type=Path, metavar="DIR", help="data set folder with labelled training cases")
    add_run_arguments(parser, output="the study: page, numbers, figures and runs", seed=False)
    parser.add_argument(
        "--loss",
        action="append",
        metavar="TEXT",
        help=f"a loss by name, e.g. focal:gamma=2; may be repeated (when not given: {' '.join(DEFAULT_LOSSES)})",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N", help="train each loss once per seed")
    parser.add_argument("--bundle", default=DEFAULT_BUNDLE, help="name or folder of the bundle to train")
    parser.add_argument(
        "--overlay",
        action="append",
        default=[],
        metavar="NAME",
        help="further files of the bundle's configs, e.g. quick",
    )
    parser.add_argument("--iterations", type=int, metavar="N", help="length of each training; the bundle's by default")
    parser.add_argument("--every", type=int, metavar="N", help="iterations between two recorded moments")
    parser.add_argument(
        "--validation",
        type=int,
        metavar="N",
        help="cases set aside to watch, where the data set lists none; a fifth of them by default",
    )
    parser.add_argument(
        "--reach", type=float, default=0.5, metavar="SHARE", help="share of the best final IoU that a loss must reach"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the unfinished study in --output")
    parser.add_argument("--smoke", action="store_true", help="a minute on phantoms, to see that everything runs")
    parser.add_argument(
        "--set", action="append", default=[], metavar="ID=VALUE", help="set any id of the configuration"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Train, gather and draw."""
    check_device_name(args.device)
    losses = _check_usage(args)
    overlays = ["quick", "smoke"] if args.smoke else args.overlay
    files = config_files(find_bundle(args.bundle), ["common", "train", "study", *overlays])
    settings = parse_overrides(args.set)
    check_ids(files, settings)
    claim_output(args.output, overwrite=args.overwrite, finished_by=STUDY_FILE, allow=args.resume)
    _refuse_unfinished(args)
    data = _smoke_data(args) if args.smoke else args.data
    overrides = {**_given(args), **_from_data(args, data, settings), **settings, "dataset_dir": str(data)}
    _check_losses(losses, int(overrides.get("num_classes", 1)))
    quiet_monai()
    planned = _plan(args.output / RUNS, losses, args.seeds)
    device = f"$torch.device('{resolve_device(args.device)}')"
    for count, each in enumerate(planned, start=1):
        say(f"training {count} of {len(planned)}: {each.loss}, seed {each.seed}")
        _train(each, files, {**overrides, "device": device})
    return _conclude(args, planned)


def _check_usage(args: argparse.Namespace) -> list[str]:
    """Refuse what makes no study; give the losses."""
    check_training_arguments(args, {"iterations": 1, "every": 1, "validation": 1})
    if not args.smoke and args.data is None:
        raise InputError("--data", "is needed (or --smoke, to try without data)")
    if not 0 < args.reach < 1:
        raise InputError("--reach", f"must lie between 0 and 1, got {args.reach}")
    if min(args.seeds) < 0 or len(set(args.seeds)) < len(args.seeds):
        raise InputError("--seeds", f"must be different numbers from 0, got {' '.join(map(str, args.seeds))}")
    losses = list(args.loss or (("ce", "focal:gamma=2") if args.smoke else DEFAULT_LOSSES))
    if len({_folder_name(loss) for loss in losses}) < len(losses):
        raise InputError("--loss", f"names a loss twice: {', '.join(losses)}")
    return losses


def _refuse_unfinished(args: argparse.Namespace) -> None:
    """Keep what an unfinished study has computed, unless told otherwise."""
    runs = args.output / RUNS
    if not runs.is_dir():
        return
    if args.overwrite:
        shutil.rmtree(runs)
        (args.output / STUDY_FILE).unlink(missing_ok=True)
    elif not args.resume:
        raise InputError(args.output, "holds an unfinished study; pass --resume to go on, or --overwrite to start anew")


def _given(args: argparse.Namespace) -> dict[str, Any]:
    values = {"iterations": args.iterations, "every": args.every, "validation_cases": args.validation}
    return {name: value for name, value in values.items() if value is not None}


def _from_data(args: argparse.Namespace, data: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Fit the study to the data set (classes, channels), set a fifth of the cases aside to watch where nobody has said
    how many, and refuse what is not sound before torch is loaded.
    """
    dataset, report = checked_dataset(data)
    first = next(iter(report.fingerprint["cases"].values()))
    found = {"label_classes": len(dataset.labels) - 1, "in_channels": first["channels"]}
    if args.validation is None and "validation_cases" not in settings:
        found["validation_cases"] = cases_of_share(dataset, VALIDATION_SHARE, args.seeds[0])
    watched = args.validation or settings.get("validation_cases") or found.get("validation_cases")
    if not watched and not dataset.validation:
        raise InputError(data, "lists no validation case and has no labelled one to spare, by which losses are watched")
    for seed in args.seeds:
        make_splits(dataset, None, watched or None, seed)
    return {name: value for name, value in found.items() if name not in settings}


def _check_losses(losses: Sequence[str], num_classes: int) -> None:
    """Make each loss and try it, so that none is refused when others have been trained already.

    Raises:
        InputError: for a loss that is unknown, refuses its parameters, or is none of a mask head.
    """
    import torch

    from networks.losses.catalogue import REGRESSION_LOSSES, make_loss

    for text in losses:
        named = set(re.findall(r"[A-Za-z_]\w*", re.sub(r":[^+]*", "", text)))
        if named & set(REGRESSION_LOSSES):
            raise InputError("--loss", f"{text}: is a loss of distances, not of masks")
        try:
            value = make_loss(text)(torch.zeros(1, num_classes, 16, 16), torch.zeros(1, 1, 16, 16))
        except ValueError as fault:
            raise InputError("--loss", f"{text}: {fault}") from fault
        if value.dim() > 0:
            raise InputError("--loss", f"{text}: gives a value per pixel, and a training needs one number")


def _folder_name(loss: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "_", loss).strip("_")


def _plan(folder: Path, losses: Sequence[str], seeds: Sequence[int]) -> list[Planned]:
    return [Planned(loss, seed, folder / f"{_folder_name(loss)}_seed{seed}") for seed in seeds for loss in losses]


def _train(each: Planned, files: Sequence[Path], overrides: Mapping[str, Any]) -> None:
    """Train once, or go on where it was interrupted; what is finished is left alone."""
    from pipelines.loss_study.ending import ENDING_FILE

    if (each.folder / ENDING_FILE).is_file():
        say("finished before")
        return
    own = {"loss": each.loss, "seed": each.seed, "output_dir": str(each.folder), "resume": True, "overwrite": False}
    run_stage(files, {**overrides, **own}, "train")


def _conclude(args: argparse.Namespace, planned: Sequence[Planned]) -> int:
    """Gather the numbers, draw, and write the page; ``study.json`` comes last and says that all is there."""
    from pipelines.figures.study_figures import write_study_figures
    from pipelines.figures.study_page import write_study_page
    from pipelines.loss_study.study import StudiedRun, gather_study, tell_study
    from transforms.io.atomic import write_json_atomic

    runs = [StudiedRun(each.loss, each.seed, each.folder) for each in planned]
    study = gather_study(runs, args.reach)
    pictures = write_study_figures(args.output / FIGURES, runs, study)
    write_study_page(args.output / PAGE_FILE, runs, study)
    write_json_atomic(args.output / STUDY_FILE, study)
    for line in tell_study(study):
        say(line)
    say(f"{len(pictures)} figures: {args.output / FIGURES}; page: {args.output / PAGE_FILE}")
    return 0


def _smoke_data(args: argparse.Namespace) -> Path:
    from pipelines.data.phantoms import make_cohort

    folder: Path = args.output / "phantoms"
    make_cohort("fundus", folder, 5, labeled=4, unlabeled=0, test=1, shape=(96, 96), seed=args.seeds[0])
    return folder


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see :func:`pipelines.console.run_command` for what it returns."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())

"""What the commands share that train one of several methods, or several methods and seeds to compare them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from pipelines.console import claim_output, say
from pipelines.data.dataset import DataSet, read_dataset
from pipelines.data.splits import VALIDATION_SHARE, cases_of_share
from pipelines.devices import check_device_name, resolve_device
from pipelines.training_command import (
    SmokeData,
    Values,
    check_training_arguments,
    composed,
    data_folder,
    nothing_to_resume,
    stored,
)
from pipelines.workflow import check_ids, config_files, find_bundle, parse_overrides, quiet_monai, run_stage
from transforms.io.input_error import InputError


class FitOfMethod(Protocol):
    """Gives what depends on the data set, and refuses what is not sound, before torch is loaded."""

    def __call__(self, args: argparse.Namespace, data: Path, settings: Mapping[str, Any]) -> Values:
        """Look at the data set in ``data``; ``settings`` are what the user has set."""
        ...


@dataclass(frozen=True)
class MethodTraining:
    """A command that trains by one of several methods.

    Attributes:
        module: of the command.
        bundle: the bundle that it is for, by default.
        methods: the overlays that make each method of the bundle's own settings.
        default: the method when none is named.
        one_process: why there can be no several processes of one training.
        scores: words of ``evaluate``: what a comparison measures beyond overlap and surfaces.
        smoke_data: makes the phantoms of ``--smoke``.
        fit: gives what depends on the data.
    """

    module: str
    bundle: str
    methods: Mapping[str, tuple[str, ...]]
    default: str
    one_process: str
    scores: tuple[str, ...]
    smoke_data: SmokeData
    fit: FitOfMethod

    def add_arguments(self, parser: argparse.ArgumentParser, *, method: str) -> None:
        """Add the options of methods, seeds and validation cases; ``method`` is what the help says of a method."""
        parser.add_argument(
            "--method",
            action="append",
            choices=list(self.methods),
            help=f"{method}, {self.default} if none is named; give it again to compare several",
        )
        parser.add_argument(
            "--seeds", type=int, nargs="+", metavar="N", help="in place of --seed: train with each of them"
        )
        parser.add_argument(
            "--jobs", type=int, default=1, metavar="N", help="trainings side by side, when there are several"
        )
        parser.add_argument(
            "--validation",
            type=int,
            metavar="N",
            help="cases set aside to choose the best weights where the data set lists none; a fifth of them by default",
        )

    def run(self, args: argparse.Namespace) -> int:
        """Train by one method, or by several and compare them."""
        check_device_name(args.device)
        self._check_usage(args)
        methods = list(dict.fromkeys(args.method or [self.default]))
        seeds = list(dict.fromkeys([args.seed] if args.seeds is None else args.seeds))
        if len(methods) * len(seeds) > 1:
            return self._compare(args, methods, seeds)
        args.seed = seeds[0]
        if nothing_to_resume(args):
            return 0
        if args.smoke:
            args.overlay = ["quick", "smoke"]
        says_which = args.smoke or args.overlay or args.method or args.bundle != self.bundle
        if args.resume and not says_which:
            files, overrides = stored(args, (), _given(args))
        else:
            stages = self.stages(args, methods[0])
            files, overrides = composed(args, stages, _given(args), self.smoke_data, partial(self.fit, args))
        quiet_monai()
        run_stage(files, {**overrides, "device": f"$torch.device('{resolve_device(args.device)}')"}, "train")
        return 0

    def stages(self, args: argparse.Namespace, method: str) -> list[str]:
        """Give the names of the configurations of a method, later ones winning."""
        return ["common", "train", *args.overlay, *self.methods[method]]

    def _check_usage(self, args: argparse.Namespace) -> None:
        check_training_arguments(args, {"iterations": 1, "validation": 0, "seed": 0, "jobs": 1})
        for seed in args.seeds or ():
            if seed < 0:
                raise InputError("--seeds", f"must be at least 0, got {seed}")
        if args.seeds and args.seed:
            raise InputError("--seed", "and --seeds contradict each other")
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise InputError("--nproc_per_node", f"{self.one_process}; start it without torchrun")

    def _compare(self, args: argparse.Namespace, methods: Sequence[str], seeds: Sequence[int]) -> int:
        """Train each method with each seed in a folder of its own, and compare what came of it."""
        from pipelines.runs.method_comparison import COMPARISON_FILE, compare_methods, score_runs
        from pipelines.runs.trainings import run_all

        if args.smoke:
            args.overlay = ["quick", "smoke"]
        settings = parse_overrides(args.set)
        for method in methods:
            check_ids(config_files(find_bundle(args.bundle), self.stages(args, method)), settings)
        claim_output(args.output, overwrite=args.overwrite, finished_by=COMPARISON_FILE, allow=args.resume)
        data = data_folder(args, self.smoke_data)
        if not any(case.label for case in read_dataset(data).test):
            raise InputError(data, "has no labelled test case, on which methods and seeds could be compared")
        for args.seed in seeds:
            self.fit(args, data, settings)
        planned = self._planned(args, data, methods, seeds)
        run_all(list(planned.values()), args.jobs, anew=args.overwrite)
        folders = {method: [planned[method, seed].folder for seed in seeds] for method in methods}
        measured = ["--data", str(data), "--split", "test", "--device", args.device, *self.scores]
        score_runs([training.folder for training in planned.values()], measured)
        for line in compare_methods(folders, seeds, args.output):
            say(line)
        return 0

    def _planned(
        self, args: argparse.Namespace, data: Path, methods: Sequence[str], seeds: Sequence[int]
    ) -> dict[tuple[str, int], Any]:
        """Give the trainings by method and seed."""
        from pipelines.runs.trainings import Training, settings_words

        words = ["--data", str(data), "--bundle", args.bundle, "--device", args.device, *settings_words(args)]
        for option in ("iterations", "validation"):
            if getattr(args, option) is not None:
                words += [f"--{option}", str(getattr(args, option))]
        # Seed by seed, so that what is there when someone stops it is a comparison.
        return {
            (method, seed): Training(
                self.module,
                [*words, "--method", method, "--seed", str(seed)],
                args.output / f"{method}_{seed}",
            )
            for seed in seeds
            for method in methods
        }


def validation_cases(args: argparse.Namespace, dataset: DataSet, settings: Mapping[str, Any]) -> int | None:
    """Give how many cases to set aside for validation where neither the user nor the data set says: about a fifth, as
    many as whole patients add up to.

    Returns:
        None where it has been said.

    Raises:
        InputError: when no part of the cases is made of whole patients.
    """
    if args.validation is not None or "validation_cases" in settings:
        return None
    return cases_of_share(dataset, VALIDATION_SHARE, args.seed)


def _given(args: argparse.Namespace) -> dict[str, Any]:
    values = {"validation_cases": args.validation, "iterations": args.iterations}
    return {name: value for name, value in values.items() if value is not None}

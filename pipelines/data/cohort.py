"""The cases of one training: read, checked and split before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.console import say
from pipelines.data.dataset import DataSet, read_dataset
from pipelines.data.integrity import Report, check_dataset
from pipelines.data.integrity_cache import default_cache
from pipelines.data.splits import Splits, make_splits, write_splits
from transforms.io.input_error import InputError


class Cohort:
    """What a training learns from, selects by and is tested on, as lists of case entries.

    Making one reads the data set, runs the whole data check (known files are not read again, see
    :func:`pipelines.data.integrity.check_dataset`) and splits it by patient. Nothing is written before all is well.

    Args:
        dataset_dir: folder in the data layout.
        labeled: how many labelled training cases keep their labels; None for all.
        validation: how many labelled cases to set aside for validation when the data set has no list of its own.
        seed: of the split.
        spatial_dims: 2 or 3, what the network is for.
        in_channels: image channels that the network is for.
        num_classes: foreground classes that the network is for.
        unlabeled: take the unlabelled scans too; a supervised training has no use for them.

    Raises:
        InputError: for every fault of the data, and when the data are not what the network is for.
    """

    def __init__(
        self,
        dataset_dir: str | Path,
        labeled: int | None,
        validation: int | None,
        seed: int,
        spatial_dims: int,
        in_channels: int,
        num_classes: int,
        unlabeled: bool = True,
    ) -> None:
        dataset, report = checked_dataset(Path(dataset_dir))
        _fits_network(dataset, num_classes)
        self.root = dataset.root
        self.splits = self._split(dataset, labeled, validation, seed)
        for warning in report.warnings:
            say(f"warning: {warning}")
        self.fingerprint = report.fingerprint
        _fits_images(dataset, self.fingerprint, spatial_dims, in_channels)
        self.name = dataset.name
        self.modality = dataset.modality
        self.class_names = {index: name for index, name in dataset.labels.items() if index > 0}
        self.labeled = self.splits.entries("labeled")
        self.unlabeled = self.splits.entries("unlabeled") if unlabeled else []
        self.validation = self.splits.entries("validation")
        self.test = self.splits.entries("test")
        self._gather()
        say(f"{self.name}: {self._told()}, {len(self.validation)} validation and {len(self.test)} test cases")

    def _split(self, dataset: DataSet, labeled: int | None, validation: int | None, seed: int) -> Splits:
        return make_splits(dataset, labeled, validation, seed)

    def _gather(self) -> None:
        """Make what a kind of cohort has beside the entries of its splits."""

    def _told(self) -> str:
        """Say what is learnt from."""
        return f"{len(self.labeled)} labelled, {len(self.unlabeled)} unlabelled"

    @property
    def training(self) -> list[dict[str, Any]]:
        """Labelled entries, then unlabelled ones."""
        return self.labeled + self.unlabeled

    def write_splits(self, path: Path) -> None:
        """Write which case is in which split, as JSON."""
        write_splits(path, self.splits)


def checked_dataset(root: Path) -> tuple[DataSet, Report]:
    """Read a data set and check every file of it; files that have been checked before are not read again.

    Raises:
        InputError: (``InputErrors`` when there are several) for every fault, and for a data set without a training
            case.
    """
    dataset = read_dataset(root)
    if not dataset.training:
        raise InputError(dataset.root, "lists no training case")
    report = check_dataset(dataset, cache=default_cache(dataset.root))
    report.raise_for_faults()
    return dataset, report


def _fits_network(dataset: DataSet, num_classes: int) -> None:
    declared = len(dataset.labels) - 1
    if declared != num_classes:
        names = ", ".join(name for index, name in dataset.labels.items() if index > 0)
        raise InputError(
            dataset.root / "dataset.json",
            f"declares {declared} classes ({names}), but the configuration is for {num_classes}; "
            f"pass --set num_classes={declared}",
        )


def _fits_images(dataset: DataSet, fingerprint: dict[str, Any], spatial_dims: int, in_channels: int) -> None:
    case = next(iter(fingerprint["cases"].values()))
    for option, wanted, found in (
        ("spatial_dims", spatial_dims, len(case["shape"])),
        ("in_channels", in_channels, case["channels"]),
    ):
        if found != wanted:
            raise InputError(
                dataset.root,
                f"holds images with {option} {found}, but the configuration is for {wanted}; "
                f"pass --set {option}={found} and what follows from it"
                + (" (the overlay planar does, where the bundle has it)" if option == "spatial_dims" else ""),
            )

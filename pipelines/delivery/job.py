"""What is to be segmented, by what, and who gets the results."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.pacs.address import Address
from pipelines.pacs.archive import Archive, MoveDestination, open_archive
from pipelines.pacs.credentials import Credentials, Tls
from pipelines.pacs.patience import Patience
from pipelines.pacs.series_rules import SeriesRules


@dataclass(frozen=True)
class Job:
    """One series to segment.

    Attributes:
        bundles: run folders, checkpoints or bundles; several make an ensemble.
        source: where the series is.
        target: who gets the results.
        rules: which series is meant.
        receipt: file of the record.
        options: of inference, as ``pipelines.prediction.options`` reads them.
        form: of the segmentation.
        uid_root: registered root of identifiers; empty for UUIDs.
        credentials: for DICOMweb.
        tls: certificates; None for the machine's authorities and no certificate of ours.
        patience: limits of time.
        move: fetch by C-MOVE to here; None for C-GET.
        allow_plain: whether credentials may go to another machine without TLS.
    """

    bundles: tuple[Path, ...]
    source: Address
    target: Address
    rules: SeriesRules
    receipt: Path
    options: argparse.Namespace
    form: Literal["BINARY", "LABELMAP"] = "BINARY"
    uid_root: str = ""
    credentials: Credentials | None = None
    tls: Tls | None = None
    patience: Patience = Patience()
    move: MoveDestination | None = None
    allow_plain: bool = False

    def open(self, address: Address) -> Archive:
        """Make the archive at ``source`` or ``target``; nothing is sent yet."""
        return open_archive(
            address,
            credentials=self.credentials,
            tls=self.tls,
            patience=self.patience,
            move=self.move,
            allow_plain=self.allow_plain,
        )

    @property
    def unsent(self) -> Path:
        """Where results are kept that the target did not take."""
        return self.receipt.parent / f"{self.receipt.stem}_unsent"

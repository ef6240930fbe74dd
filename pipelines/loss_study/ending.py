"""The end of a studied training: the one look at the test cases, and what it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipelines.console import progress
from pipelines.handlers.metrics_log import read_metrics
from pipelines.loss_study.scoring import mask_logits, score_cases
from pipelines.runs.record import peak_memory
from transforms.io.atomic import write_json_atomic

ENDING_FILE = "ending.json"


class StudyEnding:
    """Score the last weights on the test cases, once, and write that and the costs of the training.

    Nothing of a study is chosen by these scores. They are on the grid that the network sees, as all of a study.

    Args:
        folder: the run folder; gets ``ending.json``, which says that the run is finished.
        network: the trained network.
        cases: preprocessed test cases, ``image`` and ``label``; may be none.
        device: where the network is.
        head: the network's mask head.
    """

    def __init__(
        self,
        folder: str | Path,
        network: nn.Module,
        cases: Sequence[Mapping[str, Any]],
        device: torch.device,
        head: str = "mask",
    ) -> None:
        self.folder = Path(folder)
        self.network = network
        self.cases = cases
        self.device = device
        self.head = head

    def write(self) -> None:
        """Score and write."""
        self.network.eval()
        count = len(self.cases)
        cases = (self.cases[index] for index in progress(range(count), "test cases"))
        scores = (
            score_cases(lambda image: mask_logits(self.network, image, self.head), cases, self.device)
            if count
            else None
        )
        rows = read_metrics(self.folder / "metrics.csv")
        content = {
            "test_cases": count,
            "test": None if scores is None else dict(scores.values),
            "test_bins": None if scores is None else scores.bins.to_json(),
            "training_seconds": float(rows[-1]["seconds"]) if rows else None,
            **peak_memory(),
        }
        write_json_atomic(self.folder / ENDING_FILE, content)

"""Recording a training: scores on the validation cases, maps of a few of them, and the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import nn

from pipelines.keys import Keys
from pipelines.loss_study.pixel_maps import pixel_maps
from pipelines.loss_study.recording import (
    MAPS,
    Moment,
    PicturedCase,
    moment_file,
    recorded_iterations,
    write_cases,
    write_moment,
)
from pipelines.loss_study.scoring import ScoreSums, case_tensors, mask_logits
from transforms.io.input_error import InputError


class LossRecorder:
    """Keep what there is to see of a training, at its start, every so many iterations and at its end.

    The validation cases alone are looked at. Recording draws no random number and changes no weight: a training that
    is recorded is the same as one that is not. A resumed training writes again what it computes again.

    Args:
        folder: gets a file a moment, see :mod:`pipelines.loss_study.recording`.
        network: the trained network.
        cases: preprocessed validation cases: ``image``, ``label`` and ``case_id``.
        loss: what is minimised, of logits (B, K, ...) and labels (B, 1, ...).
        every: iterations between two moments.
        iterations: how many there are in all.
        device: where the network is.
        head: the network's mask head.
        pictured: how many cases to keep maps of, the first ones.
        keep_weights: keep all parameters, in half precision.

    Raises:
        InputError: when there is no validation case, or ``every`` is less than 1.
    """

    def __init__(
        self,
        folder: str | Path,
        network: nn.Module,
        cases: Sequence[Mapping[str, Any]],
        loss: nn.Module,
        every: int,
        iterations: int,
        device: torch.device,
        head: str = "mask",
        pictured: int = 3,
        keep_weights: bool = True,
    ) -> None:
        if not len(cases):
            raise InputError("--validation", "there is no validation case to watch a loss on; set some aside")
        if every < 1 or pictured < 1:
            raise InputError("--every", f"must be at least 1, and so must the pictured cases; got {every}, {pictured}")
        self.folder = Path(folder)
        self.network = network
        self.cases = cases
        self.loss = loss
        self.every = every
        self.iterations = iterations
        self.device = device
        self.head = head
        self.pictured = min(pictured, len(cases))
        self.keep_weights = keep_weights

    def attach(self, engine: Engine) -> None:
        """Record through the run of ``engine``, whose iteration is known when it starts."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._maybe_record)

    def predict(self, image: torch.Tensor) -> torch.Tensor:
        """Logits (B, K, ...) of an image (B, C, ...)."""
        return mask_logits(self.network, image, self.head)

    def record(self, iteration: int) -> None:
        """Record the present weights."""
        self.network.eval()
        sums, losses, maps = ScoreSums(), [], []
        for index, case in enumerate(self.cases):
            image, label = case_tensors(case, self.device)
            with torch.no_grad():
                logits = self.predict(image)
                losses.append(float(self.loss(logits, label)))
            sums.add(logits, label)
            if index < self.pictured:
                maps.append(pixel_maps(logits, label, self.loss))
        loss = float(np.mean(losses))
        parts = {name: [getattr(one, name) for one in maps] for name in MAPS if getattr(maps[0], name) is not None}
        write_moment(
            self.folder,
            Moment(iteration, sums.scores(), loss if np.isfinite(loss) else None, parts, self._weights()),
        )

    def _weights(self) -> np.ndarray:
        if not self.keep_weights:
            return np.zeros(0, np.float16)
        flat = torch.cat([part.detach().reshape(-1) for part in self.network.parameters()])
        return flat.to(torch.float16).cpu().numpy()

    def _start(self, engine: Engine) -> None:
        started = engine.state.iteration
        for iteration in recorded_iterations(self.folder):
            if iteration > started or not started:  # of a run before this one, or to be computed again
                moment_file(self.folder, iteration).unlink()
        pictured = [self.cases[index] for index in range(self.pictured)]
        write_cases(
            self.folder,
            [
                PicturedCase(
                    str(case[Keys.CASE_ID.value]),
                    np.asarray(case[Keys.IMAGE.value], np.float32),
                    np.asarray(case[Keys.LABEL.value])[0].astype(np.uint8),
                )
                for case in pictured
            ],
        )
        if not started:
            self.record(0)

    def _maybe_record(self, engine: Engine) -> None:
        iteration = engine.state.iteration
        if iteration % self.every == 0 or iteration == self.iterations:
            self.record(iteration)

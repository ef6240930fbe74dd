"""A network of a handful of weights, cases of a few pixels, and the run folder of a study made of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from torch import nn

from networks.losses.catalogue import make_loss
from pipelines.loss_study.ending import StudyEnding
from pipelines.loss_study.landscape import LossLandscape
from pipelines.loss_study.recorder import LossRecorder
from pipelines.loss_study.study import StudiedRun

CPU = torch.device("cpu")


class TinyNetwork(nn.Module):
    """Two convolutions; gives a dictionary by head, as networks of several heads do."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 3, 3, padding=1)
        self.up = nn.ConvTranspose2d(3, 2, 1)
        self.last = nn.Conv2d(2, 1, 1)
        generator = torch.Generator().manual_seed(seed)
        for part in self.parameters():
            part.data = torch.randn(part.shape, generator=generator) * 0.5

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"mask": self.last(torch.relu(self.up(torch.relu(self.first(x)))))}


def tiny_cases(count: int = 3) -> list[Mapping[str, Any]]:
    """Bright squares on noise, (1, 10, 8)."""
    draw = np.random.default_rng(5)
    cases = []
    for index in range(count):
        label = np.zeros((1, 10, 8), np.float32)
        label[0, 2 : 5 + index, 3:6] = 1
        image = (label + 0.3 * draw.standard_normal(label.shape)).astype(np.float32)
        cases.append({"image": image, "label": label, "case_id": f"case <{index}>"})
    return cases


def train_tiny(
    folder: Path, text: str, *, iterations: int = 20, every: int = 5, network: nn.Module | None = None
) -> Any:
    """Train and record; give the recorder."""
    network = TinyNetwork() if network is None else network
    loss = make_loss(text)
    cases = tiny_cases()
    recorder = LossRecorder(folder / "recording", network, cases, loss, every, iterations, CPU, pictured=2)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    images, labels = (torch.from_numpy(np.stack([case[key] for case in cases])) for key in ("image", "label"))

    def step(engine: Engine, batch: Any) -> float:
        network.train()
        optimizer.zero_grad()
        value = loss(network(images)["mask"], labels)
        value.backward()
        optimizer.step()
        return value.item()

    engine = Engine(step)
    recorder.attach(engine)
    engine.run(range(iterations), max_epochs=1)
    return recorder


def tiny_study(
    folder: Path, texts: tuple[str, ...] = ("ce:weights=[1,3]", "focal:gamma=2", "dice")
) -> list[StudiedRun]:
    """Make the run folders of a study, one per loss, with recordings, surfaces and endings."""
    runs = []
    for index, text in enumerate(texts):
        run = folder / f"run{index}"
        network = TinyNetwork()
        recorder = train_tiny(run, text, network=network)
        landscape = LossLandscape(run, network, tiny_cases(1), recorder.loss, run / "recording", CPU, points=5)
        landscape.write()
        (run / "metrics.csv").write_text("iteration,seconds\n20,1.5\n")
        StudyEnding(run, network, tiny_cases(2), CPU).write()
        runs.append(StudiedRun(text, 0, run))
    return runs

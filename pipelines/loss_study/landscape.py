"""The surface of a loss over a plane through a trained network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pipelines.console import progress
from pipelines.data.seeds import derive_seed
from pipelines.loss_study.directions import filter_normalised_direction, flat_parameters, trajectory_plane
from pipelines.loss_study.recording import opened_arrays, read_moment, recorded_iterations
from pipelines.loss_study.scoring import case_tensors, class_probabilities, intersection_over_union, mask_logits
from transforms.io.atomic import atomic_path
from transforms.io.input_error import InputError

PLANES = ("random", "trajectory")
DIRECTION_STREAM = 11
MARGIN = 0.2


@dataclass(frozen=True)
class Surface:
    """A loss over a plane.

    Attributes:
        x: (A,) coordinates along the first direction.
        y: (B,) along the second.
        loss: (B, A); not finite where it overflows.
        iou: (B, A), of the same cases: the mean of their foregrounds' intersections over unions.
        path: (T, 2), the way that training took, projected; (0, 2) where the plane was not laid along it.
        iterations: (T,) of the path's points.
        explained: share of the path's variance along each direction; NaN where there is no path.
    """

    x: np.ndarray
    y: np.ndarray
    loss: np.ndarray
    iou: np.ndarray
    path: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    iterations: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    explained: np.ndarray = field(default_factory=lambda: np.full(2, np.nan))


class LossLandscape:
    """Compute the surfaces of a trained network's own loss and write them.

    ``random`` is the plane of two filter-normalised random directions around the solution, from -radius to radius;
    ``trajectory`` that of the two principal directions of the weights that were recorded through training. Running
    statistics of batch norms stay those of the solution. The network's weights are as before afterwards.

    Reference: Li et al., *Visualizing the loss landscape of neural nets*, NeurIPS 2018.

    Args:
        folder: gets ``landscape_random.npz`` and ``landscape_trajectory.npz``.
        network: the trained network.
        cases: preprocessed training cases to evaluate on, ``image`` and ``label``; few, as every point of a plane costs
            a pass over them.
        loss: of logits (B, K, ...) and labels (B, 1, ...).
        recording: folder of the recorded weights.
        device: where the network is.
        seed: of the random directions; equal for all losses of a study.
        head: the network's mask head.
        points: of the grid along each direction; an odd number has the solution in the middle. 0: no surface.
        radius: how far the random plane reaches; 1 changes every filter by its own length.

    Raises:
        InputError: for fewer than 2 points but not 0, or a radius that is not positive.
    """

    def __init__(
        self,
        folder: str | Path,
        network: nn.Module,
        cases: Sequence[Mapping[str, Any]],
        loss: nn.Module,
        recording: str | Path,
        device: torch.device,
        seed: int = 0,
        head: str = "mask",
        points: int = 15,
        radius: float = 1.0,
    ) -> None:
        if points == 1 or points < 0 or not radius > 0:
            raise InputError(
                "landscape_points", f"must be 0 or at least 2, and the radius positive: {points}, {radius}"
            )
        self.folder = Path(folder)
        self.network = network
        self.cases = cases
        self.loss = loss
        self.recording = Path(recording)
        self.device = device
        self.seed = seed
        self.head = head
        self.points = points
        self.radius = radius

    def write(self) -> None:
        """Compute both surfaces, or only the first when fewer than two moments' weights were kept."""
        if not self.points:
            return
        for name, surface in (("random", self.random), ("trajectory", self.trajectory)):
            found = surface()
            if found is not None:
                write_surface(self.folder / f"landscape_{name}.npz", found)

    def random(self) -> Surface:
        """The plane of two random directions."""
        generator = torch.Generator().manual_seed(derive_seed(self.seed, DIRECTION_STREAM))
        directions = torch.stack([filter_normalised_direction(self.network, generator) for _ in range(2)])
        steps = np.linspace(-self.radius, self.radius, self.points)
        return self._over(directions, steps, steps, "random plane")

    def trajectory(self) -> Surface | None:
        """The plane along the trajectory; None when there is none."""
        iterations = recorded_iterations(self.recording)
        moments = [read_moment(self.recording, iteration, with_weights=True) for iteration in iterations]
        if len(moments) < 2 or not len(moments[0].weights):
            return None
        # The solution itself in full precision: the plane goes through it, not near it.
        solution = flat_parameters(self.network)
        plane = trajectory_plane(
            [*(moment.weights.astype(np.float32) for moment in moments[:-1]), solution.cpu().numpy()]
        )
        axes = []
        for along in plane.path.T:
            low, high = float(along.min()), float(along.max())
            reach = MARGIN * max(high - low, 1e-3)
            axes.append(np.linspace(low - reach, high + reach, self.points))
        directions = torch.from_numpy(plane.directions).to(self.device)
        surface = self._over(directions, axes[0], axes[1], "trajectory's plane")
        return Surface(
            surface.x,
            surface.y,
            surface.loss,
            surface.iou,
            plane.path,
            np.array(iterations, np.int64),
            np.array(plane.explained),
        )

    def _over(self, directions: torch.Tensor, x: np.ndarray, y: np.ndarray, what: str) -> Surface:
        places = [(row, column) for row in range(len(y)) for column in range(len(x))]
        loss, iou = np.zeros((len(y), len(x))), np.zeros((len(y), len(x)))
        batch = [case_tensors(case, self.device) for case in self.cases]
        with _evaluated(self.network) as move:
            for row, column in progress(places, what):
                move(float(x[column]) * directions[0] + float(y[row]) * directions[1])
                loss[row, column], iou[row, column] = self._value(batch)
        return Surface(x, y, loss, iou)

    def _value(self, batch: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> tuple[float, float]:
        losses, overlaps = [], []
        with torch.no_grad():
            for image, label in batch:
                logits = mask_logits(self.network, image, self.head)
                losses.append(float(self.loss(logits, label)))
                predicted = class_probabilities(logits.nan_to_num())[0].argmax(dim=0).cpu().numpy()
                truth = label[0, 0].cpu().numpy()
                overlap = intersection_over_union(predicted, truth, logits.shape[1])
                overlaps += [] if overlap is None else [overlap]
        return float(np.mean(losses)), float(np.mean(overlaps)) if overlaps else float("nan")


def mean_rise(surface: Surface) -> float | None:
    """Say how steep a basin is: how much the loss rises on the average from the middle of the plane to the circle half
    as far out as the plane reaches, relative to nothing (in units of the loss).

    None when the plane has no point in its middle, or a loss is not finite.
    """
    centre_x, centre_y = (np.flatnonzero(np.isclose(axis, 0.0, atol=1e-9)) for axis in (surface.x, surface.y))
    if not len(centre_x) or not len(centre_y):
        return None
    distance = np.hypot(surface.x[None, :], surface.y[:, None])
    radius = float(surface.x.max()) / 2
    ring = np.abs(distance - radius) <= float(surface.x[1] - surface.x[0]) / 2
    values = surface.loss[ring] - surface.loss[centre_y[0], centre_x[0]]
    return float(values.mean()) if len(values) and np.isfinite(values).all() else None


def write_surface(path: Path, surface: Surface) -> None:
    """Write a surface, whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **vars(surface))


def read_surface(path: Path) -> Surface | None:
    """Read a surface; None when there is none.

    Raises:
        InputError: when the file is damaged.
    """
    if not path.is_file():
        return None
    with opened_arrays(path) as arrays:
        return Surface(**{name: arrays[name] for name in arrays.files})


@contextmanager
def _evaluated(network: nn.Module) -> Iterator[Callable[[torch.Tensor], None]]:
    """Put a network into evaluation mode and give what moves its weights; all is as before afterwards."""
    solution, was_training = flat_parameters(network), network.training
    network.eval()

    def move(step: torch.Tensor) -> None:
        start = 0
        with torch.no_grad():
            for parameter in network.parameters():  # in place, so that their memory's layout stays
                stop = start + parameter.numel()
                parameter.copy_((solution[start:stop] + step[start:stop]).view_as(parameter))
                start = stop

    try:
        yield move
    finally:
        move(torch.zeros_like(solution))
        network.train(was_training)

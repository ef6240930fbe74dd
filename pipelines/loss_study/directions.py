"""Directions in the space of a network's weights: random ones of its filters' size, and those it was trained along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.modules.conv import _ConvTransposeNd


@dataclass(frozen=True)
class TrajectoryPlane:
    """The plane that holds most of a trajectory.

    Attributes:
        directions: (2, P) float32, orthonormal; a row of zeros when the trajectory has no such direction.
        path: (T, 2), where each point of the trajectory lies when projected onto the plane; the last is (0, 0).
        explained: the share of the trajectory's variance along each direction.
    """

    directions: np.ndarray
    path: np.ndarray
    explained: tuple[float, float]


def flat_parameters(network: nn.Module) -> torch.Tensor:
    """Give all parameters in their order as one vector (P,), a copy."""
    return torch.cat([part.detach().reshape(-1) for part in network.parameters()]).clone()


def filter_normalised_direction(network: nn.Module, generator: torch.Generator) -> torch.Tensor:
    """Draw a random direction each of whose filters is as long as the network's own filter in that place.

    Scale means nothing in networks with rectifiers and norms, so that loss surfaces along plain random directions are
    not comparable; these are. Biases and the parameters of norms are left alone, as in the paper.

    Reference: Li et al., *Visualizing the loss landscape of neural nets*, NeurIPS 2018.

    Args:
        network: whose present weights set the lengths.
        generator: on the CPU; draws from a normal distribution.

    Returns:
        (P,) in the order of ``network.parameters()``.
    """
    # A filter makes one output channel; a transposed convolution has that as its second axis.
    transposed = {id(module.weight) for module in network.modules() if isinstance(module, _ConvTransposeNd)}
    parts = []
    for parameter in network.parameters():
        weight = parameter.detach().cpu().float()
        if weight.dim() < 2:
            parts.append(torch.zeros(weight.numel()))
            continue
        drawn = torch.randn(weight.shape, generator=generator)
        axis = 1 if id(parameter) in transposed else 0
        others = tuple(index for index in range(weight.dim()) if index != axis)
        length, own = (torch.linalg.vector_norm(part, dim=others, keepdim=True) for part in (weight, drawn))
        parts.append((drawn * length / own.clamp(min=1e-12)).reshape(-1))
    return torch.cat(parts).to(next(network.parameters()).device)


def trajectory_plane(weights: Sequence[np.ndarray] | np.ndarray) -> TrajectoryPlane:
    """Find the two principal directions of the way that training took to its last point.

    The differences of all points from the last are decomposed, without taking their mean away, as in the paper.
    Their T x T products are small whatever the number of weights.

    Reference: Li et al., NeurIPS 2018, section 7.

    Args:
        weights: (T, P), the last one the solution; T is 2 or more.

    Raises:
        ValueError: for fewer than two points.
    """
    points = np.asarray(weights, np.float32)
    if len(points) < 2:
        raise ValueError(f"a trajectory has two points or more, got {len(points)}.")
    steps = points[:-1] - points[-1]
    products = (steps @ steps.T).astype(float)
    values, vectors = np.linalg.eigh(products)
    total = max(float(np.trace(products)), np.finfo(float).tiny)
    directions = np.zeros((2, points.shape[1]), np.float32)
    explained = [0.0, 0.0]
    for row, index in enumerate(np.argsort(values)[::-1][:2]):
        # Of a trajectory along one line the second value is a rounding error, and its direction would be noise.
        if values[index] > 1e-6 * total:
            directions[row] = (vectors[:, index] @ steps) / np.sqrt(values[index])
            explained[row] = float(values[index] / total)
    path = np.concatenate([steps @ directions.T, np.zeros((1, 2))]).astype(float)
    return TrajectoryPlane(directions, path, (explained[0], explained[1]))

"""Lengths of filters, and planes of trajectories that lie in one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pipelines.loss_study.directions import filter_normalised_direction, flat_parameters, trajectory_plane
from tests.pipelines.loss_study.tiny_losses import TinyNetwork


def parts_of(network: nn.Module, flat: torch.Tensor) -> dict[str, torch.Tensor]:
    names = {name: part for name, part in network.named_parameters()}
    pieces = flat.split([part.numel() for part in names.values()])
    return {name: piece.view_as(part) for (name, part), piece in zip(names.items(), pieces, strict=True)}


def test_each_filter_of_a_direction_is_as_long_as_the_networks() -> None:
    network = TinyNetwork()
    direction = filter_normalised_direction(network, torch.Generator().manual_seed(3))
    drawn = parts_of(network, direction)
    for index in range(3):  # the filters of a convolution are its first axis
        assert drawn["first.weight"][index].norm() == pytest.approx(float(network.first.weight[index].norm().detach()))
    for index in range(2):  # those of a transposed one its second
        assert drawn["up.weight"][:, index].norm() == pytest.approx(float(network.up.weight[:, index].norm().detach()))
    assert not drawn["first.bias"].any()
    again = filter_normalised_direction(network, torch.Generator().manual_seed(3))
    assert torch.equal(direction, again)
    other = filter_normalised_direction(network, torch.Generator().manual_seed(4))
    assert not torch.allclose(direction, other)


def test_a_trajectory_in_a_plane_is_found_whole() -> None:
    draw = np.random.default_rng(0)
    basis = np.linalg.qr(draw.standard_normal((50, 2)))[0].T
    way = np.array([[6.0, 1.0], [4.0, -1.0], [2.0, 0.5], [0.0, 0.0]])
    plane = trajectory_plane(draw.standard_normal(50) + way @ basis)
    assert sum(plane.explained) == pytest.approx(1.0, abs=1e-5)
    assert plane.directions @ plane.directions.T == pytest.approx(np.eye(2), abs=1e-4)
    # Distances between points are those of the plane's own coordinates.
    between = np.linalg.norm(way[:, None] - way[None], axis=-1)
    found = np.linalg.norm(plane.path[:, None] - plane.path[None], axis=-1)
    assert found == pytest.approx(between, abs=1e-4)
    assert plane.path[-1].tolist() == [0.0, 0.0]


def test_the_directions_are_those_of_a_singular_value_decomposition() -> None:
    points = np.random.default_rng(1).standard_normal((6, 40)).astype(np.float32)
    steps = (points[:-1] - points[-1]).astype(float)
    _, sizes, rows = np.linalg.svd(steps, full_matrices=False)
    plane = trajectory_plane(points)
    for found, wanted in zip(plane.directions, rows[:2], strict=True):
        assert abs(float(found @ wanted)) == pytest.approx(1.0, abs=1e-4)
    assert plane.explained == pytest.approx(sizes[:2] ** 2 / (sizes**2).sum(), rel=1e-4)


def test_a_straight_way_has_one_direction() -> None:
    plane = trajectory_plane(np.outer([3.0, 2.0, 1.0], np.ones(20)))
    assert not plane.directions[1].any()
    assert plane.explained == pytest.approx((1.0, 0.0), abs=1e-5)
    with pytest.raises(ValueError, match="two points"):
        trajectory_plane(np.ones((1, 3)))


def test_parameters_are_copied() -> None:
    network = TinyNetwork()
    flat = flat_parameters(network)
    flat += 1
    assert not torch.equal(flat, flat_parameters(network))

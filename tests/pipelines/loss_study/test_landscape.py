"""Surfaces of losses whose shape is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from networks.losses.catalogue import make_loss
from pipelines.loss_study.landscape import LossLandscape, Surface, mean_rise, read_surface, write_surface
from tests.pipelines.loss_study.tiny_losses import CPU, TinyNetwork, tiny_cases, train_tiny
from transforms.io.input_error import InputError


class Squares(nn.Module):
    """A loss that looks at the logits alone: their mean square."""

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (input**2).mean()


def landscape(tmp_path, network, loss, **more) -> LossLandscape:
    return LossLandscape(tmp_path, network, tiny_cases(1), loss, tmp_path / "recording", CPU, **more)


def test_a_quadratic_loss_has_a_quadratic_surface(tmp_path) -> None:
    network = nn.Conv2d(1, 1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(2.0)
    found = landscape(tmp_path, network, Squares(), points=5, radius=1.0).random()
    image = tiny_cases(1)[0]["image"]
    # One weight of length 2: a step of s along either direction changes it by 2 s, up or down.
    centre = 4.0 * float((image**2).mean())
    assert found.loss[2, 2] == pytest.approx(centre, rel=1e-5)
    signs = [np.sign(found.loss[2, 4] - centre), np.sign(found.loss[4, 2] - centre)]
    for row, y in enumerate(found.y):
        for column, x in enumerate(found.x):
            expected = (1 + signs[0] * x + signs[1] * y) ** 2 * centre
            assert found.loss[row, column] == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert network.weight.detach().item() == 2.0


def test_both_surfaces_are_written_and_the_network_is_left_as_it_was(tmp_path) -> None:
    network = TinyNetwork()
    recorder = train_tiny(tmp_path, "ce", network=network)
    before = [part.detach().clone() for part in network.parameters()]
    network.train()
    landscape(tmp_path, network, recorder.loss, points=5).write()
    assert network.training
    assert all(torch.equal(one, other) for one, other in zip(before, network.parameters(), strict=True))
    random, way = (read_surface(tmp_path / f"landscape_{plane}.npz") for plane in ("random", "trajectory"))
    assert random is not None
    assert way is not None
    assert random.loss.shape == random.iou.shape == (5, 5)
    assert not len(random.path)
    assert way.iterations.tolist() == [0, 5, 10, 15, 20]
    assert way.path[-1].tolist() == [0.0, 0.0]
    assert way.x.min() < way.path[:, 0].min()
    assert way.x.max() > way.path[:, 0].max()
    # Training went downhill on it: the loss near the start is higher than near the end.
    columns = [int(np.abs(way.x - point).argmin()) for point in way.path[[0, -1], 0]]
    rows = [int(np.abs(way.y - point).argmin()) for point in way.path[[0, -1], 1]]
    assert way.loss[rows[0], columns[0]] > way.loss[rows[1], columns[1]]


def test_the_same_seed_gives_the_same_plane(tmp_path) -> None:
    surfaces = [
        landscape(tmp_path, TinyNetwork(), make_loss("dice"), points=3, seed=seed).random() for seed in (1, 1, 2)
    ]
    assert np.array_equal(surfaces[0].loss, surfaces[1].loss)
    assert not np.allclose(surfaces[0].loss, surfaces[2].loss)


def test_without_recorded_weights_there_is_no_way(tmp_path) -> None:
    landscape(tmp_path, TinyNetwork(), make_loss("ce"), points=3).write()
    assert read_surface(tmp_path / "landscape_random.npz") is not None
    assert read_surface(tmp_path / "landscape_trajectory.npz") is None
    landscape(tmp_path / "none", TinyNetwork(), make_loss("ce"), points=0).write()
    assert not (tmp_path / "none").exists()


def test_the_mean_rise_of_a_cone() -> None:
    axis = np.linspace(-1, 1, 81)
    x, y = np.meshgrid(axis, axis)
    surface = Surface(axis, axis, 3.0 + 2.0 * np.hypot(x, y), np.zeros_like(x))
    assert mean_rise(surface) == pytest.approx(1.0, rel=0.01)
    surface.loss[:, 60] = np.inf
    assert mean_rise(surface) is None
    even = np.linspace(-1, 1, 4)
    assert mean_rise(Surface(even, even, np.zeros((4, 4)), np.zeros((4, 4)))) is None


def test_what_is_refused(tmp_path) -> None:
    for more in ({"points": 1}, {"points": -3}, {"radius": 0.0}):
        with pytest.raises(InputError, match="must be 0 or at least 2"):
            landscape(tmp_path, TinyNetwork(), make_loss("ce"), **more)
    path = tmp_path / "landscape_random.npz"
    write_surface(path, Surface(np.arange(2), np.arange(2), np.zeros((2, 2)), np.zeros((2, 2))))
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(InputError, match="is missing or damaged"):
        read_surface(path)

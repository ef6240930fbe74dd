from __future__ import annotations

import numpy as np
import pytest
import torch

from networks.layers.mind_ssc import mind_ssc, neighbour_pairs


def brute_force(image: np.ndarray, radius: int, dilation: int) -> np.ndarray:
    """MIND-SSC from its definition, pair by pair and offset by offset; ``(N, *shape)``."""
    shape = image.shape
    last = np.array(shape) - 1
    steps = [s * np.eye(image.ndim, dtype=int)[axis] for axis in range(image.ndim) for s in (-1, 1)]
    pairs = [(a, b) for i, a in enumerate(steps) for b in steps[i + 1 :] if ((a - b) ** 2).sum() == 2]
    places = np.argwhere(np.ones(shape, bool))  # (voxels, d)

    def at(wanted: np.ndarray) -> np.ndarray:
        return image[tuple(np.clip(wanted, 0, last).T)]

    patch = [np.array(offset) - radius for offset in np.ndindex((2 * radius + 1,) * image.ndim)]
    distances = np.zeros((len(pairs), len(places)))
    for channel, (a, b) in enumerate(pairs):
        for offset in patch:
            # A patch that reaches beyond the border repeats the squares of the border.
            y = np.clip(places + offset, 0, last)
            distances[channel] += (at(y + dilation * a) - at(y + dilation * b)) ** 2 / len(patch)
    distances -= distances.min(0)
    variance = distances.mean(0)
    variance = np.clip(variance, 0.001 * variance.mean(), 1000 * variance.mean())
    return np.exp(-distances / variance).reshape(-1, *shape)


@pytest.mark.parametrize(("shape", "channels"), [((7, 6), 4), ((5, 6, 4), 12)])
@pytest.mark.parametrize(("radius", "dilation"), [(1, 2), (0, 1), (2, 1)])
def test_equals_the_definition(shape, channels, radius, dilation):
    image = np.random.default_rng(0).standard_normal(shape)
    found = mind_ssc(torch.from_numpy(image)[None, None], radius, dilation)[0]
    assert found.shape == (channels, *shape)
    np.testing.assert_allclose(found.numpy(), brute_force(image, radius, dilation), rtol=1e-9)


def test_pairs_of_the_plane():
    assert neighbour_pairs(2) == (((-1, 0), (0, -1)), ((-1, 0), (0, 1)), ((1, 0), (0, -1)), ((1, 0), (0, 1)))
    assert len(neighbour_pairs(3)) == len(set(neighbour_pairs(3))) == 12


def test_contrast_and_brightness_do_not_matter():
    image = torch.rand(2, 3, 8, 9, dtype=torch.float64)
    torch.testing.assert_close(mind_ssc(image), mind_ssc(-40 * image + 7))
    assert mind_ssc(image).shape == (2, 12, 8, 9)
    torch.testing.assert_close(mind_ssc(image)[1:, 4:8], mind_ssc(image[1:, 1:2]))


@pytest.mark.parametrize("shape", [(1, 1, 6, 6), (1, 1, 5, 5, 1)])
def test_a_constant_image_is_one_everywhere(shape):
    assert bool((mind_ssc(torch.full(shape, 3.0)) == 1).all())


def test_gradient_is_finite():
    image = torch.rand(1, 1, 6, 6, 6, dtype=torch.float64, requires_grad=True)
    mind_ssc(image).square().sum().backward()
    assert image.grad is not None
    assert bool(image.grad.isfinite().all())
    assert bool(image.grad.abs().sum() > 0)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [((1, 1, 4), {}, "shape"), ((1, 1, 4, 4), {"radius": -1}, "radius"), ((1, 1, 4, 4), {"dilation": 0}, "dilation")],
)
def test_refuses(shape, options, message):
    with pytest.raises(ValueError, match=message):
        mind_ssc(torch.zeros(shape), **options)

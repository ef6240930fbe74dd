from __future__ import annotations

import numpy as np
import pytest
import torch

from networks.layers.mind_ssc import mind_ssc
from pipelines.registration.descriptors import centred_descriptors, likeness
from tests.pipelines.registration.deformed_phantom import deformed_pair


def noise(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))[None]


def test_the_level_is_gone():
    found = centred_descriptors(noise((14, 12, 10), 0))
    assert found.shape == (12, 14, 12, 10)
    torch.testing.assert_close(found.sum(0), torch.zeros(14, 12, 10), atol=1e-5, rtol=0)
    whole = mind_ssc(noise((14, 12, 10), 0)[None])[0]
    torch.testing.assert_close(found[3] - found[7], whole[3] - whole[7])


def test_likeness_by_hand():
    first = torch.tensor([[[1.0, 2.0]], [[-1.0, -2.0]]])
    second = torch.tensor([[[1.0, 0.0]], [[-1.0, 3.0]]])
    # products 2 and -6; squares 2 + 8 and 2 + 9.
    assert likeness(first, second) == pytest.approx(-4 / (10 * 11) ** 0.5)
    assert likeness(first, second, torch.tensor([[[1.0, 0.0]]])) == pytest.approx(1)
    assert likeness(first, -first) == pytest.approx(-1)
    assert likeness(first, torch.zeros_like(first)) == 0


def test_noise_is_like_nothing_and_an_image_like_its_other_modality():
    one, other = (centred_descriptors(noise((24, 24, 24), seed)) for seed in (0, 1))
    assert likeness(one, one) == pytest.approx(1)
    assert abs(likeness(one, other)) < 0.02
    known = deformed_pair(amplitude_mm=0.0, other_modality=True)
    ct, mr = (centred_descriptors(torch.from_numpy(scan.array)[None]) for scan in (known.atlas, known.target))
    assert likeness(ct, mr) > 0.8


def test_an_equal_level_is_no_likeness():
    """By the plain difference noise resembles other noise more than nothing at all; it has nothing of either."""
    noisy, other, flat = noise((40, 40), 0), noise((40, 40), 1), torch.zeros(1, 40, 40)
    plain = [float((mind_ssc(noisy[None]) - mind_ssc(image[None])).square().mean()) for image in (other, flat)]
    assert plain[0] < 0.8 * plain[1]
    told = [likeness(*(centred_descriptors(image) for image in (noisy, image))) for image in (other, flat)]
    assert told[1] == 0
    assert abs(told[0]) < 0.1

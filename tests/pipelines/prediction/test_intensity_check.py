"""Images of another scale than the training cases are told of, and others are not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms import EnsureTyped, NormalizeIntensityd

from pipelines.prediction.intensity_check import IntensityCheck, has_fixed_scale


def test_which_preprocessing_has_a_fixed_scale():
    fixed = NormalizeIntensityd("image", subtrahend=1.0, divisor=2.0)
    assert has_fixed_scale([EnsureTyped("image"), fixed])
    assert not has_fixed_scale([fixed, EnsureTyped("image")])
    assert not has_fixed_scale([NormalizeIntensityd("image")])


def of(image: np.ndarray) -> str | None:
    check = IntensityCheck()
    for part in np.array_split(image, 3):
        check.add(torch.from_numpy(part))
    return check.warning()


@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (0.2, 4), (8, -4)])
def test_images_of_the_usual_scale(scale, shift):
    assert of(np.random.default_rng(0).standard_normal((9, 50, 40)).astype(np.float32) * scale + shift) is None


def test_another_scale_is_told_in_numbers():
    bits = np.random.default_rng(0).integers(0, 256, (9, 50, 40)).astype(np.float32)
    standard = (bits - bits.mean()) / bits.std()
    assert of(standard) is None
    said = of((257 * bits - bits.mean()) / bits.std())
    assert said is not None
    mean, spread = 256 * bits.mean() / bits.std(), 257
    assert said.startswith(f"its mean is {mean:+.1f} standard deviations")
    assert f"varies {spread:.2g} times" in said


def test_a_constant_image():
    assert "varies 0 times" in str(of(np.full((9, 4, 4), -1.0, np.float32)))
    assert IntensityCheck().warning() is None

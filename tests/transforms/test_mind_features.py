from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from tests.networks.layers.test_mind_ssc import brute_force
from transforms.mind_features import MINDFeatures, MINDFeaturesd


@pytest.mark.parametrize(("shape", "count"), [((1, 6, 7), 4), ((2, 5, 6, 4), 12)])
def test_every_channel_by_the_definition(shape, count):
    img = np.random.default_rng(1).integers(0, 900, shape).astype(np.int16)
    found = MINDFeatures(len(shape) - 1)(img)
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float32
    assert found.shape == (count * shape[0], *shape[1:])
    for channel in range(shape[0]):
        expected = brute_force(img[channel].astype(float), 1, 2)
        np.testing.assert_allclose(found[channel * count : (channel + 1) * count], expected, atol=1e-4)


def test_gives_the_kind_back():
    img = MetaTensor(torch.rand(1, 6, 6, 5), affine=torch.diag(torch.tensor([2.0, 2, 3, 1])))
    found = MINDFeatures(3)(img)
    assert isinstance(found, MetaTensor)
    torch.testing.assert_close(found.affine, img.affine)
    torch.testing.assert_close(MINDFeatures(3)(img.as_tensor()), found.as_tensor())


def test_of_keys():
    data = {"image": torch.rand(1, 6, 6), "other": 3}
    found = MINDFeaturesd(["image", "absent"], spatial_dims=2, allow_missing_keys=True)(data)
    assert found["image"].shape == (4, 6, 6)
    assert found["other"] == 3


@pytest.mark.parametrize("options", [{"spatial_dims": 4}, {"radius": -1}, {"dilation": 0}])
def test_refuses_settings(options):
    with pytest.raises(ValueError, match="must be"):
        MINDFeatures(**options)


def test_refuses_other_axes():
    with pytest.raises(ValueError, match="3 spatial axes"):
        MINDFeatures(3)(np.zeros((1, 4, 4)))

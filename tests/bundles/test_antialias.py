"""Before the grid gets coarser, an image is smoothed as much as its own voxels ask for, axis by axis."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from scipy.ndimage import gaussian_filter

from pipelines.workflow import BUNDLES, config_files

FILES = sorted(BUNDLES.glob("*/configs/common.yaml"))
# Pictures that know no spacing are brought to a number of pixels, if at all.
NAMES = [path.parent.parent.name for path in FILES if "\nantialias: " in path.read_text(encoding="utf-8")]


def steps(name: str, **settings):
    parser = ConfigParser()
    parser.read_config([str(file) for file in config_files(BUNDLES / name, ["common"])])
    parser.update(settings)
    return parser.get_parsed_content("preprocessing").transforms


def smooth(name: str, image: np.ndarray, spacing, wanted) -> np.ndarray:
    found = [step for step in steps(name, antialias=True, spacing_mm=wanted) if type(step).__name__ == "Lambdad"]
    assert len(found) == 1
    affine = torch.diag(torch.tensor([*spacing, 1.0], dtype=torch.float64))
    return found[0]({"image": MetaTensor(torch.as_tensor(image[None]), affine=affine)})["image"][0].numpy()


def test_the_bundles_with_a_spacing_have_it():
    assert [path.parent.parent.name for path in FILES if "Spacingd" in path.read_text(encoding="utf-8")] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_published_settings_leave_the_image_as_it_is(name):
    assert not [step for step in steps(name) if type(step).__name__ == "Lambdad"]


@pytest.mark.parametrize("name", NAMES)
def test_half_of_what_a_new_voxel_has_beyond_an_old_one(name):
    noise = np.random.default_rng(0).normal(size=(24, 20, 16)).astype(np.float32)
    found = smooth(name, noise, (0.5, 1.0, 3.0), [2.0, 2.0, 2.0])
    # 4 old voxels to a new one: sigma 1.5; 2: 0.5; along the axis that gets finer: nothing.
    # MONAI takes the mean of the bell over each voxel, which widens it by the variance of a voxel, 1/12.
    expected = gaussian_filter(noise, (np.sqrt(1.5**2 + 1 / 12), np.sqrt(0.5**2 + 1 / 12), 0.0), mode="constant")
    inner = (slice(6, -6), slice(3, -3), slice(None))
    assert np.abs(found - expected)[inner].max() < 0.05 * np.abs(expected).max()
    assert np.corrcoef(found[inner].ravel(), expected[inner].ravel())[0, 1] > 0.999


def test_an_axis_that_gets_finer_is_left_as_it_is():
    noise = np.random.default_rng(0).normal(size=(12, 12, 12)).astype(np.float32)
    np.testing.assert_array_equal(smooth("left_atrium_dtc", noise, (2.0, 3.0, 5.0), [2.0, 2.0, 2.0]), noise)


def test_2d():
    noise = np.random.default_rng(0).normal(size=(32, 32)).astype(np.float32)
    found = smooth("left_atrium_dtc", noise, (0.5, 2.0, 1.0), [2.0, 2.0])
    expected = gaussian_filter(noise, (1.5, 0.0), mode="constant")
    assert np.corrcoef(found[6:-6].ravel(), expected[6:-6].ravel())[0, 1] > 0.995

"""From a file to a mask on the file's own grid, whatever way that grid lies; the network here is a threshold."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from monai.bundle import ConfigParser
from monai.transforms import AsDiscreted, Compose, Flipd, Resized
from torch import nn

import bundles
from pipelines.prediction.loading import InferenceSettings, load_predictor
from pipelines.prediction.predictor import Predictor
from tests.pipelines.prediction.slice_networks import as_network, slice_predictor, write_volume
from tests.pipelines.prediction.slice_networks import predictor as of_slices
from tests.pipelines.prediction.slice_runs import make_data, write_run
from transforms.io.input_error import InputError

COMMON = Path(bundles.__file__).parent / "left_atrium_dtc" / "configs" / "common.yaml"
CENTRE, RADIUS = np.array([6.0, -4.0, 11.0]), 9.0


class Threshold(nn.Module):
    """Foreground where the normalised image is above one."""

    def forward(self, x):
        foreground = torch.sigmoid(20 * (x[:, :1] - 1))
        return torch.cat([1 - foreground, foreground], 1)


def parts(**changes):
    config = {**yaml.safe_load(COMMON.read_text()), "keys": ["image"], "spacing_mm": [1.5] * 3, "patch_size": [16] * 3}
    parser = ConfigParser({**config, **changes})
    return [parser.get_parsed_content(name) for name in ("preprocessing", "inferer", "postprocessing")]


def predictor(**changes):
    return Predictor(Threshold(), *parts(**changes), torch.device("cpu"), level_set=lambda x: x - 1)


def turned(degrees, spacing, order=(0, 1, 2), signs=(1, 1, 1)):
    """An affine with permuted and mirrored axes, turned about two axes."""
    a = np.deg2rad(degrees)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ (np.eye(3) * signs)[:, order] * spacing
    return affine


def write_ball(path, affine, shape):
    """A bright ball with its centre at CENTRE (mm) in an image of ``shape`` around it; give its true mask."""
    affine = affine.copy()
    affine[:3, 3] = CENTRE - affine[:3, :3] @ ((np.array(shape) - 1) / 2 + 0.7)
    world = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    inside = np.linalg.norm(world - CENTRE, axis=-1) < RADIUS
    noise = np.random.default_rng(0).normal(0, 10, shape)
    nib.save(nib.Nifti1Image((300 * inside + noise).astype(np.float32), affine), path)
    return inside, affine


GRIDS = {
    "RAS": (turned(0, (1, 1, 1)), (37, 29, 23)),
    "LPS": (turned(0, (1, 1, 1.3), signs=(-1, -1, 1)), (30, 31, 25)),
    "permuted": (turned(0, (1.2, 0.9, 1), order=(2, 0, 1)), (25, 30, 33)),
    "permuted and mirrored": (turned(0, (2, 0.8, 1), order=(1, 2, 0), signs=(-1, 1, -1)), (17, 37, 29)),
    "oblique": (turned(17, (1, 1.1, 1.4), signs=(-1, -1, 1)), (37, 33, 27)),
    "smaller than the window": (turned(0, (2.5, 2.5, 2.5)), (11, 10, 9)),
}


@pytest.mark.parametrize(("affine", "shape"), GRIDS.values(), ids=GRIDS.keys())
def test_mask_lies_where_the_structure_is(tmp_path, affine, shape):
    truth, affine = write_ball(tmp_path / "ball.nii.gz", affine, shape)
    found = predictor().predict({"image": str(tmp_path / "ball.nii.gz")})
    assert found.labels.shape == shape
    assert found.labels.dtype == np.uint8
    assert found.seconds > 0
    mask = found.labels == 1
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.85
    centroid = affine[:3, :3] @ np.argwhere(mask).mean(0) + affine[:3, 3]
    expected = affine[:3, :3] @ np.argwhere(truth).mean(0) + affine[:3, 3]
    assert np.abs(centroid - expected).max() < 0.5


@pytest.mark.parametrize("shape", [(37, 29, 23), (64, 64, 1), (1, 33, 20), (5, 4, 3)])
def test_any_size_comes_back(tmp_path, shape):
    nib.save(
        nib.Nifti1Image(np.random.default_rng(0).normal(size=shape).astype(np.float32), np.eye(4)), tmp_path / "a.nii"
    )
    entry = {"image": str(tmp_path / "a.nii")}
    assert predictor().predict(entry).labels.shape == shape
    assert predictor().predict_level_set(entry).shape == (1, *shape)


@pytest.mark.filterwarnings("ignore:axcodes")
def test_pictures_have_two_dimensions(tmp_path):
    from PIL import Image

    picture = np.zeros((40, 27), np.uint8)
    picture[10:22, 5:17] = 200
    Image.fromarray(picture).save(tmp_path / "a.png")
    changes = {"spatial_dims": 2, "spacing_mm": [1.0, 1.0], "patch_size": [16, 16]}
    labels = predictor(**changes).predict({"image": str(tmp_path / "a.png")}).labels
    np.testing.assert_array_equal(labels, picture > 0)


def test_nothing_found_is_an_empty_mask(tmp_path):
    nib.save(nib.Nifti1Image(np.full((12, 13, 14), 7, np.float32), np.eye(4)), tmp_path / "flat.nii.gz")
    assert not predictor().predict({"image": str(tmp_path / "flat.nii.gz")}).labels.any()


def test_only_the_largest_piece_is_kept(tmp_path):
    image = np.zeros((24, 24, 24), np.float32)
    image[2:12, 2:12, 2:12], image[16:20, 16:20, 16:20] = 100, 100
    nib.save(nib.Nifti1Image(image, np.eye(4)), tmp_path / "two.nii.gz")
    labels = predictor(spacing_mm=[1.0] * 3).predict({"image": str(tmp_path / "two.nii.gz")}).labels
    np.testing.assert_array_equal(labels, (image > 0) & (np.indices(image.shape).sum(0) < 40))


def test_probabilities_on_the_grid_of_the_file_decide(tmp_path):
    write_ball(tmp_path / "ball.nii.gz", *GRIDS["permuted"])
    made, entry = predictor(), {"image": str(tmp_path / "ball.nii.gz")}
    probabilities = made.predict_probabilities(entry)
    assert probabilities.shape == (2, *GRIDS["permuted"][1])
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-5)
    np.testing.assert_array_equal(made.decide(probabilities), made.predict(entry).labels)
    swapped = made.decide(torch.flip(probabilities.as_tensor(), [0]))
    np.testing.assert_array_equal(swapped > 0, probabilities.as_tensor().argmax(0).numpy() == 0)


def test_uncertainty_on_the_grid_of_the_file(tmp_path):
    affine = turned(20, [1.2, 1.7, 2.0], (2, 0, 1), (1, -1, 1))
    write_ball(tmp_path / "ball.nii.gz", affine, (24, 20, 18))
    entry = {"image": str(tmp_path / "ball.nii.gz")}
    telling = Predictor(Threshold(), *parts(), torch.device("cpu"), tells_uncertainty=True)
    prediction = telling.predict(entry)
    foreground = telling.predict_probabilities(entry)[1].numpy()
    assert prediction.uncertainty.shape == (24, 20, 18)
    assert prediction.uncertainty.dtype == np.float32
    # One bit at a probability of a half, 0.8113 at a quarter, nothing where it is certain.
    for low, high, between in ((0.45, 0.55, (0.99, 1)), (0.2, 0.3, (0.72, 0.89)), (0, 1e-6, (0, 1e-4))):
        chosen = prediction.uncertainty[(low <= foreground) & (foreground <= high)]
        assert chosen.size > 0
        assert between[0] <= chosen.min() <= chosen.max() <= between[1]
    assert predictor().predict(entry).uncertainty is None


def test_the_level_set_is_brought_back_too(tmp_path):
    write_ball(tmp_path / "ball.nii.gz", *GRIDS["LPS"])
    entry = {"image": str(tmp_path / "ball.nii.gz")}
    assert predictor().predict_level_set(entry).shape == (1, *GRIDS["LPS"][1])
    assert Predictor(Threshold(), *parts(), torch.device("cpu")).predict_level_set(entry) is None


def test_a_damaged_image_is_named(tmp_path):
    path = tmp_path / "cut.nii.gz"
    nib.save(nib.Nifti1Image(np.random.default_rng(0).normal(size=(20, 20, 20)).astype(np.float32), np.eye(4)), path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"cut\.nii\.gz: .*(truncated|ends|damaged)"):
        predictor().predict({"image": str(path)})
    path.write_bytes(gzip.compress(b"no image at all"))
    with pytest.raises(InputError, match=r"cut\.nii\.gz"):
        predictor().predict({"image": str(path)})


def test_postprocessing_must_lead_back_first():
    preprocessing, inferer, _ = parts()
    with pytest.raises(ValueError, match="must begin with Invertd"):
        Predictor(Threshold(), preprocessing, inferer, Compose([AsDiscreted("pred", argmax=True)]), torch.device("cpu"))


def test_the_network_must_give_one_tensor(tmp_path):
    class Two(nn.Module):
        def forward(self, x):
            return x, x

    write_ball(tmp_path / "ball.nii.gz", *GRIDS["RAS"])
    with pytest.raises(TypeError, match="one tensor"):
        Predictor(Two(), *parts(), torch.device("cpu")).predict({"image": str(tmp_path / "ball.nii.gz")})


def test_slices_of_another_number_take_the_nearest_presence(tmp_path):
    """A network that sees half as many slices: each slice of the file has what was found in the one that is nearest."""
    entry, _ = write_volume(tmp_path / "a.nii", shape=(8, 10, 12))
    made = of_slices(slice_predictor(), Resized("image", (8, 10, 6), mode="nearest"))
    assert not made.by_slabs
    found = made.predict(entry).presence
    assert found.shape == (3, 12)
    np.testing.assert_array_equal(found[:, ::2], found[:, 1::2])
    assert np.unique(found[0]).size > 3


def test_slices_in_another_order_come_back(tmp_path):
    entry, _ = write_volume(tmp_path / "a.nii")
    found = of_slices(slice_predictor(), Flipd("image", 2)).predict(entry)
    expected = of_slices(FlipOnly(slice_predictor())).predict(entry)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_allclose(found.presence, expected.presence, atol=1e-6)


class FlipOnly(nn.Module):
    """Sees the slices in reverse order."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.neighbours, self.axis, self.spatial_dims = network.neighbours, network.axis, network.spatial_dims
        self.has_mask = self.has_presence = True

    def detect(self, x):
        probabilities, presence = self.network.detect(x.flip([4]))
        return probabilities.flip([4]), presence.flip([2])

    def presence(self, x):
        return self.detect(x)[1]


@pytest.mark.filterwarnings("ignore:axcodes")
def test_single_slices(tmp_path):
    from PIL import Image

    picture = np.random.default_rng(0).integers(0, 100, (14, 11), np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    network = slice_predictor(spatial_dims=2)
    found = of_slices(network).predict({"image": str(tmp_path / "a.png")})
    with torch.inference_mode():
        probabilities, presence = network.detect(as_network(picture))
    np.testing.assert_array_equal(found.labels, probabilities[0].argmax(0))
    np.testing.assert_allclose(found.presence, presence[0], atol=1e-6)
    np.testing.assert_array_equal(found.whole_presence, found.presence)


def test_what_is_present_is_not_told_window_by_window():
    _, inferer, _ = parts()
    with pytest.raises(ValueError, match="takes whole images"):
        of_slices(slice_predictor(), inferer=inferer)


def test_another_scale_than_that_of_the_training_is_told(tmp_path, capsys):
    make_data(tmp_path / "data")
    predictor = load_predictor(write_run(tmp_path / "run", 1), InferenceSettings())[0]
    image = nib.load(sorted((tmp_path / "data" / "images").iterdir())[0])
    for scale, told in ((1, False), (257, True)):
        file = tmp_path / f"scan{scale}.nii.gz"
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj).astype(np.uint16) * scale, image.affine), file)
        predictor.predict({"image": str(file)})
        assert (f"warning: {file}: its mean is" in capsys.readouterr().out) == told

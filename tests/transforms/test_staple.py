"""The STAPLE transforms: kinds, shapes, ties; and real observers against ITK."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from tests.data_sets import FOLDER, needs_data
from tests.transforms.test_rater_model import itk, noisy_raters
from transforms.io.volume import read_volume
from transforms.staple import Staple, Stapled


@pytest.mark.parametrize("shape", [(30, 20), (12, 10, 8)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.bool_])
def test_binary_is_itks_label(shape, dtype):
    raters = noisy_raters(5, 2, shape)
    fused = Staple()(raters.astype(dtype))
    assert fused.shape == (1, *shape)
    assert fused.dtype == dtype
    np.testing.assert_array_equal(fused[0], itk(raters)[0] > 0.5)


def test_classes_are_recovered_where_the_majority_is_misled():
    # Three of five raters are wrong in a tenth of all voxels, each time in the same way; two are right nearly always.
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, (60, 60))
    noise = rng.random((5, 60, 60)) < np.array([0.3, 0.3, 0.3, 0.01, 0.01])[:, None, None]
    raters = np.where(noise, (truth + 1) % 3, truth)
    majority_errors = np.mean((raters == ((truth + 1) % 3)).sum(axis=0) >= 3)
    assert np.mean(Staple()(raters)[0] != truth) < 0.2 * majority_errors


@pytest.mark.parametrize("kind", [torch.as_tensor, MetaTensor])
def test_torch_in_torch_out(kind):
    raters = noisy_raters(4, 3, (9, 8))
    fused = Staple()(kind(torch.from_numpy(raters)))
    assert type(fused) is type(kind(torch.zeros(1)))
    assert fused.dtype == torch.int64
    np.testing.assert_array_equal(np.asarray(fused), Staple()(raters))


def test_one_voxel_split_evenly_is_background():
    assert Staple()(np.array([[[0]], [[1]]])).tolist() == [[[0]]]


@pytest.mark.parametrize("restricted", [False, True])
@pytest.mark.parametrize("maps", [np.zeros((3, 2, 2)), np.ones((3, 2, 2)), np.eye(3)[None]])
def test_empty_full_and_single_raters_come_back(maps, restricted):
    np.testing.assert_array_equal(Staple(restricted=restricted)(maps), maps[:1])


def test_estimate_tells_the_raters():
    raters = noisy_raters(4, 2, (40, 40))
    patterns, model = Staple(max_iterations=3, tolerance=0.0).estimate(raters)
    expected, staple = itk(raters, 3)
    np.testing.assert_allclose(patterns.spread(model.posterior[:, 1]), expected, atol=1e-12)
    np.testing.assert_allclose(model.sensitivity[:, 1], staple.GetSensitivity(), atol=1e-12)
    assert model.iterations == 3


def test_dictionary_with_and_without_parameters():
    raters = noisy_raters(5, 2, (20, 20))
    parameters = np.array([2.0, -1.0, 0.0, -1.0, -1.0])
    data = {"raters": raters, "trust": torch.from_numpy(parameters)}
    plain = Stapled("raters")(data)["raters"]
    hybrid = Stapled("raters", strength=1e6, parameters_key="trust")(data)["raters"]
    np.testing.assert_array_equal(plain, Staple()(raters))
    np.testing.assert_array_equal(hybrid, Staple(strength=1e6)(raters, parameters))
    assert (plain != hybrid).any()
    assert Stapled("absent", allow_missing_keys=True)(data) == data


@pytest.mark.parametrize(
    ("options", "message"),
    [({"initial": 2.0}, "initial"), ({"strength": -1.0}, "strength"), ({"max_iterations": 0}, "max_iterations")],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        Staple(**options)


def test_shape_is_checked():
    with pytest.raises(ValueError, match=r"\(R, H, W\[, D\]\)"):
        Staple()(np.zeros((3, 4)))


def observers(name):
    """The label maps of the observers of one image."""
    if name == "drishti_gs":
        votes = read_volume(FOLDER / name / "labels_votes_cup" / "002.png").array
        return np.stack([votes > count for count in range(4)])
    image = {"stare": "im0001.png", "chase_db1": "01L.png"}[name]
    return np.stack([read_volume(FOLDER / name / part / image).array for part in ("labels", "labels_2nd")])


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs_data(name)) for name in ("drishti_gs", "stare", "chase_db1")]
)
def test_real_observers_are_fused_as_itk_does(name):
    raters = observers(name)
    patterns, model = Staple(max_iterations=30, tolerance=0.0).estimate(raters)
    expected, staple = itk(raters, 30)
    np.testing.assert_allclose(
        Staple(max_iterations=staple.GetElapsedIterations()).estimate(raters)[1].sensitivity[:, 1],
        staple.GetSensitivity(),
        atol=1e-5,
    )
    np.testing.assert_allclose(patterns.spread(model.posterior[:, 1]), expected, atol=1e-5)

"""ResizeLabel: areas and connections of thin structures, by hand, on phantoms and on real vessels."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, Resize, Resized
from scipy.ndimage import label as connected_parts

from pipelines.data.phantoms import make_case
from tests.data_sets import FOLDER, needs_data
from transforms.io.volume import read_volume
from transforms.resize_label import ResizeLabel, ResizeLabeld

FACTORS = (0.5, 0.75, 1.5, 2.0)


def pieces(mask):
    return connected_parts(mask, np.ones((3,) * mask.ndim))[1]


def scaled(mask, factor):
    return tuple(round(size * factor) for size in mask.shape)


def share_of_area(mask, factor, resize):
    return resize(scaled(mask, factor))(mask[None])[0].mean() / mask.mean()


def check_area_and_connections(mask, factor):
    """Within 1 %, and no more than a few pieces more or less, where the nearest voxel tears vessels to dozens."""
    resized = ResizeLabel(scaled(mask, factor))(mask[None])[0]
    assert resized.mean() / mask.mean() == pytest.approx(1, abs=0.01)
    assert abs(pieces(resized) - pieces(mask)) <= 6


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_phantom_vessels_keep_area_and_connections(number, factor):
    check_area_and_connections(make_case("vessels2d", number).label, factor)


@needs_data("octa500_3m")
@needs_data("stare")
@needs_data("chase_db1")
@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("name", ["octa500_3m", "stare", "chase_db1"])
def test_real_vessels_keep_area_and_connections(name, factor):
    mask = read_volume(sorted((FOLDER / name / "labels").glob("*.png"))[0]).array
    check_area_and_connections(mask[-300:, :300], factor)


def test_what_it_is_for():
    """What other ways make of thin vessels at half the size."""
    mask = make_case("vessels2d", 1).label
    smaller = torch.from_numpy(mask[None].astype(np.float32))
    size = scaled(mask, 0.5)
    bilinear = Resize(size, mode="bilinear")(smaller).numpy()[0]
    nearest = Resize(size, mode="nearest-exact")(smaller).numpy()[0]
    assert np.floor(bilinear + 1e-6).mean() < 0.5 * mask.mean()
    assert (bilinear >= 0.5).mean() > 1.15 * mask.mean()
    assert pieces(nearest) > pieces(mask) + 10
    assert pieces(ResizeLabel(size)(mask[None])[0]) <= pieces(mask) + 5


def test_halves_by_hand():
    """Six of sixteen voxels are 1.5 of four, so two: those with shares of 1 and 1/2, not the one with a stray voxel."""
    mask = np.array([[[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 1]]])
    mask[0, 3, 1] = 0
    mask[0, 2, 3] = 1
    assert ResizeLabel((2, 2))(mask).tolist() == [[[1, 0], [0, 1]]]
    assert ResizeLabel((2, 2), "cover")(mask).tolist() == [[[1, 0], [0, 1]]]
    mask[0, 0, 2] = 1
    assert ResizeLabel((2, 2))(mask).tolist() == [[[1, 0], [0, 1]]]
    assert ResizeLabel((2, 2), "cover")(mask).tolist() == [[[1, 1], [0, 1]]]


def test_doubled_by_hand():
    mask = np.array([[[0, 1], [2, 0]]])
    expected = [[[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 0, 0], [2, 2, 0, 0]]]
    assert ResizeLabel((4, 4))(mask).tolist() == expected
    assert ResizeLabel((4, 4), "cover")(mask).tolist() == expected


def test_to_three_halves_by_hand():
    """Two voxels become three, the middle one half covered: 1.5 of them are to be filled, which rounds to two."""
    assert ResizeLabel((1, 3))(np.array([[[1, 0]]])).tolist() == [[[1, 1, 0]]]
    assert ResizeLabel((1, 3), "cover")(np.array([[[1, 0]]])).tolist() == [[[1, 1, 0]]]


@pytest.mark.parametrize("method", ["area", "cover"])
def test_the_same_size_changes_nothing(method):
    label = np.random.default_rng(0).integers(0, 4, (1, 13, 11))
    np.testing.assert_array_equal(ResizeLabel((13, 11), method)(label), label)


@pytest.mark.parametrize("factor", [0.4, 0.6, 1.7])
@pytest.mark.parametrize("shape", [(40, 52), (20, 24, 18)])
def test_every_class_keeps_its_area(shape, factor):
    label = np.zeros(shape, np.uint8)
    label[3:17, 4:20], label[6:9, 6:22] = 1, 2
    size = scaled(label, factor)
    resized = ResizeLabel(size)(label[None])[0]
    for value in (1, 2):
        wanted = (label == value).sum() * np.prod(size) / label.size
        assert abs((resized == value).sum() - wanted) <= 0.5
    assert set(np.unique(resized)) == {0, 1, 2}


def test_no_class_goes_where_it_was_not():
    """Small classes choose first; what they take of a larger one's voxels is not made up for far away."""
    label = np.random.default_rng(0).integers(0, 4, (1, 24, 24))
    label[:, :, 12:] = 0
    resized = ResizeLabel((8, 8))(label)
    assert not resized[:, :, 4:].any()
    assert (resized[:, :, :4] > 0).mean() > 0.7


def test_cover_loses_nothing():
    """A diagonal of one voxel at a third of the size is still in one piece, and every voxel of it is covered."""
    mask = np.eye(60, dtype=np.uint8)
    resized = ResizeLabel((20, 20), "cover")(mask[None])[0]
    assert pieces(resized) == 1
    assert np.all(np.kron(resized, np.ones((3, 3)))[mask == 1] == 1)
    assert resized.sum() == 20


def test_thin_lines_alone_keep_their_area():
    mask = np.zeros((40, 40), np.uint8)
    mask[::8] = 1
    assert ResizeLabel((20, 20))(mask[None]).sum() == mask.sum() / 4


@pytest.mark.parametrize("fill", [0, 1])
def test_empty_and_full_stay_so(fill):
    assert np.all(ResizeLabel((5, 9))(np.full((1, 8, 6), fill)) == fill)


KINDS = {
    "numpy": lambda label: label,
    "numpy float32": lambda label: label.astype(np.float32),
    "torch int64": lambda label: torch.from_numpy(label).long(),
    "MetaTensor": lambda label: MetaTensor(torch.from_numpy(label), affine=np.diag([-2.0, 3.0, 1, 1])),
}


@pytest.mark.parametrize("kind", KINDS.keys())
def test_same_kind_out(kind):
    label = make_case("vessels2d", 1).label[None, :64, :48]
    given = KINDS[kind](label)
    resized = ResizeLabel((32, 36))(given)
    assert type(resized) is type(given)
    assert resized.dtype == given.dtype
    np.testing.assert_array_equal(np.asarray(resized), ResizeLabel((32, 36))(label))
    np.testing.assert_array_equal(np.asarray(given), np.asarray(KINDS[kind](label)))


def test_metadata_follow_the_grid_and_can_be_undone():
    image = MetaTensor(torch.rand(1, 24, 30), affine=np.diag([-2.0, 3.0, 1, 1]))
    label = MetaTensor((image.as_tensor() > 0.5).float(), affine=image.affine)
    steps = Compose([Resized("image", (12, 20), mode="area"), ResizeLabeld("label", (12, 20))])
    result = steps({"image": image, "label": label})
    np.testing.assert_allclose(result["label"].affine, result["image"].affine)
    back = Invertd("label", steps, orig_keys="label", to_tensor=False)(result)["label"]
    assert tuple(back.shape) == (1, 24, 30)
    np.testing.assert_allclose(back.affine, label.affine, atol=1e-9)


def test_dictionary_and_missing_keys():
    label = make_case("vessels2d", 1).label[None]
    given = {"label": label, "image": label}
    np.testing.assert_array_equal(ResizeLabeld("label", (64, 64))(given)["label"], ResizeLabel((64, 64))(label))
    assert given["label"] is label
    assert ResizeLabeld(("label", "fov"), (64, 64), "cover", allow_missing_keys=True)(given).keys() == {
        "label",
        "image",
    }
    with pytest.raises(KeyError):
        ResizeLabeld("fov", (64, 64))(given)


@pytest.mark.parametrize(
    ("settings", "told"),
    [(((0, 4),), "at least 1"), (((),), "at least 1"), (((4, 4), "mean"), "method must be one of area, cover")],
)
def test_refuses_settings(settings, told):
    with pytest.raises(ValueError, match=told):
        ResizeLabel(*settings)


@pytest.mark.parametrize("label", [np.zeros((4, 4)), np.zeros((2, 4, 4)), np.zeros((1, 4, 4, 4))])
def test_refuses_shapes(label):
    with pytest.raises(ValueError, match=r"must have shape \(1, H, W\)"):
        ResizeLabel((4, 4))(label)


@pytest.mark.parametrize("value", [0.5, -1, np.nan])
def test_refuses_labels(value):
    with pytest.raises(ValueError, match="whole numbers from 0 upwards"):
        ResizeLabel((4, 4))(np.full((1, 4, 4), value))

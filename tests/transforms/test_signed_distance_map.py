"""SignedDistanceMap: kinds, geometry and spacing; the numbers themselves are in test_euclidean_distance."""

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.transforms import Compose, Flip, Invertd, RandFlipd, SpatialCropd

import transforms.signed_distance_map as module
from transforms.euclidean_distance import signed_distance
from transforms.signed_distance_map import SignedDistanceMap, SignedDistanceMapd


def two_classes(spatial_dims=3):
    label = np.zeros((1, 9, 8, 7)[: spatial_dims + 1], np.uint8)
    label[:, 2:5, 2:6], label[:, 5:7, 2:6] = 1, 2
    return label


OBLIQUE = np.array([[0.0, -1.5, 0.0, 10], [2.0, 0.0, 0.0, -5], [0.0, 0.0, 0.5, 3], [0, 0, 0, 1]])

KINDS = {
    "numpy": lambda label: label,
    "numpy float32": lambda label: label.astype(np.float32),
    "torch": torch.from_numpy,
    "torch int64": lambda label: torch.from_numpy(label).long(),
    "MetaTensor": lambda label: MetaTensor(torch.from_numpy(label), affine=np.eye(4)),
}


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("mode", ["metric", "dtc"])
@pytest.mark.parametrize("kind", KINDS.keys())
def test_same_kind_out(kind, mode, spatial_dims):
    label = two_classes(spatial_dims)
    given = KINDS[kind](label)
    distances = SignedDistanceMap(num_classes=2, mode=mode)(given)
    assert type(distances) is type(given)
    assert distances.dtype in (np.float32, torch.float32)
    assert tuple(distances.shape) == (2, *label.shape[1:])
    np.testing.assert_array_equal(np.asarray(distances), signed_distance(label[0], 2, mode))


SPACINGS = {
    "from the affine": ({}, OBLIQUE, (2.0, 1.5, 0.5)),
    "given wins over the affine": ({"spacing": (1.0, 2.0, 3.0)}, OBLIQUE, (1.0, 2.0, 3.0)),
    "one number": ({"spacing": 2.0}, OBLIQUE, (2.0, 2.0, 2.0)),
    "dtc is in voxels": ({"mode": "dtc"}, OBLIQUE, None),
}


@pytest.mark.parametrize(("options", "affine", "spacing"), SPACINGS.values(), ids=SPACINGS.keys())
def test_spacing(options, affine, spacing):
    label = two_classes()
    distances = SignedDistanceMap(2, **options)(MetaTensor(torch.from_numpy(label), affine=affine))
    expected = signed_distance(label[0], 2, options.get("mode", "metric"), spacing)
    np.testing.assert_array_equal(distances.numpy(), expected)
    np.testing.assert_array_equal(distances.affine.numpy(), affine)


def test_spacing_of_a_coronal_slice():
    """A 2D image may lie anywhere in space: its second axis here runs along z, 3 mm a voxel."""
    affine = np.array([[2.0, 0, 0, 0], [0, 0, 1, 0], [0, 3.0, 0, 0], [0, 0, 0, 1]])
    label = two_classes(2)
    distances = SignedDistanceMap(2)(MetaTensor(torch.from_numpy(label), affine=affine))
    np.testing.assert_array_equal(distances.numpy(), signed_distance(label[0], 2, spacing=(2.0, 3.0)))


def test_singular_affine_is_refused():
    affine = np.diag([1.0, 0.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="positive and finite"):
        SignedDistanceMap()(MetaTensor(torch.zeros(1, 4, 4, 4), affine=affine))


@pytest.mark.parametrize("shape", [(4, 4), (2, 4, 4), (1, 4, 4, 4, 4)])
def test_refuses_shapes(shape):
    with pytest.raises(ValueError, match="must have shape"):
        SignedDistanceMap()(np.zeros(shape))


def test_refuses_settings_at_construction():
    with pytest.raises(ValueError, match="max_distance, which is not given"):
        SignedDistanceMapd("label", normalize=True)
    with pytest.raises(ValueError, match="2 names, one per key, got 1"):
        SignedDistanceMapd(("label", "other"))


def test_refuses_pending_operations():
    label = Flip(0, lazy=True)(MetaTensor(torch.from_numpy(two_classes())))
    with pytest.raises(ValueError, match="pending operations"):
        SignedDistanceMap(2)(label)


def test_the_input_is_left_alone():
    label = MetaTensor(torch.from_numpy(two_classes()), affine=OBLIQUE)
    before = label.clone()
    SignedDistanceMap(2, max_distance=3.0, normalize=True)(label)
    assert torch.equal(label, before)
    assert label.dtype == torch.uint8


def test_dictionary_equals_array():
    label = two_classes()
    given = {"image": label, "label": label, "case_id": "a"}
    result = SignedDistanceMapd("label", num_classes=2, spacing=(1, 2, 3), max_distance=4.0, normalize=True)(given)
    expected = SignedDistanceMap(2, spacing=(1, 2, 3), max_distance=4.0, normalize=True)(label)
    np.testing.assert_array_equal(result["sdf"], expected)
    assert set(result) == {"image", "label", "case_id", "sdf"}
    assert set(given) == {"image", "label", "case_id"}
    assert result["label"] is label


def test_several_keys_and_missing_ones():
    label = two_classes()
    both = SignedDistanceMapd(("a", "b"), ("sdf_a", "sdf_b"), num_classes=2, allow_missing_keys=True)
    assert set(both({"b": label})) == {"b", "sdf_b"}
    with pytest.raises(KeyError):
        SignedDistanceMapd("label")({"image": label})


def test_later_steps_keep_map_and_label_together():
    """The map has the label's history, and a record of its own from then on."""
    steps = Compose(
        [
            RandFlipd("label", prob=1.0, spatial_axis=0),
            SignedDistanceMapd("label", num_classes=2),
            SpatialCropd(("label", "sdf"), roi_start=(1, 1, 1), roi_end=(7, 7, 6)),
        ]
    )
    result = steps({"label": MetaTensor(torch.from_numpy(two_classes()), affine=OBLIQUE)})
    assert torch.equal(result["label"].affine, result["sdf"].affine)
    steps_of = {key: [step["class"] for step in result[key].applied_operations] for key in result}
    assert steps_of["sdf"] == steps_of["label"]
    assert len(steps_of["sdf"]) == 2
    for value in (1, 2):
        assert torch.equal(result["sdf"][value - 1] < 0, result["label"][0] == value)
    back = Invertd("sdf", steps, orig_keys="label", nearest_interp=False, to_tensor=False)(result)["sdf"]
    assert tuple(back.shape) == (2, 9, 8, 7)
    np.testing.assert_allclose(back.affine.numpy(), OBLIQUE, atol=1e-9)


def test_one_thread_inside_a_worker(monkeypatch):
    used = []
    monkeypatch.setattr(module, "signed_distance", lambda *args: used.append(args[-1]) or signed_distance(*args))
    label = two_classes()
    SignedDistanceMap(2)(label)
    SignedDistanceMap(2, threads=3)(label)
    monkeypatch.setattr(torch.utils.data, "get_worker_info", lambda: object())
    SignedDistanceMap(2)(label)
    SignedDistanceMap(2, threads=3)(label)
    assert used == [0, 3, 1, 3]


def test_in_a_real_worker():
    case = {"label": torch.from_numpy(two_classes())}
    loader = DataLoader(Dataset([case, case], SignedDistanceMapd("label", num_classes=2)), num_workers=1, batch_size=2)
    batch = next(iter(loader))
    np.testing.assert_array_equal(batch["sdf"][1].numpy(), signed_distance(two_classes()[0], 2))


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 2.0)])
@pytest.mark.parametrize("width", [1, 2, 5])
def test_thin_vessels_keep_their_inside(width, spacing):
    """A straight vessel, by hand; a diagonal one of one pixel, whose nearest neighbours share a face."""
    label = np.zeros((1, 12, 12), np.uint8)
    label[0, :, 4 : 4 + width] = 1
    across = SignedDistanceMap(spacing=spacing)(label)[0, 6] / spacing[1]
    inside = [-min(i + 1, width - i) for i in range(width)]
    np.testing.assert_allclose(across, [4, 3, 2, 1, *inside, *range(1, 9 - width)])
    diagonal = np.eye(12, dtype=np.uint8)[None]
    distances = SignedDistanceMap(spacing=spacing)(diagonal)
    np.testing.assert_array_equal(distances < 0, diagonal == 1)
    np.testing.assert_allclose(distances[diagonal == 1], -min(spacing))


def test_the_published_form_has_no_inside_of_thin_vessels():
    """Why ``metric`` is the mode for vessels: two pixels wide, all of it touches the background."""
    label = np.zeros((1, 8, 8), np.uint8)
    label[0, :, 3:5] = 1
    assert SignedDistanceMap(mode="dtc")(label).min() == 0
    assert SignedDistanceMap(mode="metric")(label).min() == -1

"""Slab by slab, the same comes of a volume as from all its slices at once, and probabilities are not kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import (
    Activationsd,
    AsDiscreted,
    DivisiblePadd,
    EnsureTyped,
    KeepLargestConnectedComponentd,
    Orientationd,
    Resized,
)

from networks.nets.flip_average import FlipAverage
from pipelines.prediction.slabs import SharedImages, Slab, cut
from tests.pipelines.prediction.slice_networks import as_network, predictor, slice_predictor, write_volume
from transforms.axis_turn import AxisTurn
from transforms.io.input_error import InputError

RAS = (("L", "R"), ("P", "A"), ("I", "S"))


@pytest.mark.parametrize("slice_axis", [-1, 0])
@pytest.mark.parametrize("neighbours", [0, 1, 2])
def test_slabs_give_what_the_whole_volume_gives(tmp_path, neighbours, slice_axis):
    entry, values = write_volume(tmp_path / "a.nii.gz")
    network = slice_predictor(neighbours=neighbours, slice_axis=slice_axis)
    with torch.inference_mode():
        probabilities, presence = network.detect(as_network(values))
    made = predictor(network)
    assert made.by_slabs
    slabs = list(made.slabs(entry))
    assert [slab.presence.shape[1] for slab in slabs] == [4, 4, 3] if slice_axis else [4, 4, 2]
    found, told = made.predict_with_probabilities(entry)
    torch.testing.assert_close(told, probabilities[0], atol=1e-6, rtol=0)
    np.testing.assert_allclose(found.presence, presence[0], atol=1e-6)
    np.testing.assert_array_equal(found.labels, probabilities[0].argmax(0))
    assert found.labels.dtype == np.uint8
    np.testing.assert_array_equal(found.whole_presence, found.presence.max(1))
    np.testing.assert_array_equal(made.predict(entry).labels, found.labels)
    np.testing.assert_array_equal(made.predict_presence(entry)[0], found.presence)


def test_one_pass_gives_both(tmp_path):
    entry, _ = write_volume(tmp_path / "a.nii", shape=(8, 8, 6))
    network = slice_predictor()
    predictor(network, slab_slices=6).predict(entry)
    assert network.network.passes == 2  # six slices, three at a time


@pytest.mark.parametrize("axes", [(1,), (2,), (0, 2)])
def test_flips(tmp_path, axes):
    entry, values = write_volume(tmp_path / "a.nii.gz")
    network = slice_predictor()
    averaged, volume = FlipAverage(network, axes), as_network(values)
    found = predictor(averaged).predict(entry)
    with torch.inference_mode():
        probabilities, presence = averaged.detect(volume)
        flips = [[], *([axis + 2] for axis in axes), *([[axis + 2 for axis in axes]] if len(axes) > 1 else [])]
        expected = [network.detect(volume.flip(flip)) for flip in flips]
    turned = [both[1].flip([2]) if 4 in flip else both[1] for both, flip in zip(expected, flips, strict=True)]
    torch.testing.assert_close(presence, torch.stack(turned).mean(0))
    np.testing.assert_allclose(found.presence, presence[0], atol=1e-6)
    np.testing.assert_array_equal(found.labels, probabilities[0].argmax(0))


def test_steps_within_slices(tmp_path):
    """In-plane resizing and padding, there and back, as for the whole volume."""
    entry, values = write_volume(tmp_path / "a.nii.gz")
    resizing = Resized("image", (15, 7, -1), mode="trilinear", anti_aliasing=True)
    steps = (resizing, DivisiblePadd("image", (4, 4, 1)))
    by_slabs, at_once = (predictor(slice_predictor(), *steps, slab_slices=size) for size in (4, 99))
    found, expected = by_slabs.predict_with_probabilities(entry), at_once.predict_with_probabilities(entry)
    assert by_slabs.by_slabs
    assert expected[1].shape == (4, *values.shape)
    torch.testing.assert_close(found[1], expected[1].as_subclass(torch.Tensor), atol=1e-6, rtol=0)
    np.testing.assert_array_equal(found[0].labels, expected[0].labels)
    np.testing.assert_allclose(found[0].presence, expected[0].presence, atol=1e-6)


@pytest.mark.parametrize("codes", ["RAS", "ARS", "PLS", "RAI", "PLI"])
def test_other_axis_codes(tmp_path, codes):
    """The network sees the turned volume; what it finds comes in the order of the file, by slabs and at once."""
    entry, values = write_volume(tmp_path / "a.nii.gz")
    orientation = Orientationd("image", axcodes=codes, labels=RAS)
    turned = orientation({"image": MetaTensor(as_network(values)[0], affine=np.diag([0.01, 0.02, 0.1, 1]))})["image"]
    turn = AxisTurn.between(np.diag([0.01, 0.02, 0.1, 1]), turned.affine)
    network = slice_predictor()
    with torch.inference_mode():
        probabilities, presence = network.detect(turned.as_tensor()[None])
    by_slabs = predictor(network, orientation)
    at_once = predictor(network, EnsureTyped("image"), orientation)
    assert (by_slabs.by_slabs, at_once.by_slabs) == (True, False)
    for made in (by_slabs, at_once):
        found, told = made.predict_with_probabilities(entry)
        torch.testing.assert_close(torch.as_tensor(told), turn.undo(probabilities[0]), atol=1e-6, rtol=0)
        np.testing.assert_allclose(found.presence, presence[0].flip(1) if codes[2] == "I" else presence[0], atol=1e-6)


@pytest.mark.parametrize("typed_first", [True, False])
def test_slices_along_another_axis_of_the_file(tmp_path, typed_first):
    entry, _ = write_volume(tmp_path / "a.nii.gz")
    steps = [EnsureTyped("image")] * typed_first + [Orientationd("image", axcodes="SRA", labels=RAS)]
    with pytest.raises(
        InputError, match=r"a\.nii\.gz: has its slices along axis 1, but the network looks along axis 2"
    ):
        predictor(slice_predictor(), *steps).predict(entry)


@pytest.mark.parametrize("early", [True, False])
def test_cleaning_waits_for_all_slices(tmp_path, early):
    """The largest piece of the whole volume; and where deciding looks at more than a voxel, that waits as well."""
    entry, _ = write_volume(tmp_path / "a.nii.gz")
    deciding = None if early else [Activationsd("pred", softmax=True), AsDiscreted("pred", argmax=True)]
    cleaning = [KeepLargestConnectedComponentd("pred", applied_labels=[1, 2, 3], independent=True)]
    made = predictor(slice_predictor(), cleaning=cleaning, deciding=deciding)
    assert made.decision.slice_by_slice == early
    plain = predictor(slice_predictor()).predict(entry).labels
    expected = cleaning[0]({"pred": torch.from_numpy(plain.astype(np.float32))[None]})["pred"][0].numpy()
    assert (expected != plain).any()
    np.testing.assert_array_equal(made.predict(entry).labels, expected)


def test_uncertainty(tmp_path):
    entry, values = write_volume(tmp_path / "a.nii.gz")
    found, probabilities = predictor(slice_predictor(), tells_uncertainty=True).predict_with_probabilities(entry)
    entropy = -(probabilities * probabilities.log()).sum(0) / np.log(4)
    assert found.uncertainty.shape == values.shape
    np.testing.assert_allclose(found.uncertainty, entropy, atol=1e-5)


def test_networks_that_only_detect(tmp_path):
    entry, values = write_volume(tmp_path / "a.nii.gz")
    network = slice_predictor(mask=False)
    made = predictor(network)
    presence, seconds = made.predict_presence(entry)
    with torch.inference_mode():
        np.testing.assert_allclose(presence, network.presence(as_network(values))[0], atol=1e-6)
    assert seconds > 0
    assert (made.gives_mask, made.tells_presence) == (False, True)
    with pytest.raises(InputError, match="gives no mask"):
        made.predict(entry)


def test_networks_that_only_segment(tmp_path):
    entry, _ = write_volume(tmp_path / "a.nii.gz")
    made = predictor(slice_predictor(kinds=0))
    assert made.by_slabs
    assert made.predict(entry).presence is None
    assert made.predict(entry).whole_presence is None
    with pytest.raises(ValueError, match="tells what is present"):
        made.predict_presence(entry)


def test_one_copy_of_equal_images():
    shared, first = SharedImages(), torch.arange(6.0)
    assert shared.keep(first) is first
    assert shared.keep(torch.arange(6.0)) is first
    other = torch.arange(6.0) + 1
    assert shared.keep(other) is other
    assert shared.keep(torch.arange(6.0).reshape(2, 3)).shape == (2, 3)


def test_cutting_a_whole_volume():
    probabilities, presence = torch.rand(2, 5, 3, 4), torch.rand(3, 5)
    slabs = list(cut(Slab(probabilities, presence), 0, 2))
    assert [slab.probabilities.shape[1] for slab in slabs] == [2, 2, 1]
    assert torch.equal(torch.cat([slab.probabilities for slab in slabs], 1), probabilities)
    assert torch.equal(torch.cat([slab.presence for slab in slabs], 1), presence)
    assert [slab.probabilities for slab in cut(Slab(None, presence), 2, 5)] == [None]

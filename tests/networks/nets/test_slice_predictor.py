"""Volumes through a network of slices: slice by slice by hand, ends, axes, memory, TorchScript."""

from __future__ import annotations

import io
import warnings
import weakref

import pytest
import torch
from torch import nn

from networks.nets import DilatedUNetPlusPlus, LesionDetector, SlicePredictor


def small(in_channels, **options):
    torch.manual_seed(0)
    settings = {"filters": 2, "depth": 2, "dilations": (), "presence_channels": 3} | options
    return DilatedUNetPlusPlus(2, in_channels, 4, **settings).eval()


def stored_and_loaded(module):
    stored = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(module), stored)
    stored.seek(0)
    return torch.jit.load(stored).eval()


class Recorder(nn.Module):
    """Give logits that tell apart all that came in, and keep what came in."""

    def __init__(self, in_channels):
        super().__init__()
        self.names = ["mask", "presence"]
        self.in_channels = in_channels
        self.out_channels = {"mask": 2, "presence": 1}
        self.seen = []

    def forward(self, x, heads=None):
        self.seen.append((x, heads))
        outputs = {"mask": x[:, :2], "presence": x[:, :1, 0, 0]}
        return {name: outputs[name] for name in heads}


def test_slice_by_slice_by_hand():
    """One slice at a time, its neighbours looked up by an index that stops at the ends."""
    network = small(6)
    predictor = SlicePredictor(network, slices_at_once=3).eval()
    volume = torch.randn(2, 2, 9, 11, 5)
    with torch.no_grad():
        masks, presence = predictor.detect(volume)
        assert torch.equal(predictor(volume), masks)
        torch.testing.assert_close(predictor.presence(volume), presence)
        for index in range(5):
            before, after = max(index - 1, 0), min(index + 1, 4)
            stack = torch.cat([volume[..., before], volume[..., index], volume[..., after]], dim=1)
            outputs = network(stack)
            torch.testing.assert_close(masks[..., index], torch.softmax(outputs["mask"], dim=1))
            torch.testing.assert_close(presence[..., index], torch.sigmoid(outputs["presence"]))
    assert masks.shape == (2, 4, 9, 11, 5)
    assert presence.shape == (2, 3, 5)
    torch.testing.assert_close(masks.sum(dim=1), torch.ones(2, 9, 11, 5))


def test_order_of_channels_and_ends():
    """Slices i hold 10 i, their second channel one more; two neighbours, of four slices."""
    recorder = Recorder(10)
    predictor = SlicePredictor(recorder, neighbours=2, slices_at_once=10)
    volume = (10.0 * torch.arange(4) + torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1)).expand(1, 2, 3, 3, 4)
    predictor(volume)
    ((seen, heads),) = recorder.seen
    assert heads == ["mask"]
    assert seen[:, :, 1, 1].tolist() == [
        [0, 1, 0, 1, 0, 1, 10, 11, 20, 21],
        [0, 1, 0, 1, 10, 11, 20, 21, 30, 31],
        [0, 1, 10, 11, 20, 21, 30, 31, 30, 31],
        [10, 11, 20, 21, 30, 31, 30, 31, 30, 31],
    ]


@pytest.mark.parametrize("depth", [1, 2])
def test_fewer_slices_than_neighbours(depth):
    volume = torch.randn(1, 1, 8, 8, depth)
    masks, presence = SlicePredictor(small(7), neighbours=3).detect(volume)
    assert masks.shape == (1, 4, 8, 8, depth)
    assert presence.shape == (1, 3, depth)


def test_single_slices_are_their_own_neighbours():
    network = small(6)
    predictor = SlicePredictor(network, spatial_dims=2, slice_axis=0)
    image = torch.randn(3, 2, 9, 11)
    masks, presence = predictor.detect(image)
    outputs = network(torch.cat([image] * 3, dim=1))
    torch.testing.assert_close(masks, torch.softmax(outputs["mask"], dim=1))
    torch.testing.assert_close(presence, torch.sigmoid(outputs["presence"]))
    assert torch.equal(predictor(image), masks)


@pytest.mark.parametrize("axis", [-3, -2, 0, 1, 2])
def test_any_axis(axis):
    network = small(3)
    volume = torch.randn(2, 1, 9, 11, 5)
    last = SlicePredictor(network)
    masks, presence = SlicePredictor(network, slice_axis=axis).detect(volume.movedim(-1, 2 + axis % 3))
    expected = last.detect(volume)
    torch.testing.assert_close(masks.movedim(2 + axis % 3, -1), expected[0])
    torch.testing.assert_close(presence, expected[1])


@pytest.mark.parametrize("at_once", [1, 4, 64])
def test_slices_at_once_change_nothing_but_memory(at_once):
    """The network never has more than so many slices; two volumes of five share the last batch but one."""
    predictor = SlicePredictor(small(3), slices_at_once=64).eval()
    volume = torch.randn(2, 1, 9, 11, 5)
    seen = []
    with torch.no_grad():
        expected = predictor.detect(volume)
        predictor.slices_at_once = at_once
        predictor.network.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[0]))
        for found, tensor in zip(predictor.detect(volume), expected, strict=True):
            torch.testing.assert_close(found, tensor)
    assert max(seen) <= at_once
    assert sum(seen) == 10
    assert len(seen) == -(-10 // at_once)


class Alive(nn.Module):
    """Count the features that are alive at once, of slices that went through."""

    def __init__(self):
        super().__init__()
        self.names, self.in_channels, self.out_channels = ["mask"], 1, {"mask": 2}
        self.alive = self.most = 0

    def forward(self, x, heads=None):
        features = torch.cat([x, -x], dim=1)
        self.alive += x.shape[0]
        self.most = max(self.most, self.alive)
        weakref.finalize(features, self._freed, x.shape[0])
        return {"mask": features}

    def _freed(self, slices):
        self.alive -= slices


def test_features_of_all_slices_are_not_kept():
    network = Alive()
    with torch.no_grad():
        SlicePredictor(network, neighbours=0, slices_at_once=4)(torch.randn(1, 1, 4, 4, 40))
    assert network.most <= 8  # those of a batch may live until those of the next are there


def test_wanted_heads_alone_are_computed():
    recorder = Recorder(3)
    predictor = SlicePredictor(recorder)
    volume = torch.randn(1, 1, 4, 4, 2)
    predictor(volume), predictor.presence(volume), predictor.detect(volume)
    assert [heads for _, heads in recorder.seen] == [["mask"], ["presence"], ["mask", "presence"]]


@pytest.mark.parametrize("dims", [2, 3])
def test_torchscript(dims):
    predictor = SlicePredictor(small(6, nested=dims == 3), spatial_dims=dims, slices_at_once=2).eval()
    loaded = stored_and_loaded(predictor)
    image = torch.randn(2, 2, *[9, 11, 5][:dims])
    with torch.no_grad():
        expected = predictor.detect(image)
        torch.testing.assert_close(loaded(image), expected[0])
        torch.testing.assert_close(loaded.presence(image), expected[1])
        for found, tensor in zip(loaded.detect(image), expected, strict=True):
            torch.testing.assert_close(found, tensor)
        loaded.slices_at_once = 5
        torch.testing.assert_close(loaded(image), expected[0])


@pytest.mark.parametrize("scripted", [False, True], ids=["eager", "torchscript"])
def test_a_network_that_detects_alone(scripted):
    predictor = SlicePredictor(LesionDetector(3, 2, side=32), slices_at_once=2).eval()
    volume = torch.randn(1, 1, 40, 30, 3)
    expected = torch.sigmoid(predictor.network(torch.cat([volume[..., i] for i in (0, 1, 2)], dim=1))["presence"])
    tried = stored_and_loaded(predictor) if scripted else predictor
    found = tried.presence(volume)
    assert found.shape == (1, 2, 3)
    torch.testing.assert_close(found[..., 1], expected)
    refusal = torch.jit.Error if scripted else ValueError
    with pytest.raises(refusal, match="segments nothing"):
        tried(volume)
    with pytest.raises(refusal, match="not both"):
        tried.detect(volume)


def test_a_network_that_segments_alone():
    predictor = SlicePredictor(small(3, presence_channels=0))
    volume = torch.randn(1, 1, 8, 8, 2)
    assert predictor(volume).shape == (1, 4, 8, 8, 2)
    with pytest.raises(ValueError, match="does not tell the presence"):
        predictor.presence(volume)
    with pytest.raises(ValueError, match="not both"):
        predictor.detect(volume)


REFUSED = {
    "dims": ({"spatial_dims": 4}, "spatial_dims must be 2 or 3, got 4"),
    "neighbours": ({"neighbours": -1}, r"neighbours must not be negative and slices_at_once at least 1, got \(-1, 8\)"),
    "at once": ({"slices_at_once": 0}, "slices_at_once at least 1"),
    "axis": ({"slice_axis": 3}, "slice_axis must be an axis of a volume, from -3 to 2, got 3"),
    "channels": ({"neighbours": 2}, "5 slices cannot share the 6 input channels"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SlicePredictor(small(6), **options)


def test_images_of_other_axes():
    with pytest.raises(ValueError, match="Images must have 5 axes, batch and channel first, got 4"):
        SlicePredictor(small(6))(torch.zeros(1, 2, 8, 8))

"""Frames through a volume: the right slices, contours of the right colour at the right place, within their budget."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pipelines.figures.overlays import PAIRS
from pipelines.figures.slice_animation import MAX_FRAMES, animate_slices, shown_slices

SHAPE = (60, 90, 5)


def volume(seed=0, shape=SHAPE):
    return np.random.default_rng(seed).integers(0, 60, shape, np.uint8)


def box(slices, start, value=1):
    label = np.zeros(SHAPE, np.uint8)
    label[start : start + 20, 30:60, slices] = value
    return label


def pixels(frame):
    with Image.open(io.BytesIO(frame)) as image:
        return np.asarray(image.convert("RGB"), np.float32)


def near(frame, colour):
    """Where the frame has a colour, give or take what JPEG makes of it."""
    wanted = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)])
    return np.argwhere(np.abs(pixels(frame) - wanted).max(-1) < 50)


def test_slices_at_even_distances():
    assert shown_slices(7, 40) == list(range(7))
    slices = shown_slices(128)
    assert len(slices) == MAX_FRAMES
    assert (slices[0], slices[-1]) == (0, 127)
    assert set(np.diff(slices)) == {3, 4}


def test_every_part_has_its_place_and_colour():
    """The truth is in slices 1 and 2, the prediction in 2 and 3 and lower; each on its own panel alone."""
    made = animate_slices(
        volume(),
        truth=box(slice(1, 3), 5),
        predictions={"net": box(slice(2, 4), 30)},
        class_names=["REA"],
        presence=np.array([[0.0, 0.25, 0.5, 0.75, 1.0]]),
        title="best",
        caption="Dice",
    )
    assert len(made.frames) == len(made.told) == 5
    assert made.told[2] == "slice 3 of 5; present: REA 0.50"
    assert made.legend == (("truth: REA", PAIRS[0][0]), ("prediction: REA", PAIRS[0][1]))
    truth, prediction = ([near(frame, colour) for frame in made.frames] for colour in PAIRS[0])
    assert [len(found) > 50 for found in truth] == [False, True, True, False, False]
    assert [len(found) > 50 for found in prediction] == [False, False, True, True, False]
    high, wide = pixels(made.frames[0]).shape[:2]
    third = wide / 3
    assert third < truth[2][:, 1].min() < truth[2][:, 1].max() < 2 * third < prediction[2][:, 1].min()
    # The box of the truth begins a twelfth down its panel, that of the prediction in the middle.
    assert truth[2][:, 0].min() < 0.3 * high < 0.5 * high < prediction[2][:, 0].min()


def test_other_axes_and_channels():
    image, label = volume(), box(slice(1, 3), 5)
    usual = animate_slices(image, truth=label, predictions={}, class_names=["a"])
    turned = animate_slices(
        np.moveaxis(image, -1, 0)[None],
        truth=np.moveaxis(label, -1, 0),
        predictions={},
        class_names=["a"],
        slice_axis=0,
    )
    assert usual.frames == turned.frames


def test_small_lesions_are_not_lost():
    shape = (1200, 1200, 1)
    label = np.zeros(shape, np.uint8)
    label[601, 601] = 1
    made = animate_slices(volume(shape=shape), truth=label, predictions={"net": label * 0}, class_names=["a"])
    assert len(near(made.frames[0], PAIRS[0][0])) > 0


def test_without_truth():
    made = animate_slices(volume(), truth=None, predictions={"net": box(slice(0, 5), 5)}, class_names=["a"])
    assert made.legend == (("prediction: a", PAIRS[0][1]),)
    assert made.told[0] == "slice 1 of 5"


def test_the_budget_is_kept():
    image, label = volume(shape=(200, 300, 12)), np.zeros((200, 300, 12), np.uint8)
    sizes = []
    for budget in (10_000_000, 300_000, 60_000):
        made = animate_slices(
            image, truth=label, predictions={"a": label}, class_names=["a"], max_bytes=budget, max_frames=6
        )
        assert len(made.frames) == 6
        sizes.append(sum(map(len, made.frames)))
        assert sizes[-1] <= budget
    assert sizes[0] > sizes[1] > sizes[2]


def test_shapes_that_differ():
    with pytest.raises(ValueError, match=r"net has shape \(60, 90, 4\), but the image has \(60, 90, 5\)"):
        animate_slices(volume(), truth=None, predictions={"net": box(0, 5)[..., :4]}, class_names=["a"])

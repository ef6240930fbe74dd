"""The picture shows contours where the labels are, says what it is not for, and keeps the planes' scale."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.text import Text

from pipelines.console import NOT_FOR_DIAGNOSIS
from pipelines.figures import finding
from pipelines.figures.finding import finding_png, png_pixels

AFFINE = np.diag([-1.0, -1.0, 3.0, 1.0])


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).normal(100, 20, (40, 48, 12))


def ball(shape: tuple[int, ...]) -> np.ndarray:
    grid = np.indices(shape)
    centre = np.array(shape).reshape(3, 1, 1, 1) / 2
    return (((grid - centre) / np.array([10, 12, 4]).reshape(3, 1, 1, 1)) ** 2).sum(axis=0) < 1


def coloured(pixels: np.ndarray) -> int:
    return int((np.ptp(pixels.astype(int), axis=2) > 60).sum())


def test_contours_are_drawn_where_something_was_found(image):
    full = png_pixels(finding_png(image, ball(image.shape).astype(np.uint8), AFFINE, ["ball"], ["ball 1.00 mL"]))
    empty = png_pixels(finding_png(image, np.zeros(image.shape, np.uint8), AFFINE, ["ball"], ["ball: no finding"]))
    assert full.dtype == np.uint8
    assert full.shape[2] == 3
    assert coloured(full) > 2 * coloured(empty)


def test_it_says_what_was_given_and_what_it_is_not_for(image, monkeypatch):
    written = []

    def keep(figure):
        written.extend(text.get_text() for text in figure.findobj(Text))
        return b""

    monkeypatch.setattr(finding, "png_bytes", keep)
    finding_png(image, ball(image.shape).astype(np.uint8), AFFINE, ["ball"], ["ball 1.00 mL", "second line"])
    assert {"ball 1.00 mL", "second line", NOT_FOR_DIAGNOSIS} <= set(written)


def test_text_does_not_squeeze_the_planes(image, monkeypatch):
    sizes = []

    def measure(figure):
        inches = figure.get_size_inches()
        sizes.append([axis.get_position().size * inches for axis in figure.axes])
        return b""

    monkeypatch.setattr(finding, "png_bytes", measure)
    for lines in ([], ["one", "two", "three"]):
        finding_png(image, ball(image.shape).astype(np.uint8), AFFINE, ["ball"], lines)
    np.testing.assert_allclose(sizes[0], sizes[1], rtol=1e-6)


def test_the_same_finding_gives_the_same_bytes(image):
    labels = ball(image.shape).astype(np.uint8)
    assert finding_png(image, labels, AFFINE, ["ball"], ["x"]) == finding_png(image, labels, AFFINE, ["ball"], ["x"])

"""The synthetic macula in OCT: layers, three lesion kinds where they belong, as often and as large as published."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import label as connected_parts

from pipelines.data.phantom_oct import LESIONS, PATIENTS, PED, REA, SRF, draw_oct, lesions_of

SHAPE, SPACING = (64, 128, 16), (0.0312, 0.0936, 0.376)


@cache
def drawn(number: int, shape: tuple[int, ...] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    return draw_oct(np.random.default_rng([0, number]), shape, SPACING, number)


def test_lesions_are_dealt_out_evenly() -> None:
    many = np.array([lesions_of(number) for number in range(1, 701)])
    assert many.sum(0).tolist() == pytest.approx([10 * patients for patients in PATIENTS], abs=2)
    assert all(first[SRF - 1] or second[SRF - 1] for first, second in pairwise(many))
    assert all(many[start : start + 3, PED - 1].any() for start in range(698))
    assert lesions_of(1) == (True, True, True)
    assert len(LESIONS) == len(PATIENTS)


def test_frequencies_and_areas_are_those_published() -> None:
    """Within a quarter for 35 patients, rarer ones within a half: 4664, 2934 and 402 of 8960 B-scans, and the mean
    lesion's pixels of 512 x 1024.
    """
    areas = np.stack([[(drawn(number)[1] == value).sum((0, 1)) for value in (1, 2, 3)] for number in range(1, 36)])
    scans = (areas > 0).sum((0, 2))
    assert (scans / (35 * 16)).tolist()[:2] == pytest.approx([4664 / 8960, 2934 / 8960], rel=0.25)
    assert scans[2] / (35 * 16) == pytest.approx(402 / 8960, rel=0.5)
    sizes = areas.sum((0, 2)) / scans / (64 * 128)
    assert sizes.tolist()[:2] == pytest.approx([62355 / 2**19, 13502 / 2**19], rel=0.25)
    assert sizes[2] == pytest.approx(3223 / 2**19, rel=0.5)


@pytest.mark.parametrize("number", range(1, 9))
def test_the_patients_lesions_are_there_and_go_on_through_slices(number: int) -> None:
    label = drawn(number)[1]
    for value, wanted in zip((REA, SRF, PED), lesions_of(number), strict=True):
        scans = np.flatnonzero((label == value).any((0, 1)))
        assert (len(scans) > 0) == wanted
        assert np.all(np.diff(scans) == 1)


@pytest.mark.parametrize("number", [1, 2, 4, 6])
def test_lesions_lie_in_their_layers(number: int) -> None:
    """Oedema in front of the fluid, and both in front of a detachment, in each column."""
    label = drawn(number)[1]
    depth = np.arange(64)[:, None, None]
    first = {value: np.where(label == value, depth, 99).min(0) for value in (1, 2, 3)}
    last = {value: np.where(label == value, depth, -1).max(0) for value in (1, 2, 3)}
    for front, back in ((REA, SRF), (REA, PED), (SRF, PED)):
        both = (first[front] < 99) & (first[back] < 99)
        assert np.all(last[front][both] < first[back][both])
    for value in (SRF, PED):
        assert connected_parts(label == value)[1] <= 1


def test_bright_epithelium_dark_fluid_dark_vitreous() -> None:
    image, label = drawn(1)
    assert image.dtype == label.dtype == np.uint8
    healthy = image[..., (label == 0).all((0, 1))].astype(float)
    rows = healthy.mean(1)
    assert rows.max() > 4 * rows[:10].mean()
    assert image[label == SRF].mean() < 0.7 * image[label == REA].mean()
    assert 0.1 < image.mean() / 255 < 0.2  # published: 0.144


def test_oedema_swells_and_pits_and_bends_vary() -> None:
    inner = []
    for number in range(1, 7):
        image, label = drawn(number)
        bright = image > 60
        front = np.where(bright.any(0), bright.argmax(0), 64)
        back = np.where(bright.any(0), 63 - bright[::-1].argmax(0), 0)
        holds = (label == REA).sum(0) > 8
        assert np.median(front[holds]) < np.median(front[~holds])
        inner.append(np.median(back - front))
    assert len(set(inner)) > 1


def test_the_same_eye_at_another_resolution() -> None:
    coarse, fine = drawn(1)[1], drawn(1, (128, 256, 16))[1]
    for value in (REA, SRF):
        small, large = coarse == value, fine[::2, ::2] == value
        assert 2 * (small & large).sum() / (small.sum() + large.sum()) > 0.85


def test_tiny_volumes_lose_no_lesion() -> None:
    for number in range(1, 7):
        label = drawn(number, (32, 48, 8))[1]
        assert [bool((label == value).any()) for value in (1, 2, 3)] == list(lesions_of(number))


def test_the_same_generator_draws_the_same() -> None:
    again = draw_oct(np.random.default_rng([0, 1]), SHAPE, SPACING, 1)
    for one, two, other in zip(drawn(1), again, drawn(2), strict=True):
        assert np.array_equal(one, two)
        assert not np.array_equal(one, other)

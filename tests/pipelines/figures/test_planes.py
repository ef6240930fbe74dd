"""Planes pass through what is segmented, lie as radiologists have them, and keep the file's slice numbers."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.figures.planes import choose_planes, to_lps


def marked(shape: tuple[int, ...], *places: slice) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[places] = True
    return mask


@pytest.mark.parametrize(
    ("affine", "flipped"),
    [
        (np.diag([-1.0, -2.0, 3.0, 1.0]), (False, False, False)),
        (np.diag([1.0, 2.0, 3.0, 1.0]), (True, True, False)),
        (np.diag([-1.0, 2.0, -3.0, 1.0]), (False, True, True)),
    ],
)
def test_to_lps_turns_axes_to_left_back_and_head(affine: np.ndarray, flipped: tuple[bool, ...]) -> None:
    volume = np.arange(24).reshape(2, 3, 4)
    turned, spacing, found = to_lps(volume, affine)
    assert found == flipped
    assert spacing == (1, 2, 3)
    undo = tuple(slice(None, None, -1) if flip else slice(None) for flip in flipped)
    assert np.array_equal(turned[undo], volume)


def test_to_lps_follows_permuted_oblique_axes() -> None:
    # The file's axes: head, right, front; spacing 3, 1, 2; a few degrees off.
    affine = np.array([[0, 1, 0, 0], [0.1, 0, 2, 0], [3, 0, -0.05, 0], [0, 0, 0, 1.0]])
    volume = np.arange(24).reshape(4, 2, 3)
    turned, spacing, flipped = to_lps(volume, affine)
    assert turned.shape == (2, 3, 4)
    assert np.allclose(spacing, (1, 2, 3), atol=0.01)
    assert flipped == (True, True, False)
    assert turned[0, 0, 0] == volume[0, 1, 2]


def test_planes_pass_through_the_middle() -> None:
    mask = marked((60, 60, 60), slice(10, 21), slice(20, 31), slice(30, 41))
    planes = choose_planes(mask, (1, 1, 1), oriented=True)
    assert [plane.title for plane in planes] == ["axial 36 of 60", "coronal 26 of 60", "sagittal 16 of 60"]
    assert [plane.letters for plane in planes] == ["RLAP", "RLSI", "APSI"]
    assert all(plane.cut(mask).sum() == 121 for plane in planes)


def test_slice_numbers_are_the_files() -> None:
    mask = marked((60, 60, 60), slice(10, 21), slice(20, 31), slice(30, 41))
    planes = choose_planes(mask, (1, 1, 1), oriented=True, flipped=(True, False, True))
    assert [plane.title for plane in planes] == ["axial 25 of 60", "coronal 26 of 60", "sagittal 45 of 60"]
    assert choose_planes(mask, (1, 1, 1), oriented=False)[0].title == "slice 36 of 60"


def test_a_hollow_middle_gives_the_fullest_slice() -> None:
    mask = marked((20, 20, 30), slice(5, 15), slice(5, 15), slice(2, 4))
    mask[5:8, 5:8, 26:28] = True
    mask[5:14, 5:14, 28] = True
    axial = choose_planes(mask, (1, 1, 1), oriented=True)[0]
    assert axial.cut(mask).sum() == 100


def test_window_has_the_same_margin_in_millimetres_on_all_sides() -> None:
    mask = marked((200, 200, 100), slice(80, 120), slice(90, 110), slice(45, 55))
    axial = choose_planes(mask, (1, 1, 2), oriented=True)[0]
    assert axial.window == (slice(60, 140), slice(70, 130))
    coronal = choose_planes(mask, (1, 1, 2), oriented=True)[1]
    assert coronal.window == (slice(60, 140), slice(35, 65))
    assert coronal.size_mm == (80, 60)


def test_pages_up_is_the_patients_head() -> None:
    volume = np.zeros((8, 8, 8))
    volume[1, 2, 7] = 1
    axial, coronal, sagittal = choose_planes(volume > 0, (10, 10, 10), oriented=True)
    assert np.argwhere(axial.cut(volume)).tolist() == [[2 - axial.window[1].start, 1 - axial.window[0].start]]
    assert np.argwhere(coronal.cut(volume))[0][0] == 0
    assert np.argwhere(sagittal.cut(volume))[0][0] == 0


def test_nothing_segmented_shows_the_middle() -> None:
    planes = choose_planes(np.zeros((10, 12, 14), bool), (1, 1, 1), oriented=True)
    assert [plane.index for plane in planes] == [7, 6, 5]
    assert planes[0].window == (slice(0, 10), slice(0, 12))


def test_flat_volumes_and_images_have_one_plane() -> None:
    assert [plane.axis for plane in choose_planes(np.ones((9, 9, 1), bool), (1, 1, 1), oriented=True)] == [2]
    assert [plane.axis for plane in choose_planes(np.ones((9, 9), bool), (1, 1), oriented=False)] == [None]

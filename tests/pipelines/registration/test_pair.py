from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.registration import pair as pair_module
from pipelines.registration.grids import Grid
from pipelines.registration.pair import Scan, register_pair
from pipelines.registration.settings import PairSettings
from tests.pipelines.registration.deformed_phantom import deformed_pair
from transforms.io.input_error import InputError


@pytest.mark.parametrize(
    ("options", "factor"),
    [
        ({}, 2.5),
        ({"other_modality": True}, 2.5),
        ({"angle": 0.15, "shift_mm": 2.0, "amplitude_mm": 1.5}, 3.0),
        ({"shape": (48, 44), "spacing": (1.0, 1.0)}, 2.5),
        ({"shape": (48, 44, 12), "spacing": (0.8, 0.8, 3.2)}, 2.0),
    ],
    ids=["3d", "modality", "rotated", "2d", "anisotropic"],
)
def test_recovers_a_known_deformation(options, factor):
    known = deformed_pair(**options)
    found = register_pair(known.target, known.atlas, PairSettings())
    before, after = known.error_mm(found.start), known.error_mm(found.final)
    assert after < before / factor
    assert known.dice(found.final) > known.dice(found.start) + 0.02
    assert known.dice(found.final) > 0.9
    assert found.similarity["final"] > found.similarity["start"]
    assert found.fallback == ""


def test_two_modalities_that_share_little_are_not_torn_apart():
    """Noise over most of the image, as in air: what is there already must not get lost."""
    known = deformed_pair((44, 40, 36), other_modality=True, amplitude_mm=1.0)
    rng = np.random.default_rng(5)
    body = known.atlas_label > 0
    arrays = [np.where(body, scan.array, 0) for scan in (known.atlas, known.target)]
    atlas, target = (
        replace(scan, array=(array + 0.05 * rng.standard_normal(array.shape)).astype(np.float32))
        for scan, array in zip((known.atlas, known.target), arrays, strict=True)
    )
    found = register_pair(target, atlas, PairSettings(start="header"))
    errors = [
        np.linalg.norm(stage.atlas_points(target.grid).numpy() - known.true_points, axis=-1)[body].mean()
        for stage in (found.start, found.final)
    ]
    assert errors[1] < errors[0]
    assert np.linalg.norm(found.final.displacements_mm(target.grid), axis=0).max() < 8


def test_no_affine_where_none_is_asked_for():
    known = deformed_pair((24, 26, 22), angle=0.1)
    matrices = {}
    for affine in ("none", "rigid", "affine"):
        found = register_pair(known.target, known.atlas, PairSettings(start="header", affine=affine))
        matrices[affine] = found.affine.after[:3, :3]
    np.testing.assert_array_equal(matrices["none"], np.eye(3))
    np.testing.assert_allclose(matrices["rigid"] @ matrices["rigid"].T, np.eye(3), atol=1e-6)
    assert np.abs(matrices["affine"] - np.eye(3)).max() > 1e-3
    with pytest.raises(ValueError, match="affine must be of"):
        register_pair(known.target, known.atlas, PairSettings(affine="some"))


def test_a_field_that_makes_it_worse_is_not_kept(monkeypatch):
    known = deformed_pair((24, 26, 22))
    wild = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 24, 26, 22)).astype(np.float32)) * 3
    monkeypatch.setattr(pair_module, "_run_engine", lambda prepared, start, settings: (start, wild))
    found = register_pair(known.target, known.atlas, PairSettings())
    assert found.fallback == "the affine was kept: the field made the images less alike"
    assert found.similarity["final"] == found.similarity["affine"]
    np.testing.assert_array_equal(found.final.after, found.affine.after)


def test_equal_images_give_the_identity():
    known = deformed_pair((24, 26, 22))
    found = register_pair(known.atlas, known.atlas, PairSettings())
    assert np.abs(found.final.displacements_mm(known.atlas.grid)).max() < 1e-3
    assert found.similarity["final"] == pytest.approx(1, abs=1e-5)


def test_same_input_same_result():
    known = deformed_pair((24, 26, 22))
    first, second = (register_pair(known.target, known.atlas, PairSettings()) for _ in range(2))
    assert first.final.field is not None
    assert second.final.field is not None
    assert torch.equal(first.final.field, second.final.field)
    np.testing.assert_array_equal(first.final.after, second.final.after)


@pytest.mark.parametrize("array", [np.zeros((20, 22, 18), np.float32), np.full((20, 22, 18), 7, np.float32)])
def test_images_that_show_nothing_give_a_finite_result(array):
    scan = Scan("empty", array, Grid(array.shape, np.eye(4)))
    found = register_pair(scan, scan, PairSettings())
    assert np.abs(found.final.displacements_mm(scan.grid)).max() < 1e-3


def test_another_place_in_the_world_is_found_by_the_centres():
    known = deformed_pair((24, 26, 22))
    matrix = known.atlas.grid.matrix.copy()
    matrix[:3, 3] += 500
    far = replace(known.atlas, grid=Grid(known.atlas.grid.shape, matrix))
    found = register_pair(known.target, far, PairSettings())
    np.testing.assert_allclose(found.start.displacements_mm(known.target.grid).mean((1, 2, 3)), 500)
    assert found.similarity["final"] > found.similarity["start"]
    with pytest.raises(InputError, match="does not overlap with target"):
        register_pair(known.target, far, PairSettings(start="header"))


def test_orientation_of_the_arrays_does_not_matter():
    known = deformed_pair((24, 26, 22))
    size = known.atlas.grid.shape[0]
    flip = np.eye(4)
    flip[0, 0], flip[0, 3] = -1, size - 1
    turned = replace(
        known.atlas,
        array=known.atlas.array[::-1].copy(),
        grid=Grid(known.atlas.grid.shape, known.atlas.grid.matrix @ flip),
    )
    straight = register_pair(known.target, known.atlas, PairSettings()).final
    found = register_pair(known.target, turned, PairSettings()).final
    difference = found.displacements_mm(known.target.grid) - straight.displacements_mm(known.target.grid)
    # Sampling differs in the last digit, which Adam's steps make larger where little is seen.
    assert np.abs(difference).mean() < 0.1


def test_masks_keep_what_is_outside_out():
    known = deformed_pair()
    mask = np.zeros(known.target.grid.shape, np.uint8)
    mask[:24] = 1
    spoiled = known.target.array.copy()
    spoiled[26:] = np.random.default_rng(3).standard_normal(spoiled[26:].shape) * 9
    target = replace(known.target, array=spoiled, mask=mask)
    found = register_pair(target, known.atlas, PairSettings(start="header"))
    errors = [
        np.linalg.norm(stage.atlas_points(target.grid).numpy() - known.true_points, axis=-1)[4:22, 4:-4, 4:-4].mean()
        for stage in (found.start, found.final)
    ]
    assert errors[1] < errors[0] / 2


@pytest.mark.parametrize(
    ("mask", "message"),
    [(np.zeros((24, 26, 22)), "its mask is empty"), (np.ones((3, 3, 3)), "its mask has shape")],
)
def test_refuses_masks_that_say_nothing(mask, message):
    known = deformed_pair((24, 26, 22))
    with pytest.raises(InputError, match=message):
        register_pair(replace(known.target, mask=mask), known.atlas, PairSettings())


def test_refuses_a_plane_with_a_volume():
    flat, solid = deformed_pair((24, 26), (1.0, 1.0)), deformed_pair((24, 26, 22))
    with pytest.raises(InputError, match="is 2D, but the target target is 3D"):
        register_pair(solid.target, flat.atlas, PairSettings())
    with pytest.raises(ValueError, match="engine"):
        register_pair(solid.target, solid.atlas, PairSettings(engine="best"))


@pytest.mark.parametrize(
    ("result", "kept"),
    [
        ((np.eye(4), torch.full((3, 24, 26, 22), float("nan"))), "the affine was kept: the field was not finite"),
        ((np.full((4, 4), np.nan), None), "the initial alignment was kept: the affine was not finite"),
        (RuntimeError("a\nNo valid points"), "the initial alignment was kept: No valid points"),
    ],
)
def test_what_is_not_finite_falls_back(monkeypatch, result, kept):
    def broken(*_):
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(pair_module, "_run_engine", broken)
    known = deformed_pair((24, 26, 22))
    found = register_pair(known.target, known.atlas, PairSettings())
    assert found.fallback == kept
    assert np.abs(found.final.displacements_mm(known.target.grid)).max() < 1e-6
    assert found.similarity["final"] == found.similarity["start"]

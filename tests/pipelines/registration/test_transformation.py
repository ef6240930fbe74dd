from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import torch

from pipelines.registration.grids import Grid, translation
from pipelines.registration.pair_job import write_field
from pipelines.registration.transformation import (
    Transformation,
    jacobian_statistics,
    warp_image,
    warp_label,
)

SHAPE = (12, 14, 10)


def oblique(seed: int, spacing: tuple[float, ...]) -> np.ndarray:
    turn, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag(spacing)
    matrix[:3, 3] = (4, -3, 7)
    return matrix


def some_transformation(grid: Grid) -> Transformation:
    field = torch.from_numpy(np.random.default_rng(2).uniform(-1, 1, (grid.dims, *grid.shape))).float()
    after = translation(np.array([1.5, -0.5, 0.3])) @ grid.matrix
    return Transformation(grid, after, field)


def test_equals_simpleitk_with_the_same_field(tmp_path):
    """The field's file, read by SimpleITK, carries the image as we carry it: from target to atlas, mm, LPS."""
    target = Grid(SHAPE, oblique(0, (1.0, 1.3, 0.8)))
    atlas = Grid((13, 12, 11), oblique(0, (1.2, 1.0, 0.9)))
    image = np.random.default_rng(1).standard_normal(atlas.shape).astype(np.float32)
    transformation = some_transformation(target)
    write_field(tmp_path / "field.nii.gz", transformation, target)
    nib.save(nib.Nifti1Image(image, atlas.matrix), tmp_path / "atlas.nii.gz")
    field = SimpleITK.ReadImage(str(tmp_path / "field.nii.gz"), SimpleITK.sitkVectorFloat64)
    moved = SimpleITK.Resample(
        SimpleITK.ReadImage(str(tmp_path / "atlas.nii.gz")),
        field_reference(field),
        SimpleITK.DisplacementFieldTransform(field),
        SimpleITK.sitkLinear,
        0.0,
    )
    theirs = SimpleITK.GetArrayFromImage(moved).T
    ours = warp_image(image, atlas, transformation, target)
    # The two treat the outermost half voxel differently: compare where all neighbours are inside.
    points = transformation.atlas_points(target).numpy()
    indices = (points - atlas.matrix[:3, 3]) @ np.linalg.inv(atlas.matrix[:3, :3]).T
    inside = ((indices > 0) & (indices < np.array(atlas.shape) - 1)).all(-1)
    assert inside.mean() > 0.3
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=2e-3)


def field_reference(field: SimpleITK.Image) -> SimpleITK.Image:
    reference = SimpleITK.Image(field.GetSize(), SimpleITK.sitkFloat32)
    reference.CopyInformation(field)
    return reference


def test_a_shift_has_the_right_direction():
    grid = Grid((6, 5), np.eye(3))
    label = np.zeros((6, 5), np.uint8)
    label[4, 2] = 3
    shift = Transformation(grid, translation(np.array([2.0, 0.0])))
    # The target's voxel x shows the atlas at x + 2: what was at 4 is now at 2.
    assert np.argwhere(warp_label(label, grid, shift, grid) == 3).tolist() == [[2, 2]]
    np.testing.assert_array_equal(shift.displacements_mm(grid)[0], 2)


def test_the_greatest_share_wins():
    grid = Grid((4, 3), np.eye(3))
    label = np.repeat(np.array([[1], [2], [0], [0]], np.uint8), 3, axis=1)

    def moved_by(step: float) -> list[int]:
        return warp_label(label, grid, Transformation(grid, translation(np.array([step, 0.0]))), grid)[:, 1].tolist()

    assert moved_by(0.0) == [1, 2, 0, 0]
    assert moved_by(0.4) == [1, 2, 0, 0]
    assert moved_by(0.6) == [2, 0, 0, 0]
    assert moved_by(-0.6) == [0, 1, 2, 0]
    assert moved_by(9.0) == [0, 0, 0, 0]


def test_a_label_of_int32_keeps_its_values():
    grid = Grid((3, 3), np.eye(3))
    label = np.full((3, 3), 70000, np.int32)
    found = warp_label(label, grid, Transformation(grid, np.eye(3)), grid)
    assert found.dtype == np.int32
    assert (found == 70000).all()


def test_jacobian_of_a_stretch_and_of_a_fold():
    grid = Grid((8, 9, 7), np.diag([1.0, 2.0, 3.0, 1.0]))
    stretch = Transformation(grid, np.diag([2.0, 1.0, 1.0, 1.0]) @ grid.matrix)
    found = jacobian_statistics(stretch, grid)
    assert (found.lowest, found.highest) == (pytest.approx(2), pytest.approx(2))
    assert (found.folded_share, found.log_deviation) == (0, pytest.approx(0, abs=1e-6))
    field = torch.zeros(3, 8, 9, 7)
    field[0] = -2 * torch.arange(8.0).reshape(8, 1, 1)
    folded = jacobian_statistics(Transformation(grid, grid.matrix, field), grid)
    assert folded.folded_share == 1
    assert folded.highest == pytest.approx(-1)
    assert np.isnan(folded.log_deviation)


def test_finite_or_not():
    grid = Grid((3, 3), np.eye(3))
    assert Transformation(grid, np.eye(3)).is_finite()
    assert not Transformation(grid, np.full((3, 3), np.inf)).is_finite()
    broken = Transformation(grid, np.eye(3), torch.full((2, 3, 3), float("nan")))
    assert not broken.is_finite()
    assert broken.without_field().is_finite()

import re

import numpy as np
import pytest

from pipelines.consensus.rater_files import check_grids, read_labels, stream_labels
from tests.pipelines.consensus.tiny_raters import AFFINE, save, truth, write_raters
from transforms.io.input_error import InputError, InputErrors


def shifted(x_mm):
    affine = AFFINE.copy()
    affine[0, 3] = x_mm
    return affine


OTHER_GRIDS = {
    "shape": (truth()[:-1], AFFINE, "has shape 11x11x10, but the first rater has 12x11x10"),
    "spacing": (truth(), AFFINE @ np.diag([1, 1, 2, 1]), "has spacing 1x1.5x4 mm"),
    "origin": (truth(), shifted(3.0), "has its origin 3 mm away"),
    "direction": (truth(), AFFINE @ np.diag([-1, 1, 1, 1]), "is flipped in x"),
    "dimension": (truth()[..., 0], AFFINE, "has shape 12x11,"),
}


@pytest.mark.parametrize(("labels", "affine", "message"), OTHER_GRIDS.values(), ids=OTHER_GRIDS.keys())
def test_another_grid_is_refused(tmp_path, labels, affine, message):
    raters = write_raters(tmp_path)
    other = save(tmp_path / "other.nii.gz", labels, affine)
    for given in ((raters, other), ([*raters, other], None)):
        with pytest.raises(InputError, match=re.escape(message)) as refusal:
            check_grids(*given)
        assert refusal.value.subject == str(other)


def test_one_grid_passes(tmp_path):
    raters = write_raters(tmp_path)
    check_grids(raters, raters[0])
    check_grids(raters[:1])


def test_every_fault_is_told(tmp_path):
    raters = write_raters(tmp_path)
    raters[1] = tmp_path / "absent.nii.gz"
    raters.append(save(tmp_path / "other.nii.gz", truth(), shifted(1.0)))
    with pytest.raises(InputErrors) as refusal:
        check_grids(raters)
    assert [fault.subject for fault in refusal.value.faults] == [str(raters[1]), str(raters[-1])]


LABELS = {
    "fraction": (truth() + np.float32(0.25), None, "whole numbers, found 0.25"),
    "negative": (truth().astype(np.int16) - 1, None, "from -1 to 1"),
    "too large": (truth().astype(np.int32) + 65535, None, "labels are 0 to 65535"),
    "undeclared": (truth() + 5, (0, 1, 2), "not declared: 5, 6, 7 (declared: 0, 1, 2)"),
    "255": ((truth() > 0) * np.uint8(255), (0, 1), "should 255 be 1?"),
}


@pytest.mark.parametrize(("labels", "declared", "message"), LABELS.values(), ids=LABELS.keys())
def test_what_is_no_label_is_refused(tmp_path, labels, declared, message):
    with pytest.raises(InputError, match=re.escape(message)):
        read_labels(save(tmp_path / "a.nii.gz", labels), declared)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_labels_are_read_as_small_numbers(tmp_path, dtype):
    labels = read_labels(save(tmp_path / "a.nii.gz", truth().astype(dtype)), (0, 1, 2))
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, truth())


def test_stream_scores_each_rater(tmp_path):
    raters, scores = write_raters(tmp_path), []
    maps = list(stream_labels(raters, (0, 1, 2), truth(), scores))
    assert len(maps) == 4
    assert scores[0] == {1: 1.0, 2: 1.0}
    assert all(each[1] < 1 for each in scores[1:])

"""What distance maps take from a label map beside its labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import DataLoader, MetaTensor

from transforms.label_distance import affine_spacing, labels_of, thread_count


@pytest.mark.parametrize("shape", [(4, 5), (2, 4, 5), (1, 4, 5, 6, 7)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"must have shape \(1, H, W\[, D\]\)"):
        labels_of(torch.zeros(shape))


def test_labels_are_an_array():
    labels = labels_of(torch.arange(20).reshape(1, 4, 5))
    assert isinstance(labels, np.ndarray)
    assert labels.shape == (4, 5)


def test_spacing_of_a_turned_grid():
    """Turning does not change how far voxels are apart; a label map without an affine says nothing."""
    turn = np.deg2rad(30)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    affine[:3, :3] *= (0.5, 2.0, 3.0)
    label = MetaTensor(torch.zeros(1, 3, 3, 3), affine=affine)
    assert affine_spacing(label) == pytest.approx((0.5, 2.0, 3.0))
    assert affine_spacing(label[..., 0]) == pytest.approx((0.5, 2.0))
    assert affine_spacing(torch.zeros(1, 3, 3)) is None


class Threads(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return torch.tensor([thread_count(0), thread_count(3)])


def test_one_thread_inside_a_worker_unless_told():
    assert (thread_count(0), thread_count(3)) == (0, 3)
    (counts,) = DataLoader(Threads(), num_workers=1)
    assert counts.tolist() == [[1, 3]]

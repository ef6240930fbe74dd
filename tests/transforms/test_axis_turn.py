"""Turns of axes against MONAI's ``Orientation``, there and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Orientation

from transforms.axis_turn import AxisTurn

AFFINE = np.diag([0.5, 2.0, 3.0, 1.0])  # RAS


@pytest.mark.parametrize(
    ("codes", "axes", "is_reversed"),
    [
        ("RAS", (0, 1, 2), (False, False, False)),
        ("LPS", (0, 1, 2), (True, True, False)),
        ("PLS", (1, 0, 2), (True, True, False)),
        ("PLI", (1, 0, 2), (True, True, True)),
        ("SRA", (1, 2, 0), (False, False, False)),
    ],
)
def test_monais_turns_and_the_way_back(codes, axes, is_reversed):
    volume = MetaTensor(torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5), affine=AFFINE)
    turned = Orientation(axcodes=codes, labels=(("L", "R"), ("P", "A"), ("I", "S")))(volume)
    turn = AxisTurn.between(AFFINE, turned.affine)
    assert (turn.axes, turn.is_reversed) == (axes, is_reversed)
    assert turn.changes_nothing == (codes == "RAS")
    assert torch.equal(turn.undo(turned.as_tensor()), volume.as_tensor())

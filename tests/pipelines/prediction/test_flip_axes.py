"""Axes to mirror, by number and by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from pipelines.prediction.flip_axes import flip_axes
from tests.pipelines.prediction.slice_networks import slice_predictor
from transforms.io.input_error import InputError

SOURCE = Path("run")


@pytest.mark.parametrize(
    ("options", "dims", "flips", "axes"),
    [
        ({}, 3, ("lr",), (1,)),
        ({}, 3, ("slices", "ud"), (2, 0)),
        ({"slice_axis": 0}, 3, ("lr", "ud", "slices"), (2, 1, 0)),
        ({"spatial_dims": 2}, 2, ("ud", "lr"), (0, 1)),
        ({}, 3, (2, "lr"), (2, 1)),
        ({}, 3, (), ()),
    ],
)
def test_names(options, dims, flips, axes):
    assert flip_axes(flips, dims, slice_predictor(**options), SOURCE) == axes


REFUSED = [
    (nn.Identity(), 3, ("lr",), "--flips: lr is not there; the network of run looks at no slices"),
    (slice_predictor(spatial_dims=2), 2, ("slices",), "slices is not there; the network of run has lr, ud$"),
    (nn.Identity(), 2, (2,), "axis 2 is not there; the network's axes are 0 to 1"),
    (slice_predictor(), 3, (1, "lr"), "lr is an axis that is mirrored already"),
]


@pytest.mark.parametrize(("network", "dims", "flips", "message"), REFUSED)
def test_what_is_refused(network, dims, flips, message):
    with pytest.raises(InputError, match=message):
        flip_axes(flips, dims, network, SOURCE)

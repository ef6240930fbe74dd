"""The grid of an export's synthetic images."""

from __future__ import annotations

import pytest

from pipelines.export.proof_grid import proof_spacing, proof_window


def test_a_window_of_its_own():
    config = {"patch_size": [16, 32, 8], "spacing_mm": [1, 1, 2.5], "spatial_dims": 3}
    assert proof_window(config) == [16, 32, 8]
    assert proof_spacing(config) == [1.0, 1.0, 2.5]


@pytest.mark.parametrize(
    ("config", "window"),
    [
        ({"spatial_dims": 2}, [48, 40]),
        ({"spatial_dims": 3}, [48, 40, 10]),
        ({"spatial_dims": 3, "slice_axis": 0, "slices_at_once": 16}, [18, 48, 40]),
    ],
)
def test_images_as_they_are(config, window):
    """More slices than go into the network at once."""
    assert proof_window(config) == window
    assert proof_spacing({**config, "spacing_mm": None}) == proof_spacing(config) == [1.0] * config["spatial_dims"]

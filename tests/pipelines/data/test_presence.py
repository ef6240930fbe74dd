"""Presence from masks and data lists, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipelines.data.presence import Presence, presence_contradictions, presence_of_mask, read_presence
from transforms.io.input_error import InputError

NAMES = {0: "background", 1: "REA", 2: "SRF", 3: "PED"}
# One row of voxels and four slices.
LABEL = np.array([[[0, 1, 1, 255], [0, 2, 0, 255]]])


def test_of_a_mask() -> None:
    found = presence_of_mask(LABEL, 3)
    assert found.slices.tolist() == [[0, 1, 1, -1], [0, 1, 0, -1], [0, 0, 0, -1]]
    assert found.volume.tolist() == [1, 1, -1]
    turned = presence_of_mask(LABEL.transpose(2, 0, 1), 3, slice_axis=0)
    assert turned.slices.tolist() == found.slices.tolist()
    assert presence_of_mask(LABEL[..., 1], 3).slices.tolist() == [[1], [1], [0]]


@pytest.mark.parametrize(
    ("given", "volume", "slices"),
    [
        (["SRF"], [0, 1, 0], [[0, 0], [-1, -1], [0, 0]]),
        ([], [0, 0, 0], [[0, 0], [0, 0], [0, 0]]),
        ([1, 0, None], [1, 0, -1], [[-1, -1], [0, 0], [-1, -1]]),
        ([True, False, False], [1, 0, 0], [[-1, -1], [0, 0], [0, 0]]),
        ({"slices": [["REA", "PED"], []]}, [1, 0, 1], [[1, 0], [0, 0], [1, 0]]),
        ({"slices": [[0, 1, None], [0, 0, 0]]}, [0, 1, -1], [[0, 0], [1, 0], [-1, 0]]),
    ],
)
def test_of_a_data_list(given: Any, volume: list[int], slices: list[list[int]]) -> None:
    told = read_presence(given, NAMES, 2)
    assert told.volume.tolist() == volume
    assert told.slices.tolist() == slices


def test_one_slice_is_the_volume() -> None:
    assert read_presence(["PED"], NAMES, 1).slices.tolist() == [[0], [0], [1]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["SRF", "drusen"], "case: its \"presence\" names 'drusen'; the classes are REA, SRF, PED"),
        ([1, 0], 'case: its "presence" has 2 numbers for 3 classes'),
        ([2, 0, 0], "of 0 and 1, one per class"),
        (["SRF", 1, 0], "of 0 and 1, one per class"),
        ("SRF", "must be a list"),
        ({"volume": [1, 0, 0]}, "must be a list"),
        ({"slices": "SRF"}, 'under "slices"'),
        ({"slices": [["SRF"]]}, "tells of 1 slices, but the image has 2"),
        ({"slices": [["SRF"], "PED"]}, "must be a list"),
    ],
)
def test_refusals(given: Any, message: str) -> None:
    with pytest.raises(InputError) as refused:
        read_presence(given, NAMES, 2, "case")
    assert message in str(refused.value)


def test_contradictions() -> None:
    seen = presence_of_mask(LABEL, 3)

    def against(given: Any) -> list[str]:
        return presence_contradictions(read_presence(given, NAMES, 4), seen, NAMES)

    assert against(["REA", "SRF"]) == []
    assert against(["REA", "SRF", "PED"]) == []  # the last slice of the mask is not known
    assert against(["SRF"]) == ['its "presence" says that there is no REA, but its label holds some']
    assert presence_contradictions(
        read_presence(["PED"], NAMES, 4), presence_of_mask(np.zeros((1, 2, 4), int), 3), NAMES
    ) == ['its "presence" says that there is some PED, but its label holds none']
    assert against({"slices": [["REA"], ["REA", "SRF"], ["REA"], []]}) == [
        'its "presence" and its label disagree on REA in slice 0 (counted from 0)'
    ]
    assert against({"slices": [["SRF"], ["REA", "SRF"], ["REA", "SRF"], []]}) == [
        'its "presence" and its label disagree on SRF in slices 0, 2 (counted from 0)'
    ]


def test_completion() -> None:
    told = read_presence({"slices": [[], ["REA", "SRF"], ["REA"], ["PED"]]}, NAMES, 4)
    both = presence_of_mask(LABEL, 3).completed_by(told)
    assert both.slices.tolist() == [[0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    assert both.volume.tolist() == [1, 1, 1]
    nothing = Presence(np.full(3, -1), np.full((3, 4), -1))
    assert nothing.completed_by(told).slices.tolist() == told.slices.tolist()

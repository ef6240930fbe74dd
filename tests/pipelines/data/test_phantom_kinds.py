"""The table of kinds is one that the rest can rely on."""

from __future__ import annotations

import inspect

import pytest

from pipelines.data.phantom_kinds import KINDS, find_kind
from transforms.io.input_error import InputError


@pytest.mark.parametrize("name", KINDS)
def test_entries_agree_with_themselves(name: str) -> None:
    kind = find_kind(name)
    assert kind is KINDS[name]
    assert len(kind.shape) == len(kind.spacing_mm) in (2, 3)
    assert ("2D" in kind.summary) == (len(kind.shape) == 2)
    assert kind.file_ending == (".png" if len(kind.shape) == 2 else ".nii.gz")
    number = ["number"] if kind.numbered else []
    assert list(inspect.signature(kind.draw).parameters) == ["rng", "shape", "spacing_mm", *number]
    assert sorted(kind.axes) == [0, 1, 2]


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(InputError, match="no kind 'vessel2d'; the nearest is 'vessels2d'"):
        find_kind("vessel2d")
    with pytest.raises(InputError, match="nearest is 'fundus'"):
        find_kind("FUNDUS")

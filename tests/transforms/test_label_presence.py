"""Presence of classes, against sets of numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from transforms.label_presence import LabelPresence, LabelPresenced


@pytest.mark.parametrize(
    ("values", "presence"),
    [
        ([0, 0, 0, 0], [0, 0, 0]),
        ([0, 2, 2, 1], [1, 1, 0]),
        ([3, 3, 3, 3], [0, 0, 1]),
        ([255, 255, 0, 3], [0, 0, 1]),
        ([255, 255, 255, 255], [0, 0, 0]),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_by_hand(values: list[int], presence: list[int], dtype: type) -> None:
    found = LabelPresence(3)(np.array(values, dtype).reshape(1, 2, 2))
    assert found.dtype == np.float32
    assert found.tolist() == presence


def test_volumes_and_random_subsets() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        allowed = rng.permutation(8)[: rng.integers(1, 8)]
        label = rng.choice(allowed, (1, 3, 4, 5))
        told = LabelPresence(7)(label)
        assert {index + 1 for index in np.flatnonzero(told)} == set(label.ravel().tolist()) - {0}


@pytest.mark.parametrize("kind", [torch.as_tensor, MetaTensor])
def test_torch_gives_a_plain_tensor(kind) -> None:
    found = LabelPresence(2)(kind(torch.tensor([[[0, 2]]])))
    assert type(found) is torch.Tensor
    assert found.dtype == torch.float32
    assert found.tolist() == [0, 1]


def test_dictionary_keeps_what_is_known() -> None:
    data = {"label": np.array([[[0, 1]]])}
    found = LabelPresenced("label", 2)(data)
    assert found["presence"].tolist() == [1, 0]
    assert "presence" not in data
    known = LabelPresenced("label", 2)({**data, "presence": np.ones(2)})
    assert known["presence"].tolist() == [1, 1]
    assert LabelPresenced("label", 2, presence_key="here")(data)["here"].tolist() == [1, 0]
    assert LabelPresenced("mask", 2, allow_missing_keys=True)(data) == data


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (np.array([[[0, 4]]]), "0 to 3 or 255, got 4"),
        (np.array([[[-1, 0]]]), "got -1 to 0"),
        (np.array([[[0, 256]]]), "got 0 to 256"),
        (np.array([[[0, 0.5]]]), "whole numbers"),
        (np.zeros((2, 3, 3)), "shape"),
        (np.zeros((3, 3)), "shape"),
    ],
)
def test_refusals(label: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelPresence(3)(label)


def test_refused_settings() -> None:
    for count in (0, 255):
        with pytest.raises(ValueError, match="num_classes"):
            LabelPresence(count)
    with pytest.raises(ValueError, match="one label map"):
        LabelPresenced(("a", "b"), 2)

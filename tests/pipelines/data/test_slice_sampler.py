"""Frequencies by hand, and draws that depend on nothing but the seed and the place."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.data.slice_sampler import SliceBatchSampler, slice_probabilities
from transforms.io.input_error import InputError

# Twelve slices: six hold nothing, five the first kind, one of which the second as well; one nothing known.
PRESENCE = np.zeros((12, 3), int)
PRESENCE[6:11, 0] = 1
PRESENCE[10, 1] = 1
PRESENCE[11] = -1


def drawn(sampler: SliceBatchSampler) -> list[int]:
    return [draw.case for batch in sampler for draw in batch]


def test_probabilities_by_hand() -> None:
    """Three groups with slices: none (7), the first kind (5), the second (1)."""
    full = slice_probabilities(PRESENCE, 1.0)
    assert full[0] == full[11] == pytest.approx(1 / 3 / 7)
    assert full[6] == pytest.approx(1 / 3 / 5)
    assert full[10] == pytest.approx(1 / 3 / 5 + 1 / 3)
    np.testing.assert_allclose(slice_probabilities(PRESENCE, 0.0), 1 / 12)
    np.testing.assert_allclose(slice_probabilities(PRESENCE, 0.25), 0.75 / 12 + 0.25 * full)
    assert full.sum() == pytest.approx(1)


@pytest.mark.parametrize("balance", [0.0, 0.3, 1.0])
def test_slices_come_as_often_as_asked(balance: float) -> None:
    sampler = SliceBatchSampler(PRESENCE, 6, 1600, seed=3, balance=balance)
    counts = np.bincount(drawn(sampler), minlength=12)
    np.testing.assert_allclose(counts / 9600, sampler.probabilities, atol=0.006)


def test_every_kind_and_none_are_reasons_alike() -> None:
    slices = np.array(drawn(SliceBatchSampler(PRESENCE, 10, 600, seed=0, balance=1.0)))
    held = PRESENCE[slices] > 0
    assert (~held.any(1)).mean() == pytest.approx(1 / 3, abs=0.01)
    assert held[:, 1].mean() == pytest.approx(1 / 3 + 1 / 15, abs=0.01)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_without_balance_every_slice_comes_once_before_any_comes_twice(size: int) -> None:
    sampler = SliceBatchSampler(np.zeros((size, 2)), 1, 3 * size, seed=1)
    slices = np.array(drawn(sampler)).reshape(3, size)
    assert np.all(np.sort(slices) == np.arange(size))
    assert size < 7 or not np.array_equal(slices[0], slices[1])


def test_each_cycle_rounds_the_probabilities() -> None:
    sampler = SliceBatchSampler(PRESENCE, 12, 20, seed=5, balance=1.0)
    wanted = 12 * sampler.probabilities
    for batch in sampler:
        counts = np.bincount([draw.case for draw in batch], minlength=12)
        assert np.all((counts >= np.floor(wanted)) & (counts <= np.ceil(wanted)))


def test_going_on_draws_what_would_have_been_drawn() -> None:
    whole = list(SliceBatchSampler(PRESENCE, 5, 30, seed=2, balance=0.5))
    later = SliceBatchSampler(PRESENCE, 5, 30, seed=2, balance=0.5)
    later.start_iteration = 17
    assert list(later) == whole[17:]
    assert later.batch(3) == whole[3]
    assert len(later) == 30
    assert [draw.position for draw in whole[4]] == [20, 21, 22, 23, 24]
    assert list(SliceBatchSampler(PRESENCE, 5, 30, seed=3, balance=0.5)) != whole


def test_processes_share_a_batch() -> None:
    parts = [SliceBatchSampler(PRESENCE, 6, 4, seed=2, balance=0.5, rank=rank, world_size=2) for rank in (0, 1)]
    for iteration in range(4):
        shared = [part.batch(iteration) for part in parts]
        assert [draw for pair in zip(*shared, strict=True) for draw in pair] == parts[0].whole_batch(iteration)


@pytest.mark.parametrize(
    ("presence", "change", "message"),
    [
        (PRESENCE[:0], {}, "no slice"),
        (PRESENCE, {"batch_size": 0}, "at least one slice"),
        (PRESENCE, {"iterations": 0}, "at least one slice"),
        (PRESENCE, {"balance": 1.5}, "balance: must lie between 0 and 1, got 1.5"),
        (PRESENCE, {"world_size": 2}, "3 slices cannot be shared evenly by 2"),
    ],
)
def test_refusals(presence: np.ndarray, change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SliceBatchSampler(presence, **{"batch_size": 3, "iterations": 2, "seed": 0, **change})

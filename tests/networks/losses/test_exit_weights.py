"""Which heads have a mask to learn, by hand."""

from __future__ import annotations

import pytest

from networks.losses.exit_weights import exit_weights


def test_the_mean_of_the_exits_is_one_head():
    assert exit_weights("mean", 4, [], 0.5) == {"mask": 0.5}
    assert exit_weights("mean", 1, []) == {"mask": 1.0}
    assert exit_weights("mean", 0, []) == {}


def test_each_exit_by_its_weight():
    found = exit_weights("exits", 3, [0.0, 1.0, 3.0], 0.5)
    assert found == {"mask_1": 0.0, "mask_2": 0.5, "mask_3": 1.5}


@pytest.mark.parametrize(
    ("supervision", "exits", "weights", "said"),
    [
        ("both", 2, [1, 1], "must be mean or exits, got both"),
        ("exits", 1, [1], "needs a nested network"),
        ("exits", 0, [], "needs a nested network"),
        ("exits", 2, [1, 1, 1], "must be 2 numbers"),
        ("exits", 2, [1, -1], "none negative"),
        ("exits", 2, [0, 0], "not all 0"),
    ],
)
def test_what_cannot_be_supervised(supervision, exits, weights, said):
    with pytest.raises(ValueError, match=said):
        exit_weights(supervision, exits, weights)

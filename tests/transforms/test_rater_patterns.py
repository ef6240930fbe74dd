"""Decision patterns: codes, counts and what is spread back, against a plain count of rows."""

import tracemalloc

import numpy as np
import pytest

from transforms import rater_patterns
from transforms.rater_patterns import PatternCollector, collect_patterns


def drawn(raters, classes, shape, seed=0):
    return np.random.default_rng(seed).integers(0, classes, (raters, *shape))


def test_known_patterns():
    patterns = collect_patterns(np.array([[[0, 1, 1, 0]], [[0, 2, 2, 1]], [[0, 0, 0, 0]]]))
    assert patterns.decisions.tolist() == [[0, 0, 0], [0, 1, 0], [1, 2, 0]]
    assert patterns.counts.tolist() == [1, 1, 2]
    assert patterns.shape == (1, 4)
    assert patterns.labels == (0, 1, 2)
    assert patterns.unanimous.tolist() == [True, False, False]
    assert patterns.spread(np.array([5.0, 6.0, 7.0])).tolist() == [[5.0, 7.0, 7.0, 6.0]]


# The last three are numbered anew once, many times, and kept as sorted codes.
CASES = {
    "one voxel": (3, 2, (1, 1), 1 << 16, 1 << 24),
    "binary": (10, 2, (9, 8, 7), 1 << 16, 1 << 24),
    "five classes": (4, 5, (9, 8), 1 << 16, 1 << 24),
    "many raters": (70, 2, (9, 8, 7), 1 << 16, 1 << 24),
    "small table": (9, 3, (9, 8), 4, 1 << 24),
    "sorted codes": (9, 3, (9, 8), 4, 8),
}


@pytest.mark.parametrize(("raters", "classes", "shape", "small", "large"), CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_patterns_are_those_of_a_plain_count(monkeypatch, raters, classes, shape, small, large, dtype):
    monkeypatch.setattr(rater_patterns, "_SMALL", small)
    monkeypatch.setattr(rater_patterns, "_LARGE", large)
    maps = drawn(raters, classes, shape)
    expected, inverse, counts = np.unique(maps.reshape(raters, -1).T, axis=0, return_inverse=True, return_counts=True)
    patterns = collect_patterns(iter(maps.astype(dtype)))
    np.testing.assert_array_equal(patterns.decisions, expected)
    np.testing.assert_array_equal(patterns.counts, counts)
    np.testing.assert_array_equal(patterns.spread(np.arange(len(counts))), inverse.reshape(shape))


def test_large_labels_and_masks():
    maps = [np.array([[0, 65535, 300]]), np.array([[False, True, True]]), np.array([[0, 65535, 65535]])]
    patterns = collect_patterns(maps)
    assert patterns.decisions.tolist() == [[0, 0, 0], [300, 1, 65535], [65535, 1, 65535]]
    assert patterns.spread(patterns.decisions[:, 0]).tolist() == [[0, 65535, 300]]


def test_order_in_memory_does_not_matter():
    maps = list(drawn(3, 3, (4, 5, 6)))
    plain = collect_patterns(maps)
    turned = collect_patterns([np.asfortranarray(maps[0]), maps[1], np.asfortranarray(maps[2])])
    np.testing.assert_array_equal(turned.decisions, plain.decisions)
    values = np.arange(len(plain.counts))
    np.testing.assert_array_equal(turned.spread(values), plain.spread(values))
    assert turned.spread(values).flags.f_contiguous


@pytest.mark.parametrize("raters", [5, 40])
def test_memory_does_not_grow_with_the_raters(raters):
    shape = (64, 64, 64)
    base = drawn(1, 2, shape)[0].astype(np.uint8)
    flips = np.random.default_rng(1).integers(0, base.size, (raters, 20))

    def one_by_one():
        for flip in flips:
            rater = base.copy()
            rater.reshape(-1)[flip] ^= 1
            yield rater

    tracemalloc.start()
    collect_patterns(one_by_one())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * base.size


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        ([], "no rater"),
        ([np.zeros((2, 2)), np.zeros((2, 3))], "rater 2 has shape"),
        ([np.zeros((0, 2))], "no voxel"),
        ([np.array([[0, -1]])], "labels are 0 to 65535"),
        ([np.array([[0, 65536]])], "labels are 0 to 65535"),
        ([np.array([[0.0, np.nan]])], "labels are 0 to 65535"),
        ([np.array([[0.0, 0.5]])], "no whole numbers"),
        ([np.array([["a"]])], "not labels"),
    ],
)
def test_what_is_no_label_map_is_refused(maps, message):
    with pytest.raises(ValueError, match=message):
        collect_patterns(maps)


def test_raters_are_not_changed_or_kept():
    rater = np.array([[0, 1]], np.uint8)
    collector = PatternCollector()
    collector.add(rater)
    rater[:] = 0
    assert collector.finish().decisions.tolist() == [[0], [1]]

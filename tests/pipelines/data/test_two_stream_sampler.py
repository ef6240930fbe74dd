"""TwoStreamBatchSampler: what a batch holds, and that it is a function of seed and iteration alone."""

from collections import Counter

import pytest

from pipelines.data.two_stream_sampler import LABELED_STREAM, UNLABELED_STREAM, TwoStreamBatchSampler
from transforms.io.input_error import InputError


def sampler(labeled=5, unlabeled=7, ratio=(2, 2), iterations=40, seed=0, **options):
    return TwoStreamBatchSampler(labeled, unlabeled, *ratio, iterations, seed, **options)


def drawn(batches, stream):
    return [draw.case for batch in batches for draw in batch if draw.stream == stream]


@pytest.mark.parametrize("ratio", [(2, 2), (1, 3), (3, 1), (1, 0), (7, 11)])
def test_batches_hold_labelled_cases_first(ratio):
    for batch in sampler(ratio=ratio):
        assert [draw.stream for draw in batch] == [LABELED_STREAM] * ratio[0] + [UNLABELED_STREAM] * ratio[1]
        assert all(draw.case in range(5) for draw in batch[: ratio[0]])
        assert all(draw.case in range(5, 12) for draw in batch[ratio[0] :])


def test_length_is_the_number_of_iterations():
    assert len(sampler(iterations=40)) == len(list(sampler(iterations=40))) == 40


@pytest.mark.parametrize("ratio", [(2, 2), (1, 3), (3, 1)])
def test_every_case_comes_once_per_cycle(ratio):
    batches = list(sampler(ratio=ratio, iterations=70))
    for stream, cases in [(LABELED_STREAM, range(5)), (UNLABELED_STREAM, range(5, 12))]:
        order = drawn(batches, stream)
        for start in range(0, len(order) - len(cases) + 1, len(cases)):
            assert sorted(order[start : start + len(cases)]) == list(cases)
        assert len({tuple(order[start : start + len(cases)]) for start in range(0, 70, len(cases))}) > 3


def test_positions_count_the_draws_of_a_stream():
    batches = list(sampler(ratio=(1, 3), iterations=9))
    for stream, per_batch in [(LABELED_STREAM, 1), (UNLABELED_STREAM, 3)]:
        positions = [draw.position for batch in batches for draw in batch if draw.stream == stream]
        assert positions == list(range(9 * per_batch))


def test_same_seed_same_batches():
    assert list(sampler(seed=4)) == list(sampler(seed=4))
    assert list(sampler(seed=4)) != list(sampler(seed=5))


def test_a_batch_does_not_depend_on_those_before_it():
    batches = list(sampler())
    assert [sampler().batch(iteration) for iteration in (39, 3, 17)] == [batches[39], batches[3], batches[17]]


@pytest.mark.parametrize("start", [0, 1, 13, 39, 40])
def test_going_on_gives_the_tail(start):
    resumed = sampler()
    resumed.start_iteration = start
    assert list(resumed) == list(sampler())[start:]


def test_the_total_does_not_change_what_comes():
    """A run that is prolonged goes on as if it had been as long from the start."""
    assert list(sampler(iterations=100))[:40] == list(sampler(iterations=40))


@pytest.mark.parametrize(("ratio", "world_size"), [((2, 2), 2), ((2, 6), 2), ((4, 8), 4), ((3, 0), 3)])
def test_processes_share_the_global_batch(ratio, world_size):
    alone = list(sampler(ratio=ratio))
    ranks = [sampler(ratio=ratio, rank=rank, world_size=world_size) for rank in range(world_size)]
    for iteration, batch in enumerate(alone):
        shares = [rank.batch(iteration) for rank in ranks]
        assert Counter(draw for share in shares for draw in share) == Counter(batch)
        assert {len(share) for share in shares} == {sum(ratio) // world_size}
        for rank, share in zip(ranks, shares, strict=True):
            assert [draw.stream for draw in share] == sorted(draw.stream for draw in share)
            assert rank.whole_batch(iteration) == batch


def test_without_unlabelled_cases_all_draws_are_labelled():
    for batch in sampler(unlabeled=0, ratio=(2, 2)):
        assert [draw.stream for draw in batch] == [LABELED_STREAM] * 2


def test_more_draws_than_cases():
    """A case comes twice in a batch before another is left out of a cycle."""
    counts = Counter(drawn([sampler(labeled=2, ratio=(5, 1)).batch(0)], LABELED_STREAM))
    assert sorted(counts.values()) == [2, 3]


REFUSALS = [
    ({"labeled": 0}, "training: there is no labelled case to learn from"),
    ({"ratio": (0, 2)}, "batch: needs at least one labelled draw"),
    ({"ratio": (2, -1)}, "batch: needs at least one labelled draw"),
    ({"iterations": 0}, "0 iterations"),
    ({"ratio": (1, 3), "world_size": 2}, "batch: 1 labelled and 3 unlabelled draws cannot be shared evenly by 2"),
    ({"ratio": (2, 3), "world_size": 2}, "batch: 2 labelled and 3 unlabelled draws cannot be shared evenly by 2"),
]


@pytest.mark.parametrize(("options", "message"), REFUSALS)
def test_refuses(options, message):
    with pytest.raises(InputError, match=message):
        sampler(**options)

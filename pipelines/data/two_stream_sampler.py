"""Batches that hold labelled and unlabelled cases in a fixed ratio, as a pure function of (seed, iteration)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch.utils.data import Sampler

from pipelines.data.seeds import derive_generator
from transforms.io.input_error import InputError

LABELED_STREAM, UNLABELED_STREAM = 0, 1


class Draw(NamedTuple):
    """One sample of one batch: the index of its case, the stream it comes from, and its place in that stream."""

    case: int
    stream: int
    position: int


class TwoStreamBatchSampler(Sampler[list[Draw]]):
    """Yield one batch per iteration: labelled draws first, then unlabelled ones.

    Either stream passes through all its cases in a new random order before it repeats one. Which case comes at which
    place depends on the seed and the place alone: a run that goes on at ``start_iteration`` draws what it would have
    drawn without the interruption, with any number of workers. Under several processes each takes its share of the
    same global batch.

    Args:
        labeled: number of labelled cases; they have the indices 0 to ``labeled - 1``.
        unlabeled: number of unlabelled cases, whose indices follow.
        labeled_per_batch: labelled draws in a global batch.
        unlabeled_per_batch: unlabelled draws in a global batch; no draw is made when there is no unlabelled case.
        iterations: how many batches there are in all.
        seed: the user's seed.
        rank: which process this is.
        world_size: how many processes share a batch.

    Raises:
        InputError: when there is no labelled case, or a batch cannot be shared out evenly.
    """

    def __init__(
        self,
        labeled: int,
        unlabeled: int,
        labeled_per_batch: int,
        unlabeled_per_batch: int,
        iterations: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if labeled < 1:
            raise InputError("training", "there is no labelled case to learn from")
        if labeled_per_batch < 1 or unlabeled_per_batch < 0 or iterations < 1:
            raise InputError(
                "batch",
                f"needs at least one labelled draw and one iteration, got {labeled_per_batch} labelled, "
                f"{unlabeled_per_batch} unlabelled draws and {iterations} iterations",
            )
        if labeled_per_batch % world_size or unlabeled_per_batch % world_size:
            raise InputError(
                "batch",
                f"{labeled_per_batch} labelled and {unlabeled_per_batch} unlabelled draws cannot be shared evenly by "
                f"{world_size} processes",
            )
        self.sizes = (labeled, unlabeled)
        self.per_batch = (labeled_per_batch, unlabeled_per_batch if unlabeled > 0 else 0)
        self.iterations = iterations
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.start_iteration = 0

    def __len__(self) -> int:
        return self.iterations

    def __iter__(self) -> Iterator[list[Draw]]:
        for iteration in range(self.start_iteration, self.iterations):
            yield self.batch(iteration)

    def batch(self, iteration: int) -> list[Draw]:
        """Give this process's draws of one iteration, counted from zero."""
        return self._draws(iteration, self.rank, self.world_size)

    def whole_batch(self, iteration: int) -> list[Draw]:
        """Give all processes' draws of one iteration, counted from zero."""
        return self._draws(iteration, 0, 1)

    def _draws(self, iteration: int, first: int, step: int) -> list[Draw]:
        draws: list[Draw] = []
        for stream, per_batch in enumerate(self.per_batch):
            start = iteration * per_batch
            for position in range(start + first, start + per_batch, step):
                draws.append(Draw(self._case(stream, position), stream, position))
        return draws

    def _case(self, stream: int, position: int) -> int:
        size = self.sizes[stream]
        cycle, place = divmod(position, size)
        order = derive_generator(self.seed, stream, cycle).permutation(size)
        return int(order[place]) + (self.sizes[0] if stream == UNLABELED_STREAM else 0)

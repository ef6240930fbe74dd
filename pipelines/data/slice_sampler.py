"""Batches of slices in which rare kinds of lesion are as frequent as is asked for, as a pure function of
(seed, iteration).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from torch.utils.data import Sampler

from pipelines.data.seeds import derive_generator
from pipelines.data.two_stream_sampler import LABELED_STREAM, Draw
from transforms.io.input_error import InputError


class SliceBatchSampler(Sampler[list[Draw]]):
    """Yield one batch of slices per iteration.

    A slice is drawn with the probability ``(1 - balance) / N + balance * mean_g([i in g] / n_g)``, in which the groups
    g are the slices that hold each kind, and those that are known to hold none or of which nothing is known; groups
    without a slice do not count. So with ``balance`` 0 all N slices are alike, and with 1 every kind, and none, is the
    reason for equally many draws: a kind occurs in at least that share of them, and more where it lies beside others.

    Draws are spread as evenly as their probabilities allow: in each cycle of N draws a slice of probability p comes
    pN times, rounded up or down, in random order. With ``balance`` 0 a cycle is a pass through all slices. Which slice
    comes at which place depends on the seed and the place alone: a run that goes on at ``start_iteration`` draws what
    it would have drawn without the interruption, with any number of workers. Under several processes each takes its
    share of the same global batch.

    Args:
        presence: (N, K), positive where a slice holds a kind of lesion, 0 where not, negative where unknown.
        batch_size: slices in a global batch.
        iterations: how many batches there are in all.
        seed: the user's seed.
        balance: 0 to 1.
        rank: which process this is.
        world_size: how many processes share a batch.

    Raises:
        InputError: when there is no slice, a number is out of range, or a batch cannot be shared out evenly.
    """

    def __init__(
        self,
        presence: ArrayLike,
        batch_size: int,
        iterations: int,
        seed: int,
        balance: float = 0.0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        table = np.asarray(presence)
        if table.ndim != 2 or not len(table):
            raise InputError("training", "there is no slice to learn from")
        if batch_size < 1 or iterations < 1:
            raise InputError(
                "batch", f"needs at least one slice and one iteration, got {batch_size} and {iterations} iterations"
            )
        if not 0 <= balance <= 1:
            raise InputError("balance", f"must lie between 0 and 1, got {balance:g}")
        if batch_size % world_size:
            raise InputError("batch", f"{batch_size} slices cannot be shared evenly by {world_size} processes")
        self.probabilities = slice_probabilities(table, balance)
        self.batch_size = batch_size
        self.iterations = iterations
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.start_iteration = 0
        self._ends = np.cumsum(self.probabilities)
        self._cycle = (-1, np.zeros(0, int))

    def __len__(self) -> int:
        return self.iterations

    def __iter__(self) -> Iterator[list[Draw]]:
        for iteration in range(self.start_iteration, self.iterations):
            yield self.batch(iteration)

    def batch(self, iteration: int) -> list[Draw]:
        """Give this process's draws of one iteration, counted from zero."""
        return self.whole_batch(iteration)[self.rank :: self.world_size]

    def whole_batch(self, iteration: int) -> list[Draw]:
        """Give all processes' draws of one iteration, counted from zero."""
        start = iteration * self.batch_size
        positions = range(start, start + self.batch_size)
        return [Draw(self._slice(position), LABELED_STREAM, position) for position in positions]

    def _slice(self, position: int) -> int:
        cycle, place = divmod(position, len(self.probabilities))
        if self._cycle[0] != cycle:
            self._cycle = (cycle, self._slices_of(cycle))
        return int(self._cycle[1][place])

    def _slices_of(self, cycle: int) -> np.ndarray:
        """Draw a cycle: systematic sampling, equally spaced points on the line of cumulated probabilities."""
        size = len(self.probabilities)
        rng = derive_generator(self.seed, LABELED_STREAM, cycle)
        order = rng.permutation(size)
        points = (order + rng.uniform(1e-6, 1 - 1e-6)) / size * self._ends[-1]
        return np.minimum(np.searchsorted(self._ends, points, side="right"), size - 1)


def slice_probabilities(presence: np.ndarray, balance: float) -> np.ndarray:
    """Give the probability (N,) of each slice, as told in :class:`SliceBatchSampler`.

    Args:
        presence: (N, K), positive where a slice holds a kind.
        balance: 0 to 1.
    """
    holds = presence > 0
    groups = np.column_stack([~holds.any(axis=1), holds]).astype(float)  # (N, 1 + K)
    sizes = groups.sum(axis=0)
    balanced = (groups[:, sizes > 0] / sizes[sizes > 0]).mean(axis=1)
    return np.asarray((1 - balance) / len(presence) + balance * balanced)

"""Tasks added up so that they have weighed the same in the epoch before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import distributed, nn

from networks.losses.task_losses import in_order


class AlphaLoss(nn.Module):
    """``L_seg + sum_r alpha_r L_r``, where ``alpha_r`` is the ratio of the mean losses of the epoch before.

    ``alpha_r = mean L_seg / mean L_r``, and 0 in the first epoch. It stays the same throughout an epoch. It brings
    the tasks to one size; it does not favour the one that is learnt worse.

    The means are over the calls of :meth:`forward` in training mode (in evaluation mode the weights are used and
    nothing is counted), and over all processes of a distributed training. Sums and weights are buffers: a training
    that is taken up in the middle of an epoch goes on as if it had not stopped.

    Args:
        segmentation: name of the task whose weight is 1.
        regression: name, or names, of the others.
        smoothing: share of its former value that a weight keeps at the end of an epoch, from the second on; the
            published form keeps none.

    Raises:
        ValueError: when two tasks have one name, there is none to weigh, or ``smoothing`` is not within 0 and 1.
    """

    alphas: torch.Tensor
    sums: torch.Tensor
    count: torch.Tensor

    def __init__(
        self, segmentation: str = "mask", regression: str | Sequence[str] = "distance", smoothing: float = 0.0
    ) -> None:
        super().__init__()
        others = [regression] if isinstance(regression, str) else list(regression)
        self.names = [segmentation, *others]
        if not others or len(set(self.names)) != len(self.names):
            raise ValueError(f"tasks must be at least two, each with a name of its own, got {self.names}.")
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing must be at least 0 and below 1, got {smoothing}.")
        self.smoothing = smoothing
        self.register_buffer("alphas", torch.zeros(len(others), dtype=torch.float64))
        self.register_buffer("sums", torch.zeros(len(self.names), dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Add up scalars and, in training, remember them.

        Raises:
            ValueError: when the tasks are others.
        """
        values = in_order(losses, self.names)
        if self.training:
            self.sums += values.detach()
            self.count += 1
        return values[0] + (self.alphas.to(values.dtype) * values[1:]).sum()

    def weights(self) -> dict[str, float]:
        """Give what is multiplied with each task in this epoch."""
        return dict(zip(self.names, [1.0, *self.alphas.tolist()], strict=True))

    def end_epoch(self) -> None:
        """Take the weights of the next epoch from this one's means, and begin to count anew.

        After an epoch without a sample nothing changes; nor does a weight whose ratio is not finite, as where a
        regression loss was zero. Every process of a distributed training must call it.
        """
        sums, count = self.sums.clone(), self.count.clone()
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(sums)
            distributed.all_reduce(count)
        if int(count) == 0:
            return
        ratios = sums[0] / sums[1:]
        kept = torch.where(self.alphas > 0, self.smoothing, 0.0)
        moved = kept * self.alphas + (1.0 - kept) * ratios
        self.alphas.copy_(torch.where(torch.isfinite(ratios), moved, self.alphas))
        self.sums.zero_()
        self.count.zero_()

"""Batch norms that standardise by the batch at hand and remember nothing of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def batch_statistics(network: nn.Module) -> Iterator[None]:
    """Let the batch norms in ``network`` use the statistics of each batch, and keep their running ones as they are.

    An average of weights has running statistics that no forward pass of its own ever made, so that it is biased in
    evaluation mode until they are computed anew. Dropout and all else stays in the mode it is in.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    before = [(norm.training, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 0.0
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked = norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, (training, momentum, tracked) in zip(norms, before, strict=True):
            norm.train(training)
            norm.momentum, norm.num_batches_tracked = momentum, tracked

"""Activation checkpointing that leaves gradients and the running statistics of batch norms as they are without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class RecomputedBlock(nn.Module):
    """A block whose :meth:`compute` may be run again in the backward pass in place of keeping what it computed.

    Args:
        checkpointing: keep only the input, in training.
    """

    def __init__(self, checkpointing: bool) -> None:
        super().__init__()
        self.checkpointing = checkpointing

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Give what ``compute`` gives."""
        if not torch.jit.is_scripting() and self.checkpointing and self.training:
            return self._checkpointed(x)
        return self.compute(x)

    @torch.jit.unused
    def _checkpointed(self, x: torch.Tensor) -> torch.Tensor:
        return recomputed(self, self.compute, x)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the features."""
        raise NotImplementedError


def recomputed(module: nn.Module, compute: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Give ``compute(x)``, of which nothing but ``x`` is kept for the backward pass, which computes it again.

    Args:
        module: whose batch norms ``compute`` runs; the second run does not count the same batch in their statistics
            again.
        compute: the forward pass; what it draws (dropout) is drawn alike both times.
        x: its input.
    """
    frozen = partial(_frozen_statistics, module)
    result: torch.Tensor = checkpoint(compute, x, use_reentrant=False, context_fn=lambda: (nullcontext(), frozen()))
    return result


@contextmanager
def _frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Keep the second run from counting the same batch twice in the running statistics of batch norm: it gets copies of
    them, which are then dropped.
    """
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    buffers = [dict(norm.named_buffers()) for norm in norms]
    _replace_buffers(norms, [{name: buffer.clone() for name, buffer in kept.items()} for kept in buffers])
    try:
        yield
    finally:
        _replace_buffers(norms, buffers)


def _replace_buffers(modules: Sequence[nn.Module], buffers: Sequence[dict[str, torch.Tensor]]) -> None:
    for module, named in zip(modules, buffers, strict=True):
        for name, buffer in named.items():
            module.register_buffer(name, buffer)

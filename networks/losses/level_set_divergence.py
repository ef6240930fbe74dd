"""A supervised loss of a signed distance head that does not get stuck where the head's tanh saturates."""

from __future__ import annotations

import torch
from torch.nn.modules.loss import _Loss

SMALLEST = 1e-6  # of 1 - |z|: about what float32 still tells from zero


class LevelSetDivergenceLoss(_Loss):
    """Mean Kullback-Leibler divergence between a target in [-1, 1] and a predicted level set, both read as chances.

    A value ``s`` in [-1, 1] is taken for the chance ``(1 + s) / 2`` of lying outside; the loss is zero where the level
    set equals the target, and nowhere else, as the squared error is. Its gradient with regard to ``a`` in ``z =
    tanh(a)`` is ``z - s``. That of the squared error is ``2 (z - s) (1 - z^2)``: it vanishes where the head is sure of
    the wrong side, so that a head which calls everything background early on stays there for hundreds of iterations.
    """

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compare in float32.

        Args:
            input: level set (B, K, H, W[, D]) within [-1, 1], negative inside.
            target: normalised signed distance map of the same shape, within [-1, 1].

        Raises:
            ValueError: when the shapes differ.
        """
        if input.shape != target.shape:
            raise ValueError(
                f"Level set {tuple(input.shape)} and distance map {tuple(target.shape)} must have one shape."
            )
        z, s = input.float(), target.float().clamp(-1.0, 1.0)
        return (_relative_entropy(s, z) + _relative_entropy(-s, -z)).mean()


def _relative_entropy(target: torch.Tensor, prediction: torch.Tensor) -> torch.Tensor:
    """``t log(t / p)`` of the chances of one side, with 0 log 0 = 0."""
    t, p = 0.5 * (1.0 + target), 0.5 * (1.0 + prediction)
    return torch.xlogy(t, t) - t * torch.log(p.clamp_min(0.5 * SMALLEST))

"""Dice loss that grows without bound where a small structure is missed."""

from __future__ import annotations

import torch
from torch.nn.modules.loss import _Loss

from networks.losses.background_channel import IGNORE_INDEX, counted, without_background
from networks.losses.finite_power import finite_power
from networks.losses.foreground_dice import mean_of_present, pooled_dice
from networks.losses.mask_head import class_labels, class_logits


class ExponentialLogarithmicDiceLoss(_Loss):
    """``mean over classes of (-ln D)^gamma`` with ``D = (2 sum(p g) + e) / (sum(p) + sum(g) + e)`` over the batch.

    The logarithm makes a missed class count more than a linear Dice loss does, whatever its size. A ``gamma`` below
    one is steepest near a Dice of one too, and infinitely so at one itself: where ``-ln D`` is below e, the power is
    replaced by a parabola (see :func:`networks.losses.finite_power.finite_power`). Value and gradient are finite for
    every Dice from zero to one.

    Classes without a voxel in the batch are left out of the mean; without any class the loss is 0.

    Reference: Wong et al., *3D segmentation with exponential logarithmic loss for highly unbalanced object sizes*,
    MICCAI 2018. The retinal oedema system of the AI Challenger 2018 has gamma 0.5, and no e.

    Args:
        gamma: positive.
        epsilon: the e above; positive.
        ignore_index: a label that counts for nothing; None if there is none.
        include_background: count the background as a class.
        background_channel: the first channel of the logits is the background's; False where it is a zero that is left
            out, as for the other losses of this package.

    Raises:
        ValueError: when ``gamma`` or ``epsilon`` is not positive.
    """

    def __init__(
        self,
        gamma: float = 0.5,
        epsilon: float = 1e-5,
        ignore_index: int | None = IGNORE_INDEX,
        include_background: bool = False,
        background_channel: bool = True,
    ) -> None:
        super().__init__()
        if not 0 < gamma < float("inf"):
            raise ValueError(f"gamma must be positive, got {gamma}.")
        if not 0 < epsilon < float("inf"):
            raise ValueError(f"epsilon must be positive, got {epsilon}.")
        self.gamma = float(gamma)
        self.epsilon = float(epsilon)
        self.ignore_index = ignore_index
        self.include_background = include_background
        self.background_channel = background_channel

    def forward(self, input: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Compare logits with labels.

        Args:
            input: logits (B, K + 1, H, W[, D]), the background's first; (B, K, H, W[, D]) without a background channel.
            target: labels (B, 1, H, W[, D]), integers 0..K and ``ignore_index`` in any dtype.
            mask: field of view (B, 1, H, W[, D]); voxels where it is not positive do not count.

        Returns:
            A scalar, in float32; in float64 if the logits are.

        Raises:
            ValueError: when the shapes do not belong together, or a label that counts is none of the classes.
        """
        counting = counted(input, target, mask, self.ignore_index)
        logits = without_background(input) if self.background_channel else input
        return self.term(class_logits(logits), class_labels(logits, target, counting), counting)

    def term(self, logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Compute the loss of logits (B, K + 1, ...) and labels (B, ...) of 0 to K that have been looked through."""
        dice, present = pooled_dice(logits, labels, mask, self.epsilon, self.include_background)
        return mean_of_present(finite_power(-torch.log(dice), self.gamma, self.epsilon), present)

"""Dice and cross entropy of structures of very different sizes, both through a logarithm and a power."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F
from torch.nn.modules.loss import _Loss

from networks.losses.background_channel import IGNORE_INDEX, counted, without_background
from networks.losses.exponential_logarithmic_dice import ExponentialLogarithmicDiceLoss
from networks.losses.field_of_view import field_mean
from networks.losses.finite_power import finite_power
from networks.losses.mask_head import class_labels, class_logits
from networks.losses.pixel import of_each_class, require_weights


class ExponentialLogarithmicLoss(_Loss):
    """``w_d mean_i (-ln D_i)^gamma_d + w_c mean_x w_l (-ln p_l(x))^gamma_c``, l being the label of the voxel x.

    The first term is :class:`ExponentialLogarithmicDiceLoss`. In the second, voxels of a label count with
    ``w_l = (sum_k f_k / f_l)^0.5``, its frequency being f; the mean is over the voxels and is not divided by the
    weights. Powers below one are finite at zero as in the first term.

    Reference: Wong et al., *3D segmentation with exponential logarithmic loss for highly unbalanced object sizes*,
    MICCAI 2018, where 0.8, 0.2 and gamma 0.3 for both did best.

    Args:
        dice_weight: ``w_d``, not negative.
        cross_entropy_weight: ``w_c``, not negative.
        gamma: positive; of Dice, and of the cross entropy unless that has its own.
        cross_entropy_gamma: positive; None for ``gamma``.
        label_weights: ``w_l`` (K + 1,), the background's first, for instance those of all training labels
            (:func:`frequency_weights`); None takes them from the batch at hand.
        epsilon: of Dice and of both powers; positive.
        ignore_index: a label that counts for nothing; None if there is none.
        include_background: count the background as a class of the first term.
        background_channel: the first channel of the logits is the background's; False where it is a zero that is left
            out, as for the other losses of this package.

    Raises:
        ValueError: when a number is out of its range, or both weights are zero.
    """

    label_weights: torch.Tensor | None

    def __init__(
        self,
        dice_weight: float = 0.8,
        cross_entropy_weight: float = 0.2,
        gamma: float = 0.3,
        cross_entropy_gamma: float | None = None,
        label_weights: Sequence[float] | torch.Tensor | None = None,
        epsilon: float = 1e-5,
        ignore_index: int | None = IGNORE_INDEX,
        include_background: bool = False,
        background_channel: bool = True,
    ) -> None:
        super().__init__()
        if min(dice_weight, cross_entropy_weight) < 0 or dice_weight + cross_entropy_weight == 0:
            raise ValueError(f"Weights must not be negative, and not both zero: {dice_weight}, {cross_entropy_weight}.")
        self.dice = ExponentialLogarithmicDiceLoss(gamma, epsilon, ignore_index, include_background, background_channel)
        self.cross_entropy_gamma = float(gamma if cross_entropy_gamma is None else cross_entropy_gamma)
        if not 0 < self.cross_entropy_gamma < float("inf"):
            raise ValueError(f"cross_entropy_gamma must be positive, got {cross_entropy_gamma}.")
        self.dice_weight = float(dice_weight)
        self.cross_entropy_weight = float(cross_entropy_weight)
        numbers = None if label_weights is None else torch.as_tensor(label_weights, dtype=torch.float32)
        self.register_buffer("label_weights", numbers)
        require_weights("label_weights", self.label_weights)

    def forward(self, input: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Compare logits with labels.

        Args:
            input: logits (B, K + 1, H, W[, D]), the background's first; (B, K, H, W[, D]) without a background channel.
            target: labels (B, 1, H, W[, D]), integers 0..K and ``ignore_index`` in any dtype.
            mask: field of view (B, 1, H, W[, D]); voxels where it is not positive do not count.

        Returns:
            A scalar, in float32; in float64 if the logits are. It is 0 where no voxel counts.

        Raises:
            ValueError: when the shapes do not belong together, a label that counts is none of the classes, or there
                are not as many label weights as classes.
        """
        counting = counted(input, target, mask, self.dice.ignore_index)
        foreground = without_background(input) if self.dice.background_channel else input
        logits, labels = class_logits(foreground), class_labels(foreground, target, counting)
        loss = self.dice_weight * self.dice.term(logits, labels, counting)
        return loss + self.cross_entropy_weight * self._cross_entropy(logits, labels, counting)

    def _cross_entropy(self, logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        classes = logits.shape[1]
        if self.label_weights is None:
            seen = labels if mask is None else labels[mask[:, 0] > 0]
            weights = frequency_weights(torch.bincount(seen.flatten(), minlength=classes))
        else:
            weights = of_each_class("label_weights", self.label_weights, classes)
        losses = F.cross_entropy(logits, labels, reduction="none")
        powers = finite_power(losses, self.cross_entropy_gamma, self.dice.epsilon)
        return field_mean((weights.to(losses.dtype)[labels] * powers)[:, None], mask)


def frequency_weights(counts: Sequence[int] | torch.Tensor, exponent: float = 0.5) -> torch.Tensor:
    """Give ``w_l = (sum_k f_k / f_l)^exponent`` (K,) in float32.

    Args:
        counts: voxels (K,) of each label. A label without any gets the weight 0, and so do all if there is no voxel.
        exponent: the published 0.5.
    """
    numbers = torch.as_tensor(counts).double()
    return torch.where(numbers > 0, (numbers.sum() / numbers.clamp(min=1.0)) ** exponent, 0.0).float()

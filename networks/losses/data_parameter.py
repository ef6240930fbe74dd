"""Cross entropy of noisy labels whose data parameters say how far each is to be trusted."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F
from torch.nn.modules.loss import _Loss


class DataParameterLoss(_Loss):
    """Weigh the cross entropy of each sample by its data parameter, relative to the others in the batch.

    With sample b's parameter ``s_b``, its mean cross entropy ``CE_b`` (all classes alike) and its ``n_b`` foreground
    voxels::

        w_b = sigmoid(s_b) / mean over the batch of sigmoid(s)
        w_b <- w_b / (ln(n_b + e) + e)                                          fixed weighting
        loss = sum_b w_b CE_b - sum_b w_b (voxels called foreground in b) / N   risk regularisation

    ``N`` is the number of voxels of a sample. Fixed weighting makes up for large structures having larger losses. Risk
    regularisation, whose count has no gradient, keeps the parameters of empty and easy labels from winning. A label
    without foreground has ``n_b = 0`` and the weight ``1 / (1 + e)`` of the fixed weighting. In a batch of one sample
    ``w_b`` is constant and its parameter does not move.

    Reference: Weihsbach et al., *DeepSTAPLE: learning to predict multimodal registration quality for unsupervised
    domain adaptation*, WBIR 2022.

    Args:
        fixed_weighting: as above.
        risk_regularization: as above.
    """

    def __init__(self, fixed_weighting: bool = True, risk_regularization: bool = True) -> None:
        super().__init__()
        self.fixed_weighting = fixed_weighting
        self.risk_regularization = risk_regularization

    def forward(self, input: torch.Tensor, target: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
        """Compute the loss.

        Args:
            input: logits (B, K, H, W[, D]), the background's first.
            target: labels (B, 1, H, W[, D]) of 0 to K - 1.
            parameters: (B,).

        Returns:
            A scalar, in float32 whatever the precision of ``input``.

        Raises:
            ValueError: when the shapes do not belong together.
        """
        require_one_label(input, target)
        if parameters.shape != input.shape[:1]:
            raise ValueError(f"parameters must have shape {tuple(input.shape[:1])}, got {tuple(parameters.shape)}.")
        weights = torch.sigmoid(parameters.float())
        weights = weights / weights.mean()
        if self.fixed_weighting:
            foreground = (target > 0).flatten(1).sum(1)
            weights = weights / (torch.log(foreground + math.e) + math.e)
        loss = (weights * sample_cross_entropy(input, target)).sum()
        if self.risk_regularization:
            called = (input.detach().argmax(1) > 0).flatten(1).float().mean(1)
            loss = loss - (weights * called).sum()
        return loss


def sample_cross_entropy(input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Give each sample's mean cross entropy (B,) of logits (B, K, H, W[, D]) and labels (B, 1, H, W[, D])."""
    voxels = F.cross_entropy(input.float(), target[:, 0].long(), reduction="none")
    return voxels.flatten(1).mean(1)


def require_one_label(input: torch.Tensor, target: torch.Tensor) -> None:
    """Refuse labels that are not one per voxel of the logits.

    Raises:
        ValueError: telling both shapes.
    """
    if target.shape != (input.shape[0], 1, *input.shape[2:]):
        raise ValueError(f"target must have shape {(input.shape[0], 1, *input.shape[2:])}, got {tuple(target.shape)}.")

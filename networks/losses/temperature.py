"""Cross entropy whose temperature is learnt, per sample and per class."""

from __future__ import annotations

import torch
from torch.nn import functional as F
from torch.nn.modules.loss import _Loss

from networks.losses.data_parameter import require_one_label


class TemperatureLoss(_Loss):
    """Cross entropy of logits that are divided by the temperature of their sample, their class, or the sum of both.

    With the parameters ``s`` in the log domain: ``CE(logits / T, target)`` where ``T = exp(s_b)`` of the sample,
    ``T = exp(c_y)`` of the voxel's class in the label, or ``T = exp(s_b) + exp(c_y)``. A label that the network cannot
    fit gets a high temperature, and by it a smaller gradient: unlike :class:`DataParameterLoss`'s, *high* parameters
    mean little trust. An L2 penalty ``weight_decay / 2 * mean s^2`` in the log domain pulls T back to one.

    Reference: Saxena, Tuzel and DeCoste, *Data parameters*, NeurIPS 2019.

    Args:
        weight_decay: of the parameters of the samples, and of the classes, in the batch.
    """

    def __init__(self, weight_decay: float = 0.0) -> None:
        super().__init__()
        self.weight_decay = weight_decay

    def forward(
        self,
        input: torch.Tensor,
        target: torch.Tensor,
        parameters: torch.Tensor | None = None,
        class_parameters: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Compute the loss.

        Args:
            input: logits (B, K, H, W[, D]).
            target: labels (B, 1, H, W[, D]) of 0 to K - 1.
            parameters: (B,), one per sample; None for none.
            class_parameters: (K,), one per class; None for none.

        Returns:
            A scalar: the mean over all voxels, in float32.

        Raises:
            ValueError: when the shapes do not belong together, or there are no parameters at all.
        """
        require_one_label(input, target)
        temperature, penalty = torch.zeros((), device=input.device), torch.zeros((), device=input.device)
        if parameters is None and class_parameters is None:
            raise ValueError("either parameters or class_parameters must be given.")
        for values, kind in ((parameters, 0), (class_parameters, 1)):
            if values is None:
                continue
            if values.shape != (input.shape[kind],):
                raise ValueError(f"{('parameters', 'class_parameters')[kind]} must have length {input.shape[kind]}.")
            exponent = values.float()
            each = (
                torch.exp(exponent)[target.long()] if kind else torch.exp(exponent).view(-1, *[1] * (input.dim() - 1))
            )
            temperature = temperature + each
            penalty = penalty + exponent.square().mean()
        loss = F.cross_entropy(input.float() / temperature, target[:, 0].long())
        return loss + 0.5 * self.weight_decay * penalty

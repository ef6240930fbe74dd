"""Errors of a regression head, within the field of view."""

from __future__ import annotations

import torch
from torch.nn.modules.loss import _Loss

from networks.losses.field_of_view import field_mean, field_size, within_field
from networks.losses.mask_head import in_full_precision


class MeanSquaredErrorLoss(_Loss):
    """Mean squared error over all channels and voxels of the field of view, in float32."""

    def forward(self, input: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Compare (B, C, H, W[, D]) with the same shape, in one unit, where the mask (B, 1, ...) is positive.

        Raises:
            ValueError: when the shapes differ.
        """
        return field_mean(_difference(input, target).square(), mask)


class MeanAbsoluteErrorLoss(_Loss):
    """Mean absolute error (L1) over all channels and voxels of the field of view, in float32."""

    def forward(self, input: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Compare (B, C, H, W[, D]) with the same shape, in one unit, where the mask (B, 1, ...) is positive.

        Raises:
            ValueError: when the shapes differ.
        """
        return field_mean(_difference(input, target).abs(), mask)


class RootMeanSquaredErrorLoss(_Loss):
    """Root of the mean squared error over all channels and voxels of the field of view, in float32.

    Its gradient is ``d / (n RMSE)``: never longer than ``1 / sqrt(n)``, and zero where there is no difference at all.
    """

    def forward(self, input: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Compare (B, C, H, W[, D]) with the same shape, in one unit, where the mask (B, 1, ...) is positive.

        Raises:
            ValueError: when the shapes differ.
        """
        difference = _difference(input, target)
        # The gradient of a norm is a vector of length one; that of the square root at zero would be NaN.
        length = torch.linalg.vector_norm(within_field(difference, mask))
        return length / field_size(difference, mask).clamp(min=1).sqrt()


def _difference(input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    if input.shape != target.shape:
        raise ValueError(f"Prediction {tuple(input.shape)} and target {tuple(target.shape)} must have one shape.")
    prediction = in_full_precision(input)
    return prediction - target.to(prediction.dtype)

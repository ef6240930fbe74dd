"""What the losses of a mask head share: logits with the implicit background, labels, sums per class."""

from __future__ import annotations

import torch


def class_logits(input: torch.Tensor) -> torch.Tensor:
    """Put the background's logit, a zero, before the K others.

    Args:
        input: logits (B, K, H, W[, D]).

    Returns:
        (B, K + 1, H, W[, D]) in float32, which sums over millions of voxels need; float64 stays what it is.
    """
    logits = in_full_precision(input)
    return torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1)


def in_full_precision(x: torch.Tensor) -> torch.Tensor:
    """Give ``x`` in float32, or as it is when it is in float64."""
    return x if x.dtype == torch.float64 else x.float()


def class_labels(input: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Give the labels as whole numbers (B, H, W[, D]), after making sure that they belong to the logits.

    Args:
        input: logits (B, K, H, W[, D]).
        target: labels (B, 1, H, W[, D]), integers 0..K in any dtype.
        mask: (B, 1, H, W[, D]) or None; labels where it is not positive count for nothing, and become 0.

    Raises:
        ValueError: when the shapes do not belong together, or a label that counts is none of the classes.
    """
    require_one_label(input, target, mask)
    labels = target[:, 0].long()
    if mask is not None:
        labels = torch.where(mask[:, 0] > 0, labels, 0)
    if labels.numel():
        low, high = (int(end) for end in torch.aminmax(labels))
        if low < 0 or high > input.shape[1]:
            raise ValueError(f"labels must be 0 to {input.shape[1]}, as there are so many logits; got {low} to {high}.")
    return labels


def require_one_label(input: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> None:
    """Refuse labels (B, 1, ...), and a field of view, that are not one per voxel of the logits (B, K, ...).

    Raises:
        ValueError: telling both shapes.
    """
    if input.dim() < 3 or target.shape != (input.shape[0], 1, *input.shape[2:]):
        raise ValueError(
            f"Logits {tuple(input.shape)} want labels (B, 1, ...) of the same size, got {tuple(target.shape)}."
        )
    if mask is not None and mask.shape != target.shape:
        raise ValueError(f"Labels {tuple(target.shape)} want a mask of the same shape, got {tuple(mask.shape)}.")


def one_hot_foreground(labels: torch.Tensor, classes: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Give (B, K, H, W[, D]) that is one where the label (B, H, W[, D]) is the class, for the K classes from 1."""
    return torch.stack([(labels == index).to(dtype) for index in range(1, classes + 1)], dim=1)


def sum_per_class(x: torch.Tensor) -> torch.Tensor:
    """(B, K, ...) to (K,). Each sample's sum runs along contiguous memory, which PyTorch adds up in pairs: precise."""
    return x.flatten(2).sum(dim=2).sum(dim=0)

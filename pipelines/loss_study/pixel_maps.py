"""What a loss sees in each pixel: its value, the confidence, and where it pushes."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from networks.losses.catalogue import NamedLoss
from networks.losses.pixel import PixelLoss
from pipelines.loss_study.scoring import class_probabilities

# Codes of a difference map.
AGREE_BACKGROUND, TRUE_POSITIVE, FALSE_NEGATIVE, FALSE_POSITIVE, OTHER_CLASS = range(5)


@dataclass(frozen=True)
class PixelMaps:
    """Maps of one case, each (H, W[, D]).

    Attributes:
        confidence: the probability of the true class.
        gradient: the length of the loss's gradient with respect to a pixel's logits, times the number of pixels: what
            the mean over pixels is in the gradient of each pixel's own loss, and comparable for losses that are no such
            mean, as Dice.
        prediction: the label map.
        loss: the loss of each pixel by itself; None where the loss is not made of such (Dice and its like).
    """

    confidence: np.ndarray
    gradient: np.ndarray
    prediction: np.ndarray
    loss: np.ndarray | None


def pixel_maps(logits: torch.Tensor, label: torch.Tensor, loss: nn.Module) -> PixelMaps:
    """Compute the maps of one case.

    Args:
        logits: (1, K, ...).
        label: (1, 1, ...), integers 0..K.
        loss: takes both and gives a number.
    """
    leaf = logits.detach().float().requires_grad_(True)
    with torch.enable_grad():
        value = loss(leaf, label)
        (gradient,) = torch.autograd.grad(value, leaf)
    probabilities = class_probabilities(leaf.detach())
    per_pixel = pixel_loss(loss, leaf.detach(), label)
    pixels = leaf[0, 0].numel()
    return PixelMaps(
        confidence=probabilities.gather(1, label.long())[0, 0].cpu().numpy(),
        gradient=(gradient.norm(dim=1)[0] * pixels).cpu().numpy(),
        prediction=probabilities.argmax(dim=1)[0].to(torch.uint8).cpu().numpy(),
        loss=None if per_pixel is None else per_pixel[0, 0].cpu().numpy(),
    )


def pixel_loss(loss: nn.Module, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor | None:
    """Give the loss of each pixel by itself, (B, 1, ...).

    Args:
        loss: a mean over pixels, or another.
        logits: (B, K, ...).
        label: (B, 1, ...).

    Returns:
        None when the loss is not made of the pixels' own.
    """
    inner = loss.loss if isinstance(loss, NamedLoss) else loss
    if not isinstance(inner, PixelLoss):
        return None
    apart = copy.copy(inner)
    apart.reduction = "none"
    with torch.no_grad():
        values: torch.Tensor = apart(logits, label)
    return values


def difference_map(prediction: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Tell right from wrong in each pixel, as codes of this module: uint8, of the shape of both.

    ``OTHER_CLASS`` is foreground that was given another class than its own.
    """
    found, wanted = prediction > 0, label > 0
    codes = np.full(label.shape, AGREE_BACKGROUND, np.uint8)
    codes[found & wanted] = TRUE_POSITIVE
    codes[~found & wanted] = FALSE_NEGATIVE
    codes[found & ~wanted] = FALSE_POSITIVE
    codes[found & wanted & (prediction != label)] = OTHER_CLASS
    return codes

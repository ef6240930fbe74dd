"""From K foreground channels to probabilities over K classes and the background."""

from __future__ import annotations

import torch


def foreground_probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Softmax over K classes and a background whose logit is fixed at zero; the background is left out again.

    With one class this is exactly the sigmoid, so the binary networks of the literature and those of any number of
    classes are one formula.

    Args:
        logits: (B, K, H, W[, D]).

    Returns:
        Probabilities of the K classes, same shape; their sum over K is below one.
    """
    if logits.shape[1] == 1:
        return torch.sigmoid(logits)
    background = torch.zeros_like(logits[:, :1])
    return torch.softmax(torch.cat([background, logits], dim=1), dim=1)[:, 1:]


def with_background(foreground: torch.Tensor) -> torch.Tensor:
    """Put the background before K class probabilities, as what they leave of one.

    The level sets of several classes may overlap, and their sum then exceeds one; the background is zero there.

    Args:
        foreground: (B, K, H, W[, D]), each in [0, 1].

    Returns:
        (B, K + 1, H, W[, D]); ``argmax`` over the channels is the label map. With K = 1 that is ``foreground > 0.5``.
    """
    background = (1.0 - foreground.sum(dim=1, keepdim=True)).clamp(min=0.0)
    return torch.cat([background, foreground], dim=1)

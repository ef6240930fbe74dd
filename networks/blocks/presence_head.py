"""What an image holds, told from the deepest features of a network that segments it."""

from __future__ import annotations

import torch
from monai.networks.layers.factories import Conv
from torch import nn

from networks.blocks.task_heads import CLASSIFICATION, HeadSpec, begin_undecided

MAXIMUM, AVERAGE, ATTENTION = POOLINGS = ("max", "average", "attention")
PUBLISHED_DROPOUT = 0.5


class PresenceHead(nn.Module):
    """Logits of what an image holds: dropout, a 1x1 convolution to a map for each kind, and that map pooled.

    A lesion is present when it is somewhere: the published pooling is the maximum. The mean asks how much of the image
    it takes; attention learns where to look: the mean of the map weighted by the softmax over all places of a second
    1x1 convolution, for each kind its own.

    Reference: Oquab et al., *Is object localization for free?*, CVPR 2015 (maximum); Ilse et al., *Attention-based deep
    multiple instance learning*, ICML 2018.

    Args:
        spatial_dims: 2 or 3.
        in_channels: of the features.
        out_channels: kinds to be found.
        pooling: ``max``, ``average`` or ``attention``.
        dropout: probability of dropping a feature's value in training.

    Raises:
        ValueError: for another pooling.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        pooling: str = MAXIMUM,
        dropout: float = PUBLISHED_DROPOUT,
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be {MAXIMUM}, {AVERAGE} or {ATTENTION}, got {pooling}.")
        convolution = Conv[Conv.CONV, spatial_dims]
        self.out_channels = out_channels
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.logits = nn.Sequential(convolution(in_channels, out_channels, 1))
        self.attention: nn.Module = convolution(in_channels, out_channels, 1) if pooling == ATTENTION else nn.Identity()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Give logits (B, out_channels) for features (B, in_channels, H, W[, D])."""
        features = self.dropout(features)
        maps = self.logits(features).flatten(2)
        if self.pooling == "max":
            return maps.amax(dim=2)
        if self.pooling == "average":
            return maps.mean(dim=2)
        weights = torch.softmax(self.attention(features).flatten(2), dim=2)
        return (weights * maps).sum(dim=2)

    def begin_undecided(self) -> None:
        """Let logits begin near zero and attention even, whatever weights were drawn."""
        begin_undecided(self.logits, HeadSpec(CLASSIFICATION, self.out_channels))
        if self.pooling == ATTENTION:
            nn.init.zeros_(self.attention.weight)  # type: ignore[arg-type]

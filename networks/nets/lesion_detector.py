"""The network that tells which lesions an image holds, and no more."""

from __future__ import annotations

import torch
from monai.networks.nets.resnet import resnet18
from torch import nn
from torch.nn import functional as F

from networks.blocks.task_heads import CLASSIFICATION

PRESENCE = "presence"
SIDE = 224


class LesionDetector(nn.Module):
    """ResNet-18 on images brought to 224 x 224, whatever their size: the baseline that detects without segmenting.

    The images are resized with a low-pass filter, so that thin structures do not fall between the pixels.

    Reference: He et al., *Deep residual learning for image recognition*, CVPR 2016.

    Args:
        in_channels: image channels.
        presence_channels: kinds of lesions.
        side: of the resized images, pixels.

    Attributes:
        names: the one head, ``presence``.
        kinds: its kind, ``classification``, by name.
        out_channels: its channels, by name.
        size_divisor: 1; any size will do.

    Raises:
        ValueError: for a number below one, or a ``side`` below 32, of which ResNet-18 leaves nothing.
    """

    def __init__(self, in_channels: int, presence_channels: int, side: int = SIDE) -> None:
        super().__init__()
        if min(in_channels, presence_channels) < 1:
            numbers = (in_channels, presence_channels)
            raise ValueError(f"in_channels and presence_channels must be at least 1, got {numbers}.")
        if side < 32:
            raise ValueError(f"side must be at least 32, got {side}.")
        self.spatial_dims, self.in_channels = 2, in_channels
        self.size_divisor = 1
        self.side = side
        self.names = [PRESENCE]
        self.kinds = {PRESENCE: CLASSIFICATION}
        self.out_channels = {PRESENCE: presence_channels}
        # Shortcuts without a bias, as He et al. have them; batch norm would take it out again.
        self.network = resnet18(
            spatial_dims=2, n_input_channels=in_channels, num_classes=presence_channels, bias_downsample=False
        )

    def forward(self, x: torch.Tensor, heads: list[str] | None = None) -> dict[str, torch.Tensor]:
        """Give the logits of the presence (B, presence_channels) for images (B, in_channels, H, W).

        Args:
            x: the images.
            heads: the names of those that are wanted, all if None.

        Raises:
            ValueError: when another head is wanted.
        """
        outputs: dict[str, torch.Tensor] = {}
        for name in self.names if heads is None else heads:
            if name != "presence":
                raise ValueError(f"The network tells the presence of lesions and has no head {name}.")
            size = [self.side, self.side]
            resized = F.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=True)
            outputs[name] = self.network(resized)
        return outputs

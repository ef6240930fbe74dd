"""A light encoder with the Lite R-ASPP head, in 2D and 3D."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from networks.blocks.atrous_pyramid import AtrousPyramid
from networks.blocks.inverted_residual import Norm
from networks.blocks.lite_pyramid_head import LitePyramidHead
from networks.blocks.mobile_backbone import MobileBackbone

PYRAMID_CHANNELS = 128
PYRAMID_RATES = (2, 4, 8, 16)


class LRASPPMobileNet(nn.Module):
    """MobileNetV3-Large with the Lite R-ASPP head, or DeepSTAPLE's light 3D network; either in 2D and 3D.

    ``mobilenet_v3_large`` has its shallow feature map (40 channels) at stride 8 and its deep one (960) at stride 16.
    ``published_3d`` is a MobileNetV2-like encoder with ReLU6 and atrous spatial pyramid pooling; its maps (16 and 128
    channels) have strides 2 and 4. Images may have any size; a mean over the image takes part in every logit.

    Reference: Howard et al., *Searching for MobileNetV3*, ICCV 2019; Weihsbach et al., *DeepSTAPLE: learning to predict
    multimodal registration quality for unsupervised domain adaptation*, WBIR 2022.

    Args:
        spatial_dims: 2 or 3.
        in_channels: image channels.
        out_channels: classes, the background among them.
        variant: ``"mobilenet_v3_large"`` or ``"published_3d"``.
        head: ``"standard"`` gates the deep feature map; ``"inverted"`` the shallow one, as DeepSTAPLE's 3D code does.
        norm: MONAI norm specification; None for the published batch norm. MobileNetV3's has a momentum of 0.01: in
            trainings of some hundred iterations take ``"batch"``, or its running statistics lag behind.
        dropout: probability of dropping a value after the pyramid of ``published_3d``, in training.
        checkpointing: compute activations again in the backward pass instead of keeping them: less memory, more time,
            the same gradients and running statistics.

    Raises:
        ValueError: for ``spatial_dims`` other than 2 and 3, another ``variant`` or ``head``, or numbers below one.
    """

    PUBLISHED = ("3d", "3d_mind", "2d")

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        variant: str = "mobilenet_v3_large",
        head: str = "standard",
        norm: Norm | None = None,
        dropout: float = 0.5,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims}.")
        if min(in_channels, out_channels) < 1:
            raise ValueError(f"in_channels and out_channels must be at least 1, got {(in_channels, out_channels)}.")
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.size_divisor = 1
        self.backbone = MobileBackbone(spatial_dims, in_channels, variant, norm, checkpointing)
        others: Norm = "batch" if norm is None else norm
        self.pyramid: nn.Module = nn.Identity()
        deep = self.backbone.deep_channels
        if variant == "published_3d":
            self.pyramid = AtrousPyramid(
                spatial_dims, deep, PYRAMID_CHANNELS, PYRAMID_RATES, others, dropout, checkpointing
            )
            deep = PYRAMID_CHANNELS
        self.head = LitePyramidHead(spatial_dims, self.backbone.shallow_channels, deep, out_channels, others, head)
        self.interpolation = "bilinear" if spatial_dims == 2 else "trilinear"

    @classmethod
    def published(cls, variant: str = "3d") -> LRASPPMobileNet:
        """Give a network of DeepSTAPLE's experiments, for one foreground class.

        ``3d`` has 1,228,932 parameters; ``3d_mind``, which takes the 12 channels of MIND-SSC features, 1,238,436;
        ``2d``, MobileNetV3-Large, 3,218,020.

        Raises:
            ValueError: for another variant.
        """
        if variant not in cls.PUBLISHED:
            raise ValueError(f"variant must be {', '.join(cls.PUBLISHED[:-1])} or {cls.PUBLISHED[-1]}, got {variant}.")
        if variant == "2d":
            return cls(spatial_dims=2, in_channels=1, out_channels=2)
        channels = 12 if variant == "3d_mind" else 1
        return cls(spatial_dims=3, in_channels=channels, out_channels=2, variant="published_3d", head="inverted")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Give logits (B, out_channels, H, W[, D]) for images (B, in_channels, H, W[, D]) of any size."""
        shallow, deep = self.backbone(x)
        logits = self.head(shallow, self.pyramid(deep))
        return F.interpolate(logits, size=x.shape[2:], mode=self.interpolation, align_corners=False)

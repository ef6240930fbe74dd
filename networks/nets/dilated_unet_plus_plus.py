"""The nested U-Net that segments lesions and tells which there are; dilated at its deepest level where wanted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers.factories import Conv, Pool
from torch import nn

from networks.blocks.attention_gate import Norm
from networks.blocks.dilated_cascade import DilatedCascade
from networks.blocks.presence_head import MAXIMUM, PUBLISHED_DROPOUT, PresenceHead
from networks.blocks.task_heads import CLASSIFICATION, MASK, HeadSpec, begin_undecided, dense_head
from networks.layers.padding import crop_back, pad_to_divisor
from networks.nets.dual_task_vnet import ConvStage

PRESENCE = "presence"
# All classes have logits, the background too: not the heads of kind "mask", whose background has an implicit one.
SOFTMAX = "softmax"
MEAN, LAST = MASK_FORMS = ("mean", "last")
TRANSPOSED, LINEAR = UPSAMPLINGS = ("transposed", "linear")
NORM_SPREAD = 0.02


class NestedNode(nn.Module):
    """Double the sides of the features from below, join those of the level before, and run a double convolution.

    Reference: Zhou et al., *UNet++: redesigning skip connections to exploit multiscale features in image segmentation*,
    IEEE Transactions on Medical Imaging 2020. A plain U-Net's decoder is made of nodes that join one.

    Args:
        spatial_dims: 2 or 3.
        below: channels of the features from below.
        width: channels of the level.
        joined: how many features of the level are joined.
        upsampling: ``transposed`` for a transposed convolution of 4 voxels, as published; ``linear`` for a 1x1
            convolution and linear interpolation.
        norm: MONAI norm specification of the double convolution, None for none.
        checkpointing: keep only the input of the double convolution for the backward pass.
    """

    def __init__(
        self,
        spatial_dims: int,
        below: int,
        width: int,
        joined: int,
        upsampling: str,
        norm: Norm,
        checkpointing: bool,
    ) -> None:
        super().__init__()
        self.up: nn.Module
        if upsampling == TRANSPOSED:
            self.up = Conv[Conv.CONVTRANS, spatial_dims](below, width, 4, stride=2, padding=1)
        else:
            # The two commute, and the convolution is cheaper before the sides are doubled.
            mode = "bilinear" if spatial_dims == 2 else "trilinear"
            self.up = nn.Sequential(
                Conv[Conv.CONV, spatial_dims](below, width, 1),
                nn.Upsample(scale_factor=2.0, mode=mode, align_corners=False),
            )
        self.stage = ConvStage(spatial_dims, 2, (joined + 1) * width, width, norm, checkpointing=checkpointing)

    def forward(self, below: torch.Tensor, level: list[torch.Tensor]) -> torch.Tensor:
        """Give (B, width, 2h, 2w[, 2d]) for (B, below, h, w[, d]) and ``joined`` features (B, width, 2h, 2w[, 2d])."""
        # A list added to a list: TorchScript cannot unpack one into another.
        return self.stage(torch.cat([self.up(below)] + level, dim=1))


class DilatedUNetPlusPlus(nn.Module):
    """U-Net++ or, with ``nested`` off, U-Net, with masks of all classes and the presence of lesions in the image.

    Double convolutions of 3 voxels with norm and ReLU between maximum poolings on the way down; on the way up, nodes
    X(i, j) of level i that join ``up(X(i + 1, j - 1))`` with X(i, 0) ... X(i, j - 1), in double convolutions without
    norm. With ``nested``, each X(0, j) is an exit with logits of its own; the plain form has the last one alone. At the
    deepest level a cascade of dilated convolutions may widen the view, and the presence of each lesion is told from
    there. Images of any size: sides that are no multiple of ``2 ** depth`` are padded with zeros, and the masks cropped
    back.

    The heads, by name: ``mask`` (B, out_channels, H, W[, D]), the mean of the exits' logits or the last exit's;
    ``mask_1`` ... ``mask_L`` the same of each exit, L being the depth and one in the plain form; ``presence`` (B,
    presence_channels). What no wanted head reads is not computed: in the nested form, the exit n needs neither the
    nodes of later exits nor levels deeper than n. ``exits_used`` takes this to the mask: in evaluation it is made of
    the first exits alone. It is an ordinary attribute, in TorchScript too.

    Weights begin as He et al. have it (normal, fan-in), biases at zero, the norms' weights near 1 (normal, with a
    standard deviation of 0.02); heads begin undecided (:func:`networks.blocks.task_heads.begin_undecided`).

    Reference: Zhou et al., *UNet++*, IEEE Transactions on Medical Imaging 2020; Ronneberger et al., MICCAI 2015; Zhou
    et al., *D-LinkNet*, CVPR workshops 2018. The form and its numbers are those of ShawnBIT/AI-Challenger-Retinal-
    Edema-Segmentation, which takes the mean of the logits for deep supervision; UNet++ has a loss for each exit.

    Args:
        spatial_dims: 2 or 3.
        in_channels: image channels.
        out_channels: classes, the background included.
        filters: channels of the first level; they double at every level.
        depth: how many times the sides are halved.
        nested: U-Net++; otherwise U-Net.
        dilations: of the cascade at the deepest level; empty for none.
        presence_channels: kinds of lesions whose presence is told; 0 for no such head.
        pooling: of the presence, ``max``, ``average`` or ``attention``.
        dropout: of the presence head, in training.
        norm: MONAI norm specification of encoder and cascade, None for none.
        decoder_norm: that of the decoder; published none.
        upsampling: ``transposed`` for a transposed convolution of 4 voxels, as published; ``linear`` for a 1x1
            convolution and linear interpolation.
        mask: ``mean`` of the exits' logits, as published, or ``last``.
        exits_used: how many exits the mask is made of in evaluation; None for all.
        checkpointing: compute activations again in the backward pass instead of keeping them: less memory, more time,
            the same gradients and running statistics.

    Attributes:
        names: the heads.
        kinds: the kind of each head, by name: ``softmax`` or ``classification``.
        out_channels: channels of each head, by name.
        size_divisor: what sides are padded to multiples of.

    Raises:
        ValueError: for ``spatial_dims`` other than 2 and 3, numbers out of their range and unknown words.
    """

    PUBLISHED = ("dilated_unet_plus_plus", "unet_plus_plus", "unet")

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        filters: int = 16,
        depth: int = 4,
        nested: bool = True,
        dilations: Sequence[int] = (1, 2, 4, 8),
        presence_channels: int = 0,
        pooling: str = MAXIMUM,
        dropout: float = PUBLISHED_DROPOUT,
        norm: Norm = "batch",
        decoder_norm: Norm = None,
        upsampling: str = TRANSPOSED,
        mask: str = MEAN,
        exits_used: int | None = None,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        _check(spatial_dims, (in_channels, filters, depth), out_channels, presence_channels, dropout, upsampling, mask)
        self.spatial_dims, self.in_channels, self.depth = spatial_dims, in_channels, depth
        self.size_divisor = 2**depth
        self.nested, self.last = nested, mask == LAST
        self.exits_used = self.exit_count = depth if nested else 1
        self.exit_of = {f"mask_{index}": index for index in range(1, self.exit_count + 1)}
        if exits_used is not None:
            if not 1 <= exits_used <= self.exit_count:
                raise ValueError(f"exits_used must be from 1 to {self.exit_count}, got {exits_used}.")
            self.exits_used = exits_used
        self.names = [MASK, *self.exit_of, *([PRESENCE] if presence_channels else [])]
        self.kinds = {name: CLASSIFICATION if name == PRESENCE else SOFTMAX for name in self.names}
        self.out_channels = {name: presence_channels if name == PRESENCE else out_channels for name in self.names}

        widths = [filters * 2**level for level in range(depth + 1)]
        self.pool = Pool[Pool.MAX, spatial_dims](2)
        self.stages = nn.ModuleList(
            ConvStage(spatial_dims, 2, entering, width, norm, checkpointing=checkpointing)
            for entering, width in zip([in_channels, *widths], widths, strict=False)
        )
        self.cascade: nn.Module = nn.Identity()
        if dilations:
            self.cascade = DilatedCascade(spatial_dims, widths[-1], dilations, norm, checkpointing)
        # By level and by place on it: a node comes after those that it reads.
        self.places = [
            (level, place)
            for place in range(1, depth + 1)
            for level in range(depth + 1 - place)
            if nested or level + place == depth
        ]
        self.nodes = nn.ModuleList(
            NestedNode(
                *(spatial_dims, widths[level + 1], widths[level], place if nested else 1),
                *(upsampling, decoder_norm, checkpointing),
            )
            for level, place in self.places
        )
        spec = HeadSpec(MASK, out_channels)
        self.exits = nn.ModuleList(dense_head(spatial_dims, filters, spec) for _ in range(self.exit_count))
        self.presence = nn.ModuleList()
        if presence_channels:
            self.presence.append(PresenceHead(spatial_dims, widths[-1], presence_channels, pooling, dropout))
        self.apply(_initialise)
        for head in self.exits:
            begin_undecided(head, spec)
        for head in self.presence:
            head.begin_undecided()  # type: ignore[operator]

    @classmethod
    def published(cls, variant: str = "dilated_unet_plus_plus") -> DilatedUNetPlusPlus:
        """Give a network of the retinal oedema experiments: three slices in, four classes, three kinds of lesions.

        ``unet`` has 2,466,151 parameters, ``unet_plus_plus`` 2,953,027 and ``dilated_unet_plus_plus`` 5,315,395.

        Raises:
            ValueError: for another variant.
        """
        if variant not in cls.PUBLISHED:
            raise ValueError(f"variant must be {', '.join(cls.PUBLISHED[:-1])} or {cls.PUBLISHED[-1]}, got {variant}.")
        dilations = (1, 2, 4, 8) if variant.startswith("dilated") else ()
        return cls(2, 3, 4, nested=variant != "unet", dilations=dilations, presence_channels=3)

    def forward(self, x: torch.Tensor, heads: list[str] | None = None) -> dict[str, torch.Tensor]:
        """Give what the heads say of images (B, in_channels, H, W[, D]) of any size.

        Args:
            x: the images.
            heads: the names of those that are wanted, all if None.

        Returns:
            By the head's name logits (B, out_channels, H, W[, D]), of the presence (B, presence_channels).
        """
        wanted = self.names if heads is None else heads
        read = self._exits_read(wanted)
        deepest = max(read)
        if deepest > 0 and not self.nested:
            deepest = self.depth
        padded, before = pad_to_divisor(x, self.size_divisor)
        rows = self._encode(padded, self.depth if "presence" in wanted else deepest)
        masks = self._decode(rows, read, deepest)
        outputs: dict[str, torch.Tensor] = {}
        for name in wanted:
            if name == "mask":
                mean = torch.stack([masks[index] for index in self._exits_of_mask()]).mean(dim=0)
                outputs[name] = crop_back(mean, x, before)
            elif name != "presence":
                outputs[name] = crop_back(masks[self.exit_of[name]], x, before)
        for head in self.presence:
            if "presence" in wanted:
                outputs["presence"] = head(rows[-1][0])
        return {name: outputs[name] for name in wanted}

    @torch.jit.unused
    def encoder_stages(self) -> list[nn.Module]:
        """Give the levels of the encoder, each but the first with the pooling before it, and the cascade as the last
        where there is one: what :func:`networks.receptive_field.stage_fields` reads.
        """
        below = [nn.Sequential(self.pool, stage) for stage in list(self.stages)[1:]]
        return [self.stages[0], *below, *([] if isinstance(self.cascade, nn.Identity) else [self.cascade])]

    def _exits_read(self, wanted: list[str]) -> list[int]:
        read = [0]
        for name in wanted:
            if name == "mask":
                read.extend(self._exits_of_mask())
            elif name != "presence":
                read.append(self.exit_of[name])
        return read

    def _encode(self, x: torch.Tensor, deepest: int) -> list[list[torch.Tensor]]:
        """Give X(i, 0) of the levels down to ``deepest``, each the first of its row."""
        rows: list[list[torch.Tensor]] = []
        for level, stage in enumerate(self.stages):
            if level <= deepest:
                x = stage(x if level == 0 else self.pool(x))
                if level == self.depth:
                    x = self.cascade(x)
                rows.append([x])
        return rows

    def _decode(self, rows: list[list[torch.Tensor]], read: list[int], deepest: int) -> dict[int, torch.Tensor]:
        """Give the logits of the exits that are ``read``, counted from 1, for what the encoder gives."""
        for index, node in enumerate(self.nodes):
            level, place = self.places[index]
            if level + place <= deepest:
                rows[level].append(node(rows[level + 1][-1], rows[level]))
        masks: dict[int, torch.Tensor] = {}
        for index, head in enumerate(self.exits):
            if index + 1 in read:
                masks[index + 1] = head(rows[0][index + 1])
        return masks

    def _exits_of_mask(self) -> list[int]:
        used = self.exit_count if self.training else self.exits_used
        if used < 1 or used > self.exit_count:
            raise ValueError(f"exits_used must be from 1 to {self.exit_count}, got {used}.")
        return [used] if self.last else list(range(1, used + 1))


def _check(
    spatial_dims: int,
    numbers: tuple[int, int, int],
    out_channels: int,
    presence_channels: int,
    dropout: float,
    upsampling: str,
    mask: str,
) -> None:
    if spatial_dims not in (2, 3):
        raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims}.")
    if min(numbers) < 1:
        raise ValueError(f"in_channels, filters and depth must be at least 1, got {numbers}.")
    if out_channels < 2:
        raise ValueError(f"out_channels must be at least 2, the background being one, got {out_channels}.")
    if presence_channels < 0:
        raise ValueError(f"presence_channels must not be negative, got {presence_channels}.")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be from 0 to below 1, got {dropout}.")
    if upsampling not in UPSAMPLINGS:
        raise ValueError(f"upsampling must be {TRANSPOSED} or {LINEAR}, got {upsampling}.")
    if mask not in MASK_FORMS:
        raise ValueError(f"mask must be {MEAN} or {LAST}, got {mask}.")


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.modules.conv._ConvNd):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.modules.batchnorm._NormBase | nn.GroupNorm) and module.weight is not None:
        nn.init.normal_(module.weight, 1.0, NORM_SPREAD)
        nn.init.zeros_(module.bias)

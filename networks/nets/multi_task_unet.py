"""The U-Net of several tasks: one encoder, any named heads, on one decoder or on decoders of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.networks.layers.factories import Conv, Pool
from torch import nn

from networks.blocks.attention_gate import AttentionGate, Norm, Ungated
from networks.blocks.task_heads import (
    CLASSIFICATION,
    ClassificationHead,
    HeadSpec,
    begin_undecided,
    dense_head,
    read_heads,
)
from networks.layers.padding import crop_back, pad_to_divisor
from networks.nets.dual_task_vnet import ConvStage

SHARED, SEPARATE = "shared", "separate"
PUBLISHED_DROPOUT = 0.2
_MASK = {"kind": "mask", "out_channels": 1}
_DISTANCE = {"kind": "distance", "out_channels": 1, "minimum_subtracted": True}


class Encoder(nn.Module):
    """Double convolutions, halving the sides by maximum pooling between them.

    Args:
        spatial_dims: 2 or 3.
        in_channels: image channels.
        widths: channels of each level.
        norm: MONAI norm specification, None for none.
        dropout: probability of dropping a value after a pooling.
        checkpointing: keep only the input of a level for the backward pass.
    """

    def __init__(
        self, spatial_dims: int, in_channels: int, widths: list[int], norm: Norm, dropout: float, checkpointing: bool
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        self.down = nn.ModuleList()
        for level, width in enumerate(widths):
            pool = nn.Sequential(Pool[Pool.MAX, spatial_dims](2), nn.Dropout(dropout))
            self.down.append(nn.Identity() if level == 0 else pool)
            entering = in_channels if level == 0 else widths[level - 1]
            self.stages.append(_stage(spatial_dims, entering, width, norm, checkpointing))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Give the features of every level, finest first."""
        features: list[torch.Tensor] = []
        for down, stage in zip(self.down, self.stages):  # noqa: B905  TorchScript knows no `strict`
            x = stage(down(x))
            features.append(x)
        return features


class Decoder(nn.Module):
    """Transposed convolutions back up, each joined by the features of its level, then a double convolution.

    Args:
        spatial_dims: 2 or 3.
        widths: channels of each level of the encoder, finest first.
        norm: MONAI norm specification, None for none.
        dropout: probability of dropping a value of what has been joined.
        attention: gate the encoder's features by what comes from below.
        checkpointing: keep only the input of a level for the backward pass.
    """

    def __init__(
        self, spatial_dims: int, widths: list[int], norm: Norm, dropout: float, attention: bool, checkpointing: bool
    ) -> None:
        super().__init__()
        self.up = nn.ModuleList()
        self.gates = nn.ModuleList()
        self.stages = nn.ModuleList()
        for width, below in zip(reversed(widths[:-1]), reversed(widths[1:]), strict=True):
            self.up.append(Conv[Conv.CONVTRANS, spatial_dims](below, width, 2, stride=2))
            self.gates.append(AttentionGate(spatial_dims, width, width, norm) if attention else Ungated())
            self.stages.append(_stage(spatial_dims, 2 * width, width, norm, checkpointing))
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Give features of the finest level's grid and channels for those of all levels, finest first."""
        x = features[-1]
        level = len(features) - 2
        for up, gate, stage in zip(self.up, self.gates, self.stages):  # noqa: B905
            x = up(x)
            x = stage(self.dropout(torch.cat([gate(features[level], x), x], dim=1)))
            level -= 1
        return x


class MultiTaskUNet(nn.Module):
    """U-Net with one encoder and any named heads; it gives a dictionary of tensors by the heads' names.

    Double convolutions of 3 voxels, each with norm and ReLU, between maximum poolings on the way down and transposed
    convolutions on the way up; the features of a level are joined before those from below. Images of any size: sides
    that are no multiple of ``2 ** depth`` are padded with zeros, and the outputs cropped back.

    Weights begin as He et al. have it (normal, fan-in) and biases at zero, each module drawing on from the last: in the
    published code every module is drawn from the same seed, so that its decoders begin alike. Heads begin undecided
    (:func:`networks.blocks.task_heads.begin_undecided`), which the published code leaves to the seed.

    Reference: Ronneberger et al., *U-Net: convolutional networks for biomedical image segmentation*, MICCAI 2015;
    He et al., *Delving deep into rectifiers*, ICCV 2015. The two-decoder form is that of canxkoz/OCTA-Segmentation.

    Args:
        spatial_dims: 2 or 3.
        in_channels: image channels.
        heads: by name, ``kind`` (``mask``, ``distance``, ``level_set``, ``classification``) and ``out_channels``; of a
            distance also ``minimum_subtracted``. See :class:`networks.blocks.task_heads.HeadSpec`.
        filters: channels of the first level; they double at every level.
        depth: how many times the sides are halved.
        decoders: ``"shared"`` gives all heads one decoder, ``"separate"`` each its own; or the name of a decoder for
            each head, those of one name sharing it. Classification reads the deepest features and has none.
        norm: MONAI norm specification, as ``"batch"`` or ``("instance", {"affine": True})``; None for no normalisation.
        dropout: probability of dropping a value (not a channel) after every pooling and every joining, in training;
            published 0.2. :class:`networks.nets.DropoutAverage` draws on after training.
        attention: gate the encoder's features (:class:`networks.blocks.attention_gate.AttentionGate`).
        checkpointing: compute activations again in the backward pass instead of keeping them: less memory, more time,
            the same gradients and running statistics.

    Attributes:
        kinds: the kind of each head, by name.
        out_channels: channels of each head, by name.
        size_divisor: what sides are padded to multiples of.

    Raises:
        ValueError: for ``spatial_dims`` other than 2 and 3, numbers below one, a ``dropout`` outside [0, 1), heads or
            decoders that do not make sense.
    """

    PUBLISHED = ("multi_task_32", "multi_task_64", "single_32", "single_64", "single_dropout_32", "single_dropout_64")

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        heads: Mapping[str, Mapping[str, Any]],
        filters: int = 32,
        depth: int = 4,
        decoders: str | Mapping[str, str] = SHARED,
        norm: Norm = "batch",
        dropout: float = 0.0,
        attention: bool = False,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims}.")
        if min(in_channels, filters, depth) < 1:
            raise ValueError(f"in_channels, filters and depth must be at least 1, got {(in_channels, filters, depth)}.")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be from 0 to below 1, got {dropout}.")
        specs = read_heads(heads)
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.size_divisor = 2**depth
        self.names = list(specs)
        self.kinds = {name: spec.kind for name, spec in specs.items()}
        self.out_channels = {name: spec.out_channels for name, spec in specs.items()}
        self.decoder_of = _decoders_of_heads(specs, decoders)
        widths = [filters * 2**level for level in range(depth + 1)]
        dense = [name for name, decoder in self.decoder_of.items() if decoder]
        self.encoder = Encoder(spatial_dims, in_channels, widths, norm, dropout, checkpointing)
        self.decoders = nn.ModuleDict(
            {
                decoder: Decoder(spatial_dims, widths, norm, dropout, attention, checkpointing)
                for decoder in dict.fromkeys(self.decoder_of[name] for name in dense)
            }
        )
        self.dense_heads = nn.ModuleDict({name: dense_head(spatial_dims, filters, specs[name]) for name in dense})
        self.classification_heads = nn.ModuleDict(
            {
                name: ClassificationHead(spatial_dims, widths[-1], specs[name].out_channels)
                for name in specs
                if name not in dense
            }
        )
        self.apply(_initialise)
        for name in dense:
            begin_undecided(self.dense_heads[name], specs[name])

    @classmethod
    def published(cls, variant: str = "multi_task_32") -> MultiTaskUNet:
        """Give a network of the OCTA vessel experiments, of one channel and one class.

        ``single_32`` and ``single_64`` have 7,762,465 and 31,036,481 parameters, with dropout as many;
        ``multi_task_32`` and ``multi_task_64``, with a second decoder for the distance, 10,811,298 and 43,226,946.

        Raises:
            ValueError: for another variant.
        """
        if variant not in cls.PUBLISHED:
            raise ValueError(f"variant must be {', '.join(cls.PUBLISHED[:-1])} or {cls.PUBLISHED[-1]}, got {variant}.")
        form, _, filters = variant.rpartition("_")
        heads = {"mask": _MASK} | ({"distance": _DISTANCE} if form == "multi_task" else {})
        dropout = PUBLISHED_DROPOUT if form == "single_dropout" else 0.0
        return cls(2, 1, heads, filters=int(filters), decoders=SEPARATE, dropout=dropout)

    def forward(self, x: torch.Tensor, heads: list[str] | None = None) -> dict[str, torch.Tensor]:
        """Give what the heads say of images (B, in_channels, H, W[, D]) of any size.

        Args:
            x: the images.
            heads: the names of those that are wanted, all if None; decoders that none of them reads are not run.

        Returns:
            By the head's name (B, out_channels, H, W[, D]), of classification (B, out_channels).
        """
        wanted = self.names if heads is None else heads
        image = x
        x, before = pad_to_divisor(x, self.size_divisor)
        features = self.encoder(x)
        read = [self.decoder_of[name] for name in wanted]
        decoded: dict[str, torch.Tensor] = {}
        for key, decoder in self.decoders.items():
            if key in read:
                decoded[key] = crop_back(decoder(features), image, before)
        outputs: dict[str, torch.Tensor] = {}
        for name, dense in self.dense_heads.items():
            if name in wanted:
                outputs[name] = dense(decoded[self.decoder_of[name]])
        for name, classification in self.classification_heads.items():
            if name in wanted:
                outputs[name] = classification(features[-1])
        return {name: outputs[name] for name in wanted}


def _decoders_of_heads(specs: Mapping[str, HeadSpec], decoders: str | Mapping[str, str]) -> dict[str, str]:
    """Give the name of each head's decoder, empty where it has none."""
    dense = [name for name, spec in specs.items() if spec.kind != CLASSIFICATION]
    if isinstance(decoders, str):
        if decoders not in (SHARED, SEPARATE):
            raise ValueError(f"decoders must be {SHARED}, {SEPARATE} or a name for each head, got {decoders}.")
        chosen = {name: name if decoders == SEPARATE else SHARED for name in dense}
    else:
        chosen = dict(decoders)
        if set(chosen) != set(dense):
            raise ValueError(
                f"decoders must name one for each of {', '.join(dense)}, got {', '.join(chosen) or 'none'}."
            )
        for decoder in chosen.values():
            if not decoder.isidentifier() or hasattr(nn.ModuleDict, decoder):
                raise ValueError(f"{decoder} cannot be the name of a decoder.")
    return {name: chosen.get(name, "") for name in specs}


def _stage(spatial_dims: int, in_channels: int, out_channels: int, norm: Norm, checkpointing: bool) -> ConvStage:
    return ConvStage(spatial_dims, 2, in_channels, out_channels, norm, checkpointing=checkpointing, bias=norm is None)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.modules.conv._ConvNd | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)

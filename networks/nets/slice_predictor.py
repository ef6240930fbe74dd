"""Whole volumes through a network of slices and their neighbours: what inference and an exported bundle run."""

from __future__ import annotations

import torch
from torch import nn


class SlicePredictor(nn.Module):
    """Class probabilities of volumes, and the presence of lesions on each slice, from a 2D network with named heads.

    Each slice goes to the network with its neighbours as channels, slice by slice: all C channels of the slice i - n,
    then those of i - n + 1, and so on. Beyond the ends of a volume, the outermost slice is repeated. Only
    ``slices_at_once`` slices are in the network at a time, so that what it needs beside its result does not grow with
    the volume. ``slices_at_once`` is an ordinary attribute, in TorchScript too.

    Args:
        network: gives logits by head, ``mask`` (B, K + 1, H, W), background first, and ``presence`` (B, P), for images
            (B, (2n + 1) C, H, W); with the attributes ``names``, ``out_channels`` and ``in_channels``, and a parameter
            ``heads`` of those that are wanted.
        neighbours: n, slices on each side that the network sees.
        spatial_dims: 3 for volumes; 2 for single slices, whose neighbours are themselves.
        slice_axis: spatial axis of a volume along which slices follow each other; -1 for the last.
        slices_at_once: at most, in the network.

    Attributes:
        in_channels: C, of the volumes.

    Raises:
        ValueError: for numbers out of their range, and channels of the network that 2n + 1 slices cannot share.
    """

    def __init__(
        self,
        network: nn.Module,
        neighbours: int = 1,
        spatial_dims: int = 3,
        slice_axis: int = -1,
        slices_at_once: int = 8,
    ) -> None:
        super().__init__()
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims}.")
        if neighbours < 0 or slices_at_once < 1:
            raise ValueError(
                f"neighbours must not be negative and slices_at_once at least 1, got {(neighbours, slices_at_once)}."
            )
        if not -3 <= slice_axis < 3:
            raise ValueError(f"slice_axis must be an axis of a volume, from -3 to 2, got {slice_axis}.")
        channels, names, stacked = _channels(network), _names(network), 2 * neighbours + 1
        if channels["in"] % stacked:
            raise ValueError(f"{stacked} slices cannot share the {channels['in']} input channels of the network.")
        self.network = network
        self.spatial_dims, self.neighbours = spatial_dims, neighbours
        self.slices_at_once = slices_at_once
        self.in_channels = channels["in"] // stacked
        self.axis = 2 + slice_axis % 3
        self.has_mask, self.has_presence = "mask" in names, "presence" in names
        self.classes, self.presence_channels = channels.get("mask", 0), channels.get("presence", 0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Give probabilities (B, K + 1, H, W[, D]), background first, for images (B, C, H, W[, D]).

        Raises:
            ValueError: when the network segments nothing.
        """
        if not self.has_mask:
            raise ValueError("The network tells the presence of lesions and segments nothing.")
        return self._predict(x, ["mask"])[0]

    @torch.jit.export
    def detect(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the probabilities of :meth:`forward` and of the presence, (B, P, D) or in 2D (B, P).

        Raises:
            ValueError: when the network has not both.
        """
        if not (self.has_mask and self.has_presence):
            raise ValueError("The network does not both segment lesions and tell their presence.")
        return self._predict(x, ["mask", "presence"])

    @torch.jit.export
    def presence(self, x: torch.Tensor) -> torch.Tensor:
        """Give the probabilities that each kind of lesion is on a slice, (B, P, D) or in 2D (B, P).

        Raises:
            ValueError: when the network does not tell.
        """
        if not self.has_presence:
            raise ValueError("The network does not tell the presence of lesions.")
        return self._predict(x, ["presence"])[1]

    def _predict(self, x: torch.Tensor, heads: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Give what the wanted heads say; of the others nothing is stored."""
        if x.dim() != self.spatial_dims + 2:
            raise ValueError(f"Images must have {self.spatial_dims + 2} axes, batch and channel first, got {x.dim()}.")
        volumes = (x if self.spatial_dims == 3 else x.unsqueeze(-1)).movedim(self._axis(), 1)  # (B, D, C, H, W)
        batch, depth = volumes.shape[0], volumes.shape[1]
        sides = [batch, depth, self.classes if "mask" in heads else 0, volumes.shape[3], volumes.shape[4]]
        masks = torch.zeros(sides, dtype=torch.float32, device=x.device)
        present = torch.zeros([batch, depth, self.presence_channels], dtype=torch.float32, device=x.device)
        offsets = torch.arange(-self.neighbours, self.neighbours + 1, device=x.device)
        for start in range(0, batch * depth, self.slices_at_once):
            index = torch.arange(start, min(start + self.slices_at_once, batch * depth), device=x.device)
            image, place = index // depth, index % depth
            stacked = (place.unsqueeze(1) + offsets).clamp(0, depth - 1)
            slices = volumes[image.unsqueeze(1), stacked].flatten(1, 2)  # (N, (2n + 1) C, H, W)
            outputs = self.network(slices, heads)
            if "mask" in heads:
                masks[image, place] = torch.softmax(outputs["mask"].float(), dim=1)
            if "presence" in heads:
                present[image, place] = torch.sigmoid(outputs["presence"].float())
        masks, present = masks.movedim(1, self._axis()), present.movedim(1, 2)
        if self.spatial_dims == 2:
            return masks.squeeze(-1), present.squeeze(-1)
        return masks, present

    def _axis(self) -> int:
        return self.axis if self.spatial_dims == 3 else 4


def _names(network: nn.Module) -> list[str]:
    names: list[str] = network.names  # type: ignore[assignment]
    return names


def _channels(network: nn.Module) -> dict[str, int]:
    """Give the channels of each head by its name, and those that come in as ``in``."""
    out_channels: dict[str, int] = network.out_channels  # type: ignore[assignment]
    return {**out_channels, "in": int(network.in_channels)}  # type: ignore[arg-type]

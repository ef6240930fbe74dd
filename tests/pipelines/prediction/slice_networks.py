"""Small networks of slices and their neighbours, and predictors of volumes with them."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import torch
from monai.inferers import SimpleInferer
from monai.transforms import AsDiscreted, Compose, Invertd, LoadImaged, NormalizeIntensityd
from torch import nn

from networks.nets import SlicePredictor
from pipelines.prediction.predictor import Predictor
from transforms.io.volume_reader import VolumeReader

CPU = torch.device("cpu")


class TwoHeads(nn.Module):
    """Sees every slice of its stack, and where in a slice it is."""

    names: list[str]
    out_channels: dict[str, int]

    def __init__(self, seed: int, neighbours: int = 1, classes: int = 4, kinds: int = 3, mask: bool = True) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.in_channels = 2 * neighbours + 1
        self.out_channels = {**({"mask": classes} if mask else {}), **({"presence": kinds} if kinds else {})}
        self.names = list(self.out_channels)
        self.segmenting = nn.Conv2d(self.in_channels, classes, 3, padding=1)
        self.detecting = nn.Linear(self.in_channels, max(kinds, 1))
        self.dropout = nn.Dropout(0.5)
        self.passes = 0

    def forward(self, x, heads: list[str]) -> dict[str, torch.Tensor]:
        self.passes += 1
        found: dict[str, torch.Tensor] = {}
        if "mask" in heads:
            found["mask"] = 3 * self.segmenting(self.dropout(x))
        if "presence" in heads:
            found["presence"] = self.detecting(self.dropout(x.amax((2, 3))))
        return found


def slice_predictor(seed=0, neighbours=1, spatial_dims=3, slice_axis=-1, **network):
    made = SlicePredictor(TwoHeads(seed, neighbours, **network), neighbours, spatial_dims, slice_axis, slices_at_once=3)
    return made.eval()


def predictor(network, *steps, slab_slices=4, cleaning=(), normalised=True, deciding=None, **options):
    """A predictor of files; ``steps`` after the reading, ``cleaning`` after the decision."""
    pointwise = [NormalizeIntensityd("image", subtrahend=40.0, divisor=30.0)] if normalised else []
    preprocessing = Compose([LoadImaged("image", reader=VolumeReader, ensure_channel_first=True), *steps, *pointwise])
    undoing = Invertd("pred", transform=preprocessing, orig_keys="image", nearest_interp=False)
    after = deciding if deciding is not None else [AsDiscreted("pred", argmax=True)]
    return Predictor(
        network,
        preprocessing,
        options.pop("inferer", SimpleInferer()),
        Compose([undoing, *after, *cleaning]),
        CPU,
        slab_slices=slab_slices,
        **options,
    )


def write_volume(path, shape=(10, 12, 11), seed=0):
    values = np.random.default_rng(seed).integers(0, 100, shape, np.uint8)
    nib.save(nib.Nifti1Image(values, np.diag([0.01, 0.02, 0.1, 1])), path)
    return {"image": str(path), "case_id": path.name.split(".")[0]}, values


def as_network(values):
    """The normalised volume as the network gets it, (1, 1, H, W, D)."""
    return torch.from_numpy((values.astype(np.float32) - 40) / 30)[None, None]

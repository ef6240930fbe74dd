"""How undecided class probabilities are, voxel by voxel."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import MapTransform, Transform
from monai.utils import TransformBackends, convert_data_type, convert_to_dst_type


class ClassEntropy(Transform):
    """Entropy of class probabilities, ``-sum(p ln p) / ln C`` over C channels: 0 where one class is certain, 1 where
    all are as likely.

    Of the mean over passes with dropout it is the predictive entropy. What does not sum to one (level sets of several
    classes may overlap, interpolation rounds) is scaled to it first; where all are zero nothing is known, and it is 1.

    Reference: Gal and Ghahramani, *Dropout as a Bayesian approximation: representing model uncertainty in deep
    learning*, ICML 2016.
    """

    backend = [TransformBackends.TORCH]

    def __call__(self, img: NdarrayOrTensor) -> NdarrayOrTensor:
        """Map probabilities (C, H, W[, D]) to (1, H, W[, D]), float32 of the same kind.

        Raises:
            ValueError: for fewer than two channels.
        """
        probabilities, *_ = convert_data_type(img, torch.Tensor, dtype=torch.float32)
        classes = probabilities.shape[0]
        if classes < 2:
            raise ValueError(f"Class probabilities have at least 2 channels, got {classes}.")
        positive = probabilities.clamp(min=0.0)
        total = positive.sum(dim=0, keepdim=True)
        share = torch.where(total > 0, positive / total.clamp(min=torch.finfo(total.dtype).tiny), 1.0 / classes)
        entropy = -torch.xlogy(share, share).sum(dim=0, keepdim=True) / math.log(classes)
        return convert_to_dst_type(entropy.clamp(0.0, 1.0), dst=img, dtype=torch.float32)[0]


class ClassEntropyd(MapTransform):
    """Dictionary version of :class:`ClassEntropy`; the entropy takes the place of the probabilities.

    Args:
        keys: class probabilities.
        allow_missing_keys: pass over a key that is not there.
    """

    backend = ClassEntropy.backend

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.converter = ClassEntropy()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return ``data`` with entropies in place of the probabilities."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self.converter(result[key])
        return result

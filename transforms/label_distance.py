"""What transforms from label maps to distance maps have in common."""

from __future__ import annotations

from typing import cast

import torch
from monai.config import NdarrayOrTensor
from monai.data import MetaTensor
from monai.utils import convert_data_type
from numpy import ndarray


def labels_of(img: NdarrayOrTensor) -> ndarray:
    """Give the labels (H, W[, D]) of a label map (1, H, W[, D]).

    Raises:
        ValueError: for another shape.
    """
    if img.ndim not in (3, 4) or img.shape[0] != 1:
        raise ValueError(f"a label map must have shape (1, H, W[, D]), got {tuple(img.shape)}.")
    return cast(ndarray, convert_data_type(img, ndarray)[0])[0]


def affine_spacing(img: NdarrayOrTensor) -> tuple[float, ...] | None:
    """Lengths of the affine's columns that belong to the spatial axes of ``img``, in mm; None where it has none."""
    if not isinstance(img, MetaTensor):
        return None
    columns = img.affine[:-1, : img.ndim - 1]
    return tuple(torch.linalg.vector_norm(columns.double(), dim=0).tolist())


def thread_count(threads: int) -> int:
    """A loader has a worker per processor already, so threads inside workers would only compete."""
    return 1 if threads == 0 and torch.utils.data.get_worker_info() is not None else threads

"""Whether thin structures keep their course and their connections: clDice with hard skeletons, and Betti numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.metrics.overlap import binary_mask
from transforms.io.input_error import InputError

__all__ = ["TopologyScores", "compute_topology_scores"]


@dataclass(frozen=True)
class TopologyScores:
    """How the courses and pieces of two masks compare.

    When the class is in neither mask all are NaN. When it is in one only, clDice is 0, the share that has no skeleton
    to be a share of is NaN, and the other is 0.

    Attributes:
        skeleton_precision: share of the prediction's skeleton that lies in the reference (Tprec).
        skeleton_recall: share of the reference's skeleton that lies in the prediction (Tsens).
        betti0_error: by how many the numbers of connected pieces differ; corners connect.
    """

    skeleton_precision: float
    skeleton_recall: float
    betti0_error: float

    @property
    def cldice(self) -> float:
        """Harmonic mean of the two shares (Shit et al., clDice, CVPR 2021)."""
        shares = [0.0 if math.isnan(share) else share for share in (self.skeleton_precision, self.skeleton_recall)]
        if math.isnan(self.betti0_error):
            return math.nan
        return 2 * shares[0] * shares[1] / sum(shares) if sum(shares) else 0.0


def compute_topology_scores(
    pred: ArrayLike, reference: ArrayLike, field_of_view: ArrayLike | None = None
) -> TopologyScores:
    """Compare the skeletons and the connected pieces of two masks.

    Skeletons are those of :func:`networks.layers.skeleton.binary_skeleton`: Zhang and Suen, Comm. ACM 27, 1984, in 2D;
    Lee et al., CVGIP 56, 1994, on a grid of half the voxels in 3D.

    Args:
        pred: the mask to judge, 2 or 3 axes, bool or only 0 and 1.
        reference: the mask to judge it by, of the same shape.
        field_of_view: of the same shape; both masks are cut to where it is above 0.

    Raises:
        InputError: when the shapes differ, there are other than 2 or 3 axes, or a mask holds anything but 0 and 1.
    """
    found, truth = binary_mask(pred, "prediction"), binary_mask(reference, "reference")
    if found.shape != truth.shape:
        raise InputError("prediction", f"has shape {found.shape}, but the reference has {truth.shape}")
    if found.ndim not in (2, 3):
        raise InputError("prediction", f"has {found.ndim} axes; skeletons are defined for 2 and 3")
    if field_of_view is not None:
        inside: NDArray[Any] = np.asarray(field_of_view) > 0
        if inside.shape != truth.shape:
            raise InputError("field of view", f"has shape {inside.shape}, but the reference has {truth.shape}")
        found, truth = found & inside, truth & inside
    if not found.any() and not truth.any():
        return TopologyScores(math.nan, math.nan, math.nan)
    return TopologyScores(
        _share_of_skeleton(found, truth), _share_of_skeleton(truth, found), float(abs(_pieces(found) - _pieces(truth)))
    )


def _share_of_skeleton(mask: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Share of the skeleton of ``mask`` that lies in ``other``; NaN when ``mask`` is empty."""
    from networks.layers.skeleton import binary_skeleton

    skeleton = binary_skeleton(mask)
    # In 3D a ball may be thinned away whole; its own voxels then stand for its skeleton.
    skeleton = skeleton if skeleton.any() else mask
    length = int(np.count_nonzero(skeleton))
    return int(np.count_nonzero(skeleton & other)) / length if length else math.nan


def _pieces(mask: NDArray[np.bool_]) -> int:
    """Betti number 0: how many pieces, 8 neighbours in 2D and 26 in 3D."""
    import cc3d

    return int(cc3d.connected_components(mask.astype(np.uint8), connectivity=8 if mask.ndim == 2 else 26).max())

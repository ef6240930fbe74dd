"""Raters of synthetic patients: what each draws is the truth, disturbed by as much as that rater is bad."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.data.phantom_shapes import Array

# How much each rater's labels are disturbed, from careful to careless.
STRENGTHS = (0.1, 0.35, 0.7, 1.2, 2.0)


def draw_raters(label: Array, rng: np.random.Generator, strengths: Sequence[float] = STRENGTHS) -> list[Array]:
    """Draw what each rater would: the label moved, turned and scaled, and grown or shrunk, by the rater's strength.

    Args:
        label: the truth, (X, Y[, Z]).
        rng: where every draw comes from.
        strengths: one per rater, as :class:`transforms.RandLabelNoise` has them; 0 draws the truth.

    Returns:
        One label map per rater, of the shape and dtype of ``label``.
    """
    from transforms.rand_label_noise import RandLabelNoise

    drawn = []
    for strength in strengths:
        seed = int(rng.integers(2**31))
        moved = RandLabelNoise("affine", strength, seed)(label[None], 0)
        drawn.append(np.asarray(RandLabelNoise("morphology", 0.6 * strength, seed)(moved, 1))[0])
    return drawn

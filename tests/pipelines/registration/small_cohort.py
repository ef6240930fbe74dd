"""A small labelled data set on disk, quickly registered."""

from __future__ import annotations

from pathlib import Path

from pipelines.data.phantoms import make_cohort


def small_cohort(root: Path, cases: int = 3, *, labeled: int = 2, seed: int = 0, flat: bool = False) -> Path:
    """Write two-class phantoms of 16x22x16 voxels, or pictures of 24x24 pixels; those without a label come last."""
    kind, shape = ("atrium2d", (24, 24)) if flat else ("two_class", (16, 22, 16))
    spacing = None if flat else (2.2, 2.2, 2.2)
    counts = {"labeled": labeled, "unlabeled": cases - labeled, "test": 0}
    make_cohort(kind, root, cases, **counts, shape=shape, spacing_mm=spacing, seed=seed)
    return root

"""What resizing does to masks of thin structures: how much of their area stays.

    python -m benchmarks.resized_masks --data DIR [DIR ...] [--size 512 512]

Three ways, for every label of the data sets: the nearest pixel, as the bundles for vessels do it; ``ResizeLabel``,
which keeps the area; and interpolation cut to whole numbers, as the published code for OCT angiography does it. Printed
is the change of the foreground's area, in % of what it should be: the mean over the labels, and that of the worst.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from monai.transforms import Resize

from pipelines.data.dataset import read_dataset
from transforms import ResizeLabel
from transforms.io.volume import read_volume

Way = Callable[[torch.Tensor], torch.Tensor]


def ways(size: Sequence[int]) -> dict[str, Way]:
    """From a mask (1, H, W) of 0 and 1 to that of another size, by name."""
    nearest, bilinear = Resize(size, mode="nearest-exact"), Resize(size, mode="bilinear")
    return {
        "nearest pixel": nearest,
        "ResizeLabel": ResizeLabel(size),
        "interpolated and cut": lambda mask: bilinear(mask).floor(),
    }


def changes(masks: Sequence[torch.Tensor], way: Way) -> np.ndarray:
    """The change of each mask's area relative to the image's, in %."""
    return np.array([100 * (float(way(mask).mean()) / float(mask.mean()) - 1) for mask in masks])


def read_masks(folder: Path) -> list[torch.Tensor]:
    """The foreground of every label that is not empty, (1, H, W)."""
    dataset = read_dataset(folder)
    cases = [*dataset.training, *dataset.validation, *dataset.test]
    labels = [read_volume(case.label).array > 0 for case in cases if case.label is not None]
    return [torch.from_numpy(label.astype(np.float32))[None] for label in labels if label.any()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="data set folders, 2D")
    parser.add_argument("--size", type=int, nargs=2, default=(512, 512), metavar="N", help="rows and columns")
    args = parser.parse_args(arguments)
    print("| data set | masks | way | area: mean | worst |\n|---|---|---|---|---|")
    for folder in args.data:
        masks = read_masks(folder)
        for name, way in ways(args.size).items():
            found = changes(masks, way)
            worst = found[np.abs(found).argmax()]
            print(f"| {folder.name} | {len(masks)} | {name} | {found.mean():+.3f} % | {worst:+.3f} % |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

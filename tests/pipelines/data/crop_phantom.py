"""A small data set of raw volumes in different orientations, with a label and two raters each, to cut crops from."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np

SHAPE = (26, 22, 14)
# Case, side of the structure, and how the file has its axes.
CASES = (("left_a", "left", "LAS"), ("right_b", "right", "RAS"), ("right_c", "right", "PIR"))


def affine_of(tilt: float = 0.1) -> np.ndarray:
    """RAS, 1 x 1 x 2 mm, a little turned about z."""
    affine = np.eye(4)
    affine[:3, :3] = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    affine[:3, :3] *= (1.0, 1.0, 2.0)
    affine[:3, 3] = (-11, -9, 4)
    return affine


def volumes(side: str, seed: int) -> dict[str, np.ndarray]:
    """Arrays in R, A, S: an image, a label of two touching classes, and two raters who differ from it."""
    label = np.zeros(SHAPE, np.uint8)
    first = 3 if side == "left" else 17
    label[first : first + 5, 8:14, 4:9] = 1
    label[first + 3 : first + 5, 8:14, 4:9] = 2
    moved = [np.roll(label, shift, axis=1) for shift in (1, -2)]
    image = np.random.default_rng(seed).integers(10, 500, SHAPE).astype(np.int16) + 300 * (label > 0).astype(np.int16)
    return {"image": image, "label": label, "rater0": moved[0], "rater1": moved[1]}


def write(path: Path, array: np.ndarray, orientation: str = "RAS") -> None:
    """Write an R, A, S array with its axes in the order of ``orientation``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, affine_of())
    turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(orientation))
    image = image.as_reoriented(turn)
    image.set_qform(image.affine, code=1)
    image.set_sform(image.affine, code=1)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


def write_data_set(root: Path, splits: tuple[str, ...] = ("training", "training", "test")) -> Path:
    """Write the three cases, with raters in training."""
    listed: dict[str, list] = {"training": [], "test": []}
    for seed, ((name, side, orientation), split) in enumerate(zip(CASES, splits, strict=True)):
        for kind, array in volumes(side, seed).items():
            write(root / kind / f"{name}.nii.gz", array, orientation)
        entry = {"image": f"image/{name}.nii.gz", "label": f"label/{name}.nii.gz", "patient": f"p{seed}"}
        if split == "training":
            entry |= {"raters": [f"rater{k}/{name}.nii.gz" for k in (0, 1)], "atlas": ["x", "y"]}
        listed[split].append(entry)
    content = {"name": "raw", "modality": {"0": "MR"}, "labels": {"0": "background", "1": "front", "2": "back"}}
    (root / "dataset.json").write_text(json.dumps(content | listed))
    return root

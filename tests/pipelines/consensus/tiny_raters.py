"""A data set of two cases with four raters each, a test case, and a table of data parameters."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np

AFFINE = np.diag([1.0, 1.5, 2.0, 1.0])
PARAMETERS = (2.0, 0.5, -1.0, -1.5)


def truth() -> np.ndarray:
    label = np.zeros((12, 11, 10), np.uint8)
    label[3:9, 3:9, 2:8], label[5:8, 5:8, 4:7] = 1, 2
    return label


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def load(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def write_raters(folder: Path, case: int = 0) -> list[Path]:
    """Four raters, each further from the truth than the one before."""
    rng = np.random.default_rng(case)
    maps = [np.roll(truth(), (rater // 2 + 1) * rng.choice([-1, 1], 3) * (rater > 0), (0, 1, 2)) for rater in range(4)]
    return [save(folder / f"c{case}_{rater}.nii.gz", labels) for rater, labels in enumerate(maps)]


def write_data_set(root: Path) -> Path:
    entries, rows = [], []
    for case in range(2):
        save(root / "images" / f"c{case}.nii.gz", np.full((12, 11, 10), case + 1.0, np.float32))
        save(root / "labels" / f"c{case}.nii.gz", truth())
        raters = [path.relative_to(root).as_posix() for path in write_raters(root / "raters", case)]
        entries.append(
            {
                "image": f"images/c{case}.nii.gz",
                "label": f"labels/c{case}.nii.gz",
                "raters": raters,
                "atlas": ["a", "b", "c", "d"],
                "patient": f"p{case}",
                "presence": [1, 1],
            }
        )
        rows += [f"c{case},{rater},{parameter}" for rater, parameter in zip(raters, PARAMETERS, strict=True)]
    save(root / "images" / "t.nii.gz", np.zeros((12, 11, 10), np.float32))
    save(root / "labels" / "t.nii.gz", truth())
    content = {
        "name": "tiny",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "shell", "2": "core"},
        "training": entries,
        "test": [{"image": "images/t.nii.gz", "label": "labels/t.nii.gz"}],
        "unlabeled": [{"image": "images/c0.nii.gz"}],
    }
    (root / "dataset.json").write_text(json.dumps(content))
    (root / "data_parameters.csv").write_text("case_id,rater,parameter\n" + "\n".join(rows) + "\n")
    return root

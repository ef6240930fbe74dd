"""A drawn cohort in the folders of crossMoDA 2021 or VS-SEG: heads in whose ear canals a tumour and a cochlea sit."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

SHAPE, SPACING_MM = (60, 48, 20), (1.0, 1.0, 1.5)


def draw_head(number: int, side: str, *, tumour: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Give image (int16) and label (uint8: 1 tumour, 2 cochlea); x grows to the patient's left, y to the back."""
    rng = np.random.default_rng(number)
    x, y, z = np.meshgrid(*(np.arange(size) for size in SHAPE), indexing="ij")
    head = ((x - 29.5) / 27) ** 2 + ((y - 23.5) / 22) ** 2 + ((z - 9.5) / 9.5) ** 2 < 1
    # x grows to the left: the ear on the right of the patient is where x is small.
    ear = 15 if side == "right" else 44
    shift = rng.uniform(-1, 1, 3)
    away = [place - middle - move for place, middle, move in zip((x, y, z), (ear, 26, 10), shift, strict=True)]
    label = np.zeros(SHAPE, np.uint8)
    if tumour:
        label[(away[0] / 5) ** 2 + (away[1] / 4) ** 2 + (away[2] / 3) ** 2 < 1] = 1
    outwards = -1 if side == "right" else 1
    label[((away[0] - 8 * outwards) / 2) ** 2 + (away[1] / 2) ** 2 + (away[2] / 2) ** 2 < 1] = 2
    image = 100 * head + 200 * (label == 1) + 90 * (label == 2) + rng.normal(0, 10, SHAPE)
    return image.astype(np.int16), label


def write_scan(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([-SPACING_MM[0], -SPACING_MM[1], SPACING_MM[2], 1.0])
    affine[:3, 3] = (40, 30, -12)
    image = nib.Nifti1Image(array, affine)
    image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


def write_crossmoda(root: Path) -> None:
    """Two source cases (right, left), one without tumour, two target ones without label, one held out with."""
    for number, side, tumour in ((1, "right", True), (2, "left", True), (3, "left", False)):
        image, label = draw_head(number, side, tumour=tumour)
        write_scan(root / "source_training" / f"crossmoda_{number}_ceT1.nii.gz", image)
        write_scan(root / "source_training" / f"crossmoda_{number}_Label.nii.gz", label)
    for number, side in ((106, "right"), (107, "left")):
        write_scan(root / "target_training" / f"crossmoda_{number}_hrT2.nii.gz", draw_head(number, side)[0])
    image, label = draw_head(211, "right")
    write_scan(root / "target_validation" / "crossmoda_211_hrT2.nii.gz", image)
    write_scan(root / "target_validation" / "crossmoda_211_Label.nii.gz", label)


def write_vs_seg(root: Path) -> None:
    """Case 1 in one folder with both modalities, case 2 in a folder for each, its T2 without segmentation."""
    for number, folders in ((1, ("vs_gk_1", "vs_gk_1")), (2, ("vs_gk_2_t1", "vs_gk_2_t2"))):
        for modality, folder in zip(("1", "2"), folders, strict=True):
            image, label = draw_head(10 * number + int(modality), "right")
            write_scan(root / folder / f"vs_gk_t{modality}_refT{modality}.nii.gz", image)
            if (number, modality) != (2, "2"):
                write_scan(root / folder / f"vs_gk_seg_refT{modality}.nii.gz", (label == 1).astype(np.uint8))

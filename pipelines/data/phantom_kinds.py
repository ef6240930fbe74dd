"""The kinds of synthetic patient, in one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import SequenceMatcher

from pipelines.data.phantom_atrium import draw_atrium
from pipelines.data.phantom_ct_organ import draw_ct_organ
from pipelines.data.phantom_fundus import draw_fundus
from pipelines.data.phantom_oct import LESIONS, draw_oct
from pipelines.data.phantom_shapes import Array
from pipelines.data.phantom_two_class import draw_two_class
from pipelines.data.phantom_vessels import draw_vessels
from transforms.io.input_error import InputError


@dataclass(frozen=True)
class PhantomKind:
    """One kind of synthetic patient.

    Attributes:
        summary: what it shows, for the help.
        modality: as ``dataset.json`` names it.
        labels: names of the foreground classes; class k + 1 is ``labels[k]``.
        shape: voxels along x, y[, z] when nobody asks for another.
        spacing_mm: millimetres per voxel, same order, when nobody asks for another.
        file_ending: of images and labels; ``.png`` rescales the image to 8 bit and forgets the spacing.
        draw: (generator, shape, spacing in mm) -> (image, label) or (image, label, field of view), all of ``shape``;
            images in colour are (*shape, 3).
        raters: whether training cases have labels of several raters of known, differing quality too.
        colour: whether images have red, green and blue, which only ``.png`` holds.
        numbered: whether ``draw`` takes the case's number too, by which rare classes are dealt out evenly.
        fixed_field: whether the field of view stays in mm when another shape is asked for, and not the spacing.
        axes: of the patient's axes x (to the left), y (to the back) and z (to the head), that of each array axis.
    """

    summary: str
    modality: str
    labels: tuple[str, ...]
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    file_ending: str
    draw: Callable[..., tuple[Array, ...]]
    raters: bool = False
    colour: bool = False
    numbered: bool = False
    fixed_field: bool = False
    axes: tuple[int, ...] = (0, 1, 2)


KINDS: dict[str, PhantomKind] = {
    "atrium": PhantomKind(
        summary="left atrium in late-gadolinium MR, 3D",
        modality="MRI",
        labels=("left atrium cavity",),
        shape=(80, 72, 44),
        spacing_mm=(1.25, 1.25, 1.25),
        file_ending=".nii.gz",
        draw=draw_atrium,
    ),
    "atrium2d": PhantomKind(
        summary="an axial slice of the same, 2D",
        modality="MRI",
        labels=("left atrium cavity",),
        shape=(128, 112),
        spacing_mm=(0.8, 0.8),
        file_ending=".png",
        draw=draw_atrium,
    ),
    "ct_organ": PhantomKind(
        summary="pancreas in abdominal CT (Hounsfield units), 3D, slices thicker than pixels",
        modality="CT",
        labels=("pancreas",),
        shape=(120, 96, 40),
        spacing_mm=(1.5, 1.5, 2.5),
        file_ending=".nii.gz",
        draw=draw_ct_organ,
    ),
    "two_class": PhantomKind(
        summary="hippocampus in T1 MR, 3D, two touching classes",
        modality="MRI",
        labels=("anterior", "posterior"),
        shape=(36, 50, 36),
        spacing_mm=(1.0, 1.0, 1.0),
        file_ending=".nii.gz",
        draw=draw_two_class,
    ),
    "raters": PhantomKind(
        summary="left atrium as atrium, 3D, with labels of five raters from careful to careless",
        modality="MRI",
        labels=("left atrium cavity",),
        shape=(50, 45, 28),
        spacing_mm=(2.0, 2.0, 2.0),
        file_ending=".nii.gz",
        draw=draw_atrium,
        raters=True,
    ),
    "raters2d": PhantomKind(
        summary="left atrium as atrium2d, 2D, with labels of five raters",
        modality="MRI",
        labels=("left atrium cavity",),
        shape=(100, 90),
        spacing_mm=(1.0, 1.0),
        file_ending=".png",
        draw=draw_atrium,
        raters=True,
    ),
    "vessels2d": PhantomKind(
        summary="retinal vessels among capillaries in OCT angiography, 2D",
        modality="OCTA en-face",
        labels=("vessel",),
        shape=(128, 128),
        spacing_mm=(3 / 128, 3 / 128),
        file_ending=".png",
        draw=draw_vessels,
    ),
    "fundus": PhantomKind(
        summary="optic disc in a fundus photograph, 2D, colour, with the field of view",
        modality="fundus RGB",
        labels=("optic disc",),
        shape=(128, 128),
        spacing_mm=(10 / 128, 10 / 128),
        file_ending=".png",
        draw=draw_fundus,
        colour=True,
    ),
    "oct": PhantomKind(
        summary="macular oedema in OCT, 3D, B-scans along the last axis, three lesion kinds of unequal frequency",
        modality="OCT",
        labels=LESIONS,
        shape=(64, 128, 16),
        spacing_mm=(0.0039 * 512 / 64, 0.0117 * 1024 / 128, 0.047 * 128 / 16),
        file_ending=".nii.gz",
        draw=draw_oct,
        numbered=True,
        fixed_field=True,
        axes=(1, 0, 2),
    ),
}


def find_kind(name: str) -> PhantomKind:
    """Look ``name`` up in the table of kinds.

    Raises:
        InputError: when there is no such kind; names the nearest one.
    """
    if name not in KINDS:
        nearest = max(KINDS, key=lambda known: SequenceMatcher(None, name.lower(), known).ratio())
        raise InputError("--kind", f"no kind {name!r}; the nearest is {nearest!r} (known: {', '.join(KINDS)})")
    return KINDS[name]

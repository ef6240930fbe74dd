"""The frames of a DICOM file that holds several, as in optical coherence tomography, as if each were a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from transforms.io.input_error import InputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SHARED, PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
# What a frame says in its functional groups, and a single slice at its top.
_GROUPS = {
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
}


def frame_headers(path: Path, header: Dataset) -> list[Dataset]:
    """Give a data set for each frame, with its place and scale where those of a single slice are.

    What all frames share comes first, and what a frame says for itself in its stead (DICOM PS3.3 C.7.6.16). The pixels
    are not touched.

    Args:
        path: of the file, for complaints.
        header: its data set.

    Returns:
        As many as there are frames, in the order of the pixels; ``[header]`` where there is but one.

    Raises:
        InputError: when the file does not say where each of its frames lies.
    """
    count = int(header.get("NumberOfFrames", 1) or 1)
    if count == 1:
        return [header]
    described = header.get(PER_FRAME) or []
    if len(described) != count:
        raise InputError(path, f"holds several frames, {count}, but tells of {len(described)} where they lie")
    common = _without_groups(header)
    for group in header.get(SHARED) or []:
        _lift(group, common)
    frames = []
    for groups in described:
        frame = _without_groups(common)
        _lift(groups, frame)
        frames.append(frame)
    return frames


def _without_groups(header: Dataset) -> Dataset:
    from pydicom.dataset import Dataset as EmptyDataset

    bare = EmptyDataset()
    for element in header:
        if element.keyword not in (SHARED, PER_FRAME, "NumberOfFrames"):
            bare.add(element)
    return bare


def _lift(groups: Dataset, target: Dataset) -> None:
    for name, keywords in _GROUPS.items():
        for macro in groups.get(name) or []:
            for keyword in keywords:
                if keyword in macro:
                    target[keyword] = macro[keyword]

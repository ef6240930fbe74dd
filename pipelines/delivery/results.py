"""What a mask becomes for an archive: a segmentation, a measurement report and a picture, in the series' study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipelines.figures.finding import finding_png, png_pixels
from transforms.io.dicom_capture import overlay_capture
from transforms.io.dicom_identity import ResultIdentity
from transforms.io.dicom_report import SegmentVolume, measurement_report, segment_volumes
from transforms.io.dicom_segmentation import Form, segmentation_object
from transforms.io.dicom_series import DicomSeries
from transforms.io.segment_codes import SegmentCode

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


@dataclass(frozen=True)
class Results:
    """What is delivered.

    Attributes:
        objects: DICOM objects by what they are: ``segmentation``, ``report``, ``overlay``.
        picture: the overlay as a PNG file.
        volumes: of the segments, in the order of their labels.
    """

    objects: dict[str, Dataset]
    picture: bytes
    volumes: tuple[SegmentVolume, ...]

    @property
    def lines(self) -> list[str]:
        """A line for each segment: its volume, or that there is none."""
        return volume_lines(self.volumes)


def make_results(
    series: DicomSeries,
    image: np.ndarray,
    labels: np.ndarray,
    codes: Sequence[SegmentCode],
    identity: ResultIdentity,
    form: Form = "BINARY",
) -> Results:
    """Make all objects for one series.

    Args:
        series: the images.
        image: (columns, rows, slices) their values.
        labels: (columns, rows, slices) integers on their grid; nothing but zeros makes valid objects too.
        codes: what the labels are called.
        identity: which model made the mask.
        form: of the segmentation: one bit per voxel and segment, which every archive takes, or one label map.

    Raises:
        InputError: naming the file, when the series lacks what a result must refer to.
    """
    volumes = tuple(segment_volumes(series, labels, codes))
    segmentation = segmentation_object(series, labels, codes, identity, form=form)
    report = measurement_report(series, labels, codes, segmentation, identity)
    names = [code.name for code in codes]
    # The picture shows classes as 1..K, in the order of their codes.
    numbered = np.zeros(labels.shape, np.uint16)
    for number, code in enumerate(codes, start=1):
        numbered[labels == code.label] = number
    picture = finding_png(image, numbered, series.geometry.affine, names, volume_lines(volumes))
    overlay = overlay_capture(series, png_pixels(picture), identity)
    return Results({"segmentation": segmentation, "report": report, "overlay": overlay}, picture, volumes)


def volume_lines(volumes: Sequence[SegmentVolume]) -> list[str]:
    """Give a line for each segment: its volume, or that there is none."""
    return [
        f"{segment.name} {segment.millilitres:.2f} mL" if segment.voxels else f"{segment.name}: no finding"
        for segment in volumes
    ]

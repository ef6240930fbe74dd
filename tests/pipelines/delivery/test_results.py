"""Three objects in one study that refer to each other, for a mask with something in it and for one without."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.delivery.results import make_results, volume_lines
from pipelines.figures.finding import png_pixels
from tests.transforms.io.dicom_phantom import CODES, SERIES, identity, two_segments, write_phantom
from transforms.io.dicom_report import SegmentVolume
from transforms.io.dicom_segmentation import read_segmentation
from transforms.io.dicom_series import read_dicom_series


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    series = write_phantom(folder)
    return series, read_dicom_series(folder).array


@pytest.mark.parametrize("form", ["BINARY", "LABELMAP"])
def test_the_mask_comes_back_and_the_objects_belong_together(phantom, form):
    series, image = phantom
    labels = two_segments(series.geometry.shape)
    results = make_results(series, image, labels, CODES, identity(series), form)
    segmentation, report, overlay = (results.objects[kind] for kind in ("segmentation", "report", "overlay"))
    np.testing.assert_array_equal(read_segmentation(segmentation, series, CODES), labels)
    assert {made.StudyInstanceUID for made in results.objects.values()} == {series.headers[0].StudyInstanceUID}
    assert len({made.SOPInstanceUID for made in results.objects.values()}) == 3
    assert SERIES not in {made.SeriesInstanceUID for made in results.objects.values()}
    assert str(segmentation.SOPInstanceUID) in str(report)
    np.testing.assert_array_equal(overlay.pixel_array, png_pixels(results.picture))
    assert [segment.voxels for segment in results.volumes] == [(labels == code.label).sum() for code in CODES]


def test_nothing_found_is_a_result_too(phantom):
    series, image = phantom
    empty = np.zeros(series.geometry.shape, np.uint8)
    results = make_results(series, image, empty, CODES, identity(series))
    np.testing.assert_array_equal(read_segmentation(results.objects["segmentation"], series, CODES), empty)
    assert results.lines == ["left atrium: no finding", "anterior: no finding"]


def test_a_repeat_makes_the_same_identifiers(phantom):
    series, image = phantom
    labels = two_segments(series.geometry.shape)
    first, second = (make_results(series, image, labels, CODES, identity(series)) for _ in range(2))
    assert first.objects["report"].SOPInstanceUID == second.objects["report"].SOPInstanceUID
    assert first.objects["segmentation"] == second.objects["segmentation"]
    assert first.picture == second.picture


def test_lines_tell_volumes():
    volumes = [SegmentVolume(1, "a", 10, 1.239), SegmentVolume(2, "b", 0, 0.0)]
    assert volume_lines(volumes) == ["a 1.24 mL", "b: no finding"]

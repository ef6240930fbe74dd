"""Contours become masks by the even-odd rule, on the slices that they were drawn on and nowhere else."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage

from tests.data_sets import FOLDER, needs_data
from tests.transforms.io.dicom_phantom import COLUMNS, FRAME, ROWS, SLICES, write_phantom
from transforms.io.dicom_contours import rtstruct_mask
from transforms.io.dicom_series import DicomSeries, read_series
from transforms.io.geometry import LPS_TO_RAS
from transforms.io.input_error import InputError

Corners = list[tuple[float, float]]
SQUARE: Corners = [(0.6, 0.6), (3.4, 0.6), (3.4, 5.4), (0.6, 5.4)]
HOLE: Corners = [(1.5, 1.5), (2.5, 1.5), (2.5, 3.5), (1.5, 3.5)]


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> DicomSeries:
    return write_phantom(tmp_path_factory.mktemp("series"))


def _contour(series: DicomSeries, corners: Corners, plane: float) -> Dataset:
    """Make a contour of corners given as column and row, in voxels."""
    index = np.array([[column, row, plane, 1] for column, row in corners])
    points = index @ (LPS_TO_RAS @ series.geometry.affine).T
    contour = Dataset()
    contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(corners)
    contour.ContourData = [round(float(value), 4) for value in points[:, :3].ravel()]
    return contour


def _structures(contours: list[Dataset], name: str = "GTV", frame: str = FRAME) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = RTStructureSetStorage, "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = RTStructureSetStorage, "1.2.3"
    regions, drawn = [], []
    for number, label in enumerate((name, "other"), 1):
        region, contour = Dataset(), Dataset()
        region.ROINumber, region.ROIName, region.ReferencedFrameOfReferenceUID = number, label, frame
        contour.ReferencedROINumber, contour.ContourSequence = number, contours if label == name else []
        regions.append(region)
        drawn.append(contour)
    data.StructureSetROISequence, data.ROIContourSequence = regions, drawn[::-1]
    return data


def _written(data: FileDataset, folder: Path) -> Path:
    data.save_as(folder / "RS.dcm", enforce_file_format=True)
    return folder / "RS.dcm"


def test_a_contour_within_another_cuts_a_hole(series: DicomSeries, tmp_path: Path):
    contours = [_contour(series, SQUARE, 2), _contour(series, HOLE, 2), _contour(series, SQUARE, 4)]
    mask = rtstruct_mask(_written(_structures(contours), tmp_path), series, "GTV")
    expected = np.zeros((COLUMNS, ROWS, SLICES), dtype=bool)
    expected[1:4, 1:6, 2] = expected[1:4, 1:6, 4] = True
    expected[2, 2:4, 2] = False
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("seed", range(5))
def test_any_polygon_is_filled_as_by_rays_from_each_voxel(series: DicomSeries, tmp_path: Path, seed: int):
    corners = np.random.default_rng(seed).uniform((-2, -2), (COLUMNS + 1, ROWS + 1), (9, 2))
    contour = _contour(series, [(float(x), float(y)) for x, y in corners], 1)
    mask = rtstruct_mask(_written(_structures([contour]), tmp_path), series, "GTV")
    for column in range(COLUMNS):
        for row in range(ROWS):
            hits = 0
            for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
                if (y0 > row) != (y1 > row):
                    hits += column < x0 + (row - y0) * (x1 - x0) / (y1 - y0)
            assert mask[column, row, 1] == (hits % 2 == 1)
    assert not mask[..., [0, 2]].any()


def test_neighbours_that_share_an_edge_through_voxels_share_no_voxel(series: DicomSeries, tmp_path: Path):
    halves = [[(0, 0), (2, 0), (2, 4), (0, 4)], [(2, 0), (4, 0), (4, 4), (2, 4)]]
    masks = []
    for corners in halves:
        file = _written(_structures([_contour(series, corners, 0)]), tmp_path)
        masks.append(rtstruct_mask(file, series, "GTV"))
    assert not (masks[0] & masks[1]).any()
    assert (masks[0] | masks[1])[1:4, 1:4, 0].all()


def _open(contour: Dataset) -> Dataset:
    contour.ContourGeometricType = "OPEN_PLANAR"
    return contour


def _short(contour: Dataset) -> Dataset:
    contour.ContourData = contour.ContourData[:7]
    return contour


def test_what_cannot_be_filled_is_refused(series: DicomSeries, tmp_path: Path):
    good = _contour(series, SQUARE, 2)
    leaning = _contour(series, SQUARE, 2)
    leaning.ContourData = [*leaning.ContourData[:9], *_contour(series, SQUARE, 3).ContourData[9:]]
    twice = _structures([good])
    twice.StructureSetROISequence[1].ROIName = "GTV"
    for data, name, reason in (
        (_structures([good]), "PTV", "no regions called 'PTV'; it has: GTV, other"),
        (twice, "GTV", "2 regions"),
        (_structures([good]), "other", "no contours"),
        (_structures([good], frame="1.2.9"), "GTV", "another frame of reference"),
        (_structures([_contour(series, SQUARE, 2.5)]), "GTV", "do not lie on the slices"),
        (_structures([_contour(series, SQUARE, SLICES)]), "GTV", "do not lie on the slices"),
        (_structures([leaning]), "GTV", "do not lie on the slices"),
        (_structures([_open(_contour(series, SQUARE, 2))]), "GTV", "OPEN_PLANAR"),
        (_structures([_short(_contour(series, SQUARE, 2))]), "GTV", "three or more points"),
    ):
        file = _written(data, tmp_path)
        with pytest.raises(InputError, match=reason) as refusal:
            rtstruct_mask(file, series, name)
        assert refusal.value.subject == str(file)


def test_files_that_are_no_structure_set_are_refused(series: DicomSeries, tmp_path: Path):
    (tmp_path / "text.dcm").write_text("hello")
    for path, reason in (
        (tmp_path / "absent.dcm", "does not exist"),
        (tmp_path / "text.dcm", "no readable DICOM"),
        (series.paths[0], "no RT Structure Set"),
    ):
        with pytest.raises(InputError, match=reason):
            rtstruct_mask(path, series, "GTV")


@needs_data("ct_dicom_rtstruct")
@pytest.mark.parametrize("name", ["CT", "MR_T1", "PET"])
def test_real_contours_make_the_mask_that_others_made_of_them(name: str):
    folder = FOLDER / "ct_dicom_rtstruct"
    series = read_series(folder / "images" / "STS_025" / name)
    mask = rtstruct_mask(folder / "labels" / "STS_025" / name / "RS.dcm", series, f"GTV_Mass_{name}")
    known = nibabel.load(folder / "labels_nifti" / f"STS_025_{name}.nii.gz")
    # Theirs runs along other axes: bring it onto the grid of the series by where voxels lie.
    to_theirs = np.linalg.inv(known.affine) @ series.geometry.affine
    index = (
        np.stack(np.meshgrid(*map(np.arange, mask.shape), indexing="ij"), -1) @ to_theirs[:3, :3].T + to_theirs[:3, 3]
    )
    np.testing.assert_allclose(index, index.round(), atol=0.05)
    i, j, k = np.moveaxis(index.round().astype(int), -1, 0)
    theirs = np.asarray(known.dataobj)[i, j, k] > 0
    assert theirs.sum() > 1000 or name != "CT"
    assert 2 * (mask & theirs).sum() / (mask.sum() + theirs.sum()) > 0.9995

"""Series of real scanners go through a real archive and back: the same mask, and objects that a judge finds right.

``pytest -m pacs -s tests/pacs/test_real_series.py`` prints how long each stage took.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pydicom
import pytest

from pipelines.infer_dicom import main
from pipelines.pacs.address import parse_address
from pipelines.pacs.archive import SeriesQuery, open_archive
from pipelines.prediction.loading import InferenceSettings, load_predictor
from tests.data_sets import FOLDER, needs_data
from tests.transforms.io.dicom_phantom import errors_in, identity, needs_dciodvfy
from transforms.io.dicom_contours import rtstruct_mask
from transforms.io.dicom_segmentation import read_segmentation, segmentation_object
from transforms.io.dicom_series import read_series
from transforms.io.segment_codes import codes_of_metadata, segment_codes

pytestmark = pytest.mark.pacs
SERIES = {
    "T1post": ("brain_mr_dicom", "Study3/11-T1post-18670", "MR"),
    "crop of study 3": ("brain_mr_dicom", "Study3/11_HCropVolume", "MR"),
    "crop of study 1": ("brain_mr_dicom", "Study1/13_HCropVolume", "MR"),
    "CT": ("ct_dicom_rtstruct", "STS_025/CT", "CT"),
    "MR": ("ct_dicom_rtstruct", "STS_025/MR_T1", "MR"),
    "PET": ("ct_dicom_rtstruct", "STS_025/PET", "PT"),
    "three slices": ("ct_dicom_seg", "ct-3slice", "CT"),
}


def needs(name: str, speech: str):
    """One series by DICOM, which is slower, is enough for every day."""
    marks = [needs_data(SERIES[name][0]), *([pytest.mark.slow] if speech == "dicom" and name != "T1post" else [])]
    return pytest.param(name, speech, marks=marks, id=f"{name} by {speech}")


def fetched(archive, study: str, modality: str, folder):
    found = [each for each in archive.find_series(SeriesQuery(study_uid=study)) if each.modality == modality]
    return archive.fetch_series(found[0], folder)


@needs_dciodvfy
@pytest.mark.parametrize(("name", "speech"), [needs(name, speech) for name in SERIES for speech in ("web", "dicom")])
def test_a_real_series_goes_there_and_back(smoke, orthanc, tmp_path, name, speech):
    data, place, modality = SERIES[name]
    folder = FOLDER / data / "images" / place
    series = read_series(folder)
    address = orthanc.web_address if speech == "web" else orthanc.dicom_address
    archive = open_archive(parse_address(address))
    archive.store([pydicom.dcmread(file) for file in series.paths])
    study = str(series.headers[0].StudyInstanceUID)
    receipt = tmp_path / "receipt.json"
    words = ["--bundle", str(smoke.bundle), "--input", address, "--output", address, "--device", "cpu"]
    rules = ["--study-uid", study, "--series-uid", str(series.headers[0].SeriesInstanceUID), "--modality", modality]
    assert main([*words, *rules, "--receipt", str(receipt)]) == 0
    told = json.loads(receipt.read_text())
    assert told["state"] == "stored"

    (segmentation,) = fetched(archive, study, "SEG", tmp_path / "seg")
    (report,) = fetched(archive, study, "SR", tmp_path / "sr")
    archive.close()
    codes = codes_of_metadata(json.loads((smoke.bundle / "configs/metadata.json").read_text()))
    ours = load_predictor(smoke.bundle, InferenceSettings())[0].predict({"image": str(folder)}).labels
    np.testing.assert_array_equal(read_segmentation(segmentation, series, codes), ours)
    for file in (segmentation, report):
        assert errors_in(pydicom.dcmread(file), tmp_path / "judged.dcm") == []
    volume = ours.astype(bool).sum() * abs(np.linalg.det(series.geometry.affine[:3, :3])) / 1000
    assert told["findings"][0]["volume_ml"] == pytest.approx(volume, abs=1e-3)
    seconds = ", ".join(f"{stage} {value:.2f} s" for stage, value in told["seconds"].items())
    sys.stdout.write(f"\n{name} {series.geometry.shape} by {speech}: {seconds}\n")


@needs_dciodvfy
@needs_data("ct_dicom_rtstruct")
@pytest.mark.parametrize("name", ["CT", "MR", "PET"])
def test_a_known_contour_comes_back_as_it_was(orthanc, tmp_path, name):
    data, place, _ = SERIES[name]
    series = read_series(FOLDER / data / "images" / place)
    (structures,) = (FOLDER / data / "labels" / place).glob("*.dcm")
    known = rtstruct_mask(structures, series, f"GTV_Mass_{place.partition('/')[2]}")
    codes = segment_codes({1: "GTV"}, {})
    made = segmentation_object(series, known.astype(np.uint8), codes, identity(series))
    assert errors_in(made, tmp_path / "judged.dcm") == []
    archive = open_archive(parse_address(orthanc.web_address))
    archive.store([made])
    (file,) = fetched(archive, str(series.headers[0].StudyInstanceUID), "SEG", tmp_path / "back")
    archive.close()
    back = read_segmentation(file, series, codes) == 1
    assert known.any()
    assert 2 * (back & known).sum() / (back.sum() + known.sum()) == 1.0

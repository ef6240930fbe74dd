"""The whole way with a real archive: a series asked for, segmented, its results stored and found there again."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pydicom
import pytest

from pipelines.data.dataset import read_dataset
from pipelines.infer_dicom import main
from pipelines.pacs.address import parse_address
from pipelines.pacs.archive import SeriesQuery, open_archive
from pipelines.prediction.loading import InferenceSettings, load_predictor
from transforms.io.dicom_images import write_dicom_series
from transforms.io.dicom_segmentation import read_segmentation
from transforms.io.dicom_series import read_series
from transforms.io.segment_codes import codes_of_metadata
from transforms.io.volume import read_volume

pytestmark = pytest.mark.pacs


@pytest.fixture(scope="session")
def series(smoke, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "series"
    volume = read_volume(read_dataset(smoke.data).test[0].images[0])
    write_dicom_series(folder, np.round(volume.array), volume.affine, name="Roe_Jane")
    return folder


@pytest.fixture
def filled(orthanc, series):
    archive = open_archive(parse_address(orthanc.web_address))
    archive.store([pydicom.dcmread(file) for file in sorted(series.iterdir())])
    archive.close()
    return orthanc


def run(smoke, source, target, *options) -> int:
    words = ["--bundle", str(smoke.bundle), "--input", str(source), "--output", str(target), "--device", "cpu"]
    return main([*words, "--connect-s", "3", "--answer-s", "5", *map(str, options)])


def study_of(series) -> str:
    return str(read_series(series).headers[0].StudyInstanceUID)


def stored(address, kind, series, folder):
    """Fetch the results of one modality from the archive."""
    archive = open_archive(parse_address(address))
    try:
        found = [each for each in archive.find_series(SeriesQuery(study_uid=study_of(series))) if each.modality == kind]
        return archive.fetch_series(found[0], folder)
    finally:
        archive.close()


@pytest.mark.parametrize("speech", ["web", "dicom"])
def test_from_the_archive_and_back(smoke, series, filled, tmp_path, capsys, speech):
    address = filled.web_address if speech == "web" else filled.dicom_address
    receipt = tmp_path / "receipt.json"
    words = ("--study-uid", study_of(series), "--receipt", receipt)
    assert run(smoke, address, address, *words) == 0
    said = capsys.readouterr()
    assert "Roe" not in said.out + said.err
    told = json.loads(receipt.read_text())
    assert told["state"] == "stored"
    assert all(each["verified"] for each in told["objects"])
    (file,) = stored(address, "SEG", series, tmp_path / "back")
    metadata = json.loads((smoke.bundle / "configs/metadata.json").read_text())
    mask = read_segmentation(file, read_series(series), codes_of_metadata(metadata))
    ours, _ = load_predictor(smoke.bundle, InferenceSettings())
    assert mask.any()
    np.testing.assert_array_equal(mask, ours.predict({"image": str(series)}).labels)
    count = len(filled.get("/instances"))
    # The images are still the one series with pixels to segment; the results are not sent twice.
    assert run(smoke, address, address, *words) == 0
    assert "by an earlier job" in capsys.readouterr().out
    assert len(filled.get("/instances")) == count == len(list(series.iterdir())) + 3


def lines_of(capsys) -> str:
    err = capsys.readouterr().err
    assert err.startswith("error: "), err
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    assert "Roe" not in err
    return err


@pytest.mark.parametrize("speech", ["web", "dicom"])
def test_an_archive_that_is_down_loses_nothing(smoke, series, orthanc, tmp_path, capsys, speech):
    address = orthanc.web_address if speech == "web" else orthanc.dicom_address
    orthanc.stop()
    receipt = tmp_path / "receipt.json"
    assert run(smoke, series, address, "--receipt", receipt) == 2
    assert "all are kept in" in lines_of(capsys)
    kept = {pydicom.dcmread(file).SOPInstanceUID for file in (tmp_path / "receipt_unsent").glob("*.dcm")}
    assert len(kept) == 3
    orthanc.start()
    assert run(smoke, series, address, "--receipt", receipt) == 0
    assert not (tmp_path / "receipt_unsent").exists()
    assert len(orthanc.get("/instances")) == 3
    assert {each["sop_instance_uid"] for each in json.loads(receipt.read_text())["objects"]} == kept


@pytest.mark.parametrize("speech", ["web", "dicom"])
def test_an_archive_that_hangs_is_not_waited_for_without_end(smoke, series, orthanc, tmp_path, capsys, speech):
    address = orthanc.web_address if speech == "web" else orthanc.dicom_address
    orthanc.pause()
    started = time.monotonic()
    assert run(smoke, series, address, "--receipt", tmp_path / "receipt.json", "--total-s", "8") == 2
    assert time.monotonic() - started < 60
    assert "all are kept in" in lines_of(capsys)


def test_an_archive_that_stops_while_we_fetch(smoke, series, filled, tmp_path, capsys):
    threading.Timer(0.2, filled.stop).start()
    status = run(smoke, filled.dicom_address, tmp_path / "out", "--study-uid", study_of(series))
    if status == 0:
        pytest.skip("the series had been fetched before the archive stopped")
    lines_of(capsys)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda address: address.replace("@ORTHANC@", "@OTHER@"), "OTHER"),
        (lambda address: address.rpartition(":")[0] + ":9", ""),
        (lambda address: address.replace("127.0.0.1", "nowhere.invalid"), ""),
    ],
)
def test_wrong_titles_ports_and_names(smoke, series, orthanc, tmp_path, capsys, change, words):
    address = change(orthanc.dicom_address)
    assert run(smoke, address, tmp_path / "out", "--study-uid", study_of(series)) == 2
    assert words in lines_of(capsys)


def test_a_study_that_is_not_there(smoke, series, filled, tmp_path, capsys):
    assert run(smoke, filled.web_address, tmp_path / "out", "--study-uid", "1.2.3") == 2
    assert "has no series that was asked for" in lines_of(capsys)

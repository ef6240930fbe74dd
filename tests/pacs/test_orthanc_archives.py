"""Our archives against a real one, over DICOMweb, C-GET and C-MOVE; programs of others are the witnesses."""

from __future__ import annotations

import copy
import shutil
import subprocess
import threading
import time

import pydicom
import pytest
from pydicom.uid import JPEGLSLossless

from pipelines.pacs.address import parse_address
from pipelines.pacs.archive import Archive, MoveDestination, NotStored, SeriesQuery, open_archive
from pipelines.pacs.credentials import Credentials
from pipelines.pacs.instances import encode, same_content
from pipelines.pacs.patience import Patience
from tests.data_sets import FOLDER, needs_data
from tests.pacs.orthanc import Orthanc, start_or_skip
from tests.pipelines.pacs.small_series import ACCESSION, PRIVATE, make_instance, make_series
from transforms.io.input_error import InputError

pytestmark = pytest.mark.pacs

WAYS = ("web", "get", "move")
QUICK = Patience(connect_s=2, answer_s=3, total_s=20, attempts=2, pause_s=0.05)


def _open(server: Orthanc, way: str, patience: Patience = QUICK) -> Archive:
    address = parse_address(server.web_address if way == "web" else server.dicom_address)
    move = MoveDestination(server.move_port, "127.0.0.1") if way == "move" else None
    return open_archive(address, patience=patience, move=move)


def _refused(action) -> InputError:
    """Give the one line with which an action ends, and it ends soon."""
    began = time.monotonic()
    with pytest.raises(InputError) as refusal:
        action()
    assert time.monotonic() - began < 15
    assert "\n" not in str(refusal.value)
    assert not [secret for secret in PRIVATE if secret in str(refusal.value)]
    return refusal.value


@pytest.mark.parametrize("way", WAYS)
def test_a_series_goes_there_and_back(orthanc, tmp_path, way):
    series, archive = make_series(5), _open(orthanc, way)
    uids = [data.SOPInstanceUID for data in series]
    assert archive.missing(series) == uids
    assert archive.store(series).stored == tuple(uids)
    assert archive.missing(series) == []
    assert archive.store(series).already == tuple(uids)
    assert len(orthanc.get("/instances")) == 5
    for query in (
        SeriesQuery(study_uid=series[0].StudyInstanceUID),
        SeriesQuery(series_uid=series[0].SeriesInstanceUID, modality="CT"),
        SeriesQuery(accession=ACCESSION),
    ):
        (found,) = archive.find_series(query)
        assert (found.instances, found.modality, found.number, found.body_part) == (5, "CT", "3", "BRAIN")
    assert archive.find_series(SeriesQuery(accession="other")) == []
    files = archive.fetch_series(found, tmp_path / "series")
    archive.close()
    back = {pydicom.dcmread(file).SOPInstanceUID: file.read_bytes() for file in files}
    assert all(same_content(back[data.SOPInstanceUID], encode(data)) for data in series)


@pytest.mark.parametrize("way", WAYS)
@needs_data("brain_mr_dicom")
def test_a_real_series_comes_back_as_it_was(orthanc, tmp_path, way):
    source = sorted((FOLDER / "brain_mr_dicom" / "images" / "Study3" / "11-T1post-18670").iterdir())
    data = [pydicom.dcmread(path) for path in source]
    archive = _open(orthanc, way)
    archive.store(data)
    (found,) = archive.find_series(SeriesQuery(series_uid=data[0].SeriesInstanceUID))
    files = archive.fetch_series(found, tmp_path / "series")
    archive.close()
    pixels = {each.SOPInstanceUID: each.PixelData for each in data}
    assert len(files) == len(source) == 22
    assert {each.SOPInstanceUID: each.PixelData for each in map(pydicom.dcmread, files)} == pixels


@pytest.mark.parametrize("way", ["web", "get"])
def test_compressed_instances_stay_compressed(orthanc, tmp_path, way):
    from pydicom.encaps import encapsulate

    data = make_instance("1.2.3", "1.2.3.4", 1)
    data.file_meta.TransferSyntaxUID = JPEGLSLossless
    data["PixelData"].is_undefined_length = True
    data.PixelData = encapsulate([b"\xff\xd8 not really \xff\xd9"])
    archive = _open(orthanc, way)
    archive.store([data])
    (found,) = archive.find_series(SeriesQuery(series_uid="1.2.3.4"))
    (file,) = archive.fetch_series(found, tmp_path / "series")
    archive.close()
    assert pydicom.dcmread(file).file_meta.TransferSyntaxUID == JPEGLSLossless


@pytest.mark.parametrize("way", ["web", "get"])
def test_another_content_is_told_and_left_alone(orthanc, way):
    series, archive = make_series(2), _open(orthanc, way)
    archive.store(series)
    changed = copy.deepcopy(series[1])
    changed.SeriesNumber = 99
    with pytest.raises(NotStored, match="instance 2 of 2 .* another content"):
        archive.store([series[0], changed])
    archive.close()
    numbers = {orthanc.get(f"/instances/{each}/simplified-tags")["SeriesNumber"] for each in orthanc.get("/instances")}
    assert numbers == {"3"}


def test_other_programs_see_the_same(orthanc, tmp_path):
    from dicomweb_client import DICOMwebClient

    series, archive = make_series(2), _open(orthanc, "get")
    archive.store(series)
    client = DICOMwebClient(orthanc.web_address)
    theirs = client.retrieve_series(series[0].StudyInstanceUID, series[0].SeriesInstanceUID)
    assert sorted(each.PixelData for each in theirs) == sorted(data.PixelData for data in series)
    if shutil.which("storescu") is None:
        pytest.skip("not installed: dcmtk")
    (other,) = make_series(1)
    path = tmp_path / "other.dcm"
    path.write_bytes(encode(other))
    command = ["storescu", "-aec", "ORTHANC", "127.0.0.1", str(orthanc.dicom_port), str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    (absent,) = make_series(1)
    assert archive.missing([other, absent]) == [absent.SOPInstanceUID]


def test_a_wrong_title_is_told(orthanc, tmp_path):
    address = parse_address(f"dicom://WRONG@127.0.0.1:{orthanc.dicom_port}")
    archive = open_archive(address, patience=QUICK)
    reason = str(_refused(lambda: archive.find_series(SeriesQuery(study_uid="1.2"))))
    assert "called ae title not recognised" in reason
    assert "'WRONG'" in reason
    assert "called ae title not recognised" in str(_refused(lambda: archive.store(make_series(1))))


def test_ports_that_are_mixed_up_are_told(orthanc):
    web = open_archive(parse_address(f"http://127.0.0.1:{orthanc.dicom_port}/dicom-web"), patience=QUICK)
    reason = str(_refused(lambda: web.find_series(SeriesQuery(study_uid="1.2"))))
    assert "broke the connection" in reason or "said nothing" in reason
    web.close()
    node = open_archive(parse_address(f"dicom://ORTHANC@127.0.0.1:{orthanc.web_port}"), patience=QUICK)
    assert "is this a DICOM port?" in str(_refused(lambda: node.find_series(SeriesQuery(study_uid="1.2"))))
    wrong = open_archive(parse_address(f"http://127.0.0.1:{orthanc.web_port}/nothing"), patience=QUICK)
    assert "path of the address" in str(_refused(lambda: wrong.find_series(SeriesQuery(study_uid="1.2"))))
    wrong.close()


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_is_down_is_told_and_comes_back(orthanc, tmp_path, way):
    series, archive = make_series(2), _open(orthanc, way)
    archive.store(series)
    (found,) = archive.find_series(SeriesQuery(series_uid=series[0].SeriesInstanceUID))
    orthanc.stop()
    for action in (
        lambda: archive.find_series(SeriesQuery(study_uid="1.2")),
        lambda: archive.fetch_series(found, tmp_path / "series"),
        lambda: archive.store(make_series(1)),
        lambda: archive.missing(series),
    ):
        assert "refuses connections" in str(_refused(action))
    assert list(tmp_path.iterdir()) == []
    orthanc.start()
    assert len(archive.fetch_series(found, tmp_path / "series")) == 2
    archive.close()


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_hangs_is_told(orthanc, tmp_path, way):
    series = make_series(2)
    archive = _open(orthanc, way, Patience(connect_s=1, answer_s=1, total_s=5, attempts=1))
    archive.store(series)
    (found,) = archive.find_series(SeriesQuery(series_uid=series[0].SeriesInstanceUID))
    orthanc.pause()
    try:
        assert "said nothing" in str(_refused(lambda: archive.fetch_series(found, tmp_path / "series")))
        assert "said nothing" in str(_refused(lambda: archive.store(make_series(1))))
    finally:
        orthanc.resume()
    assert list(tmp_path.iterdir()) == []
    archive.close()


@pytest.mark.parametrize("way", ["web", "get"])
def test_killed_while_storing_nothing_is_lost(orthanc, way):
    """However far it came: what is said to be stored is there, and a repeat stores the rest."""
    series = make_series(60, side=64)
    archive = _open(orthanc, way, Patience(connect_s=5, answer_s=6, total_s=40, attempts=1))

    def kill() -> None:
        end = time.monotonic() + 10
        while time.monotonic() < end and len(list((orthanc.folder / "storage").rglob("*"))) < before + 30:
            time.sleep(0.002)
        orthanc.stop()

    before = len(list((orthanc.folder / "storage").rglob("*")))
    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(NotStored, match=r"\d+ of 60 instances are stored, then: ") as refusal:
        archive.store(series)
    killer.join()
    stored = set(refusal.value.report.stored)
    assert 0 < len(stored) < 60
    assert set(refusal.value.refused) | stored == {data.SOPInstanceUID for data in series}
    orthanc.start()
    assert not stored & set(archive.missing(series))
    report = archive.store(series)
    assert set(report.already) | set(report.stored) == {data.SOPInstanceUID for data in series}
    assert set(report.already) >= stored
    assert archive.missing(series) == []
    archive.close()


@pytest.mark.parametrize("way", WAYS)
def test_killed_while_fetching_nothing_is_left(orthanc, tmp_path, way):
    series = make_series(60, side=64)
    archive = _open(orthanc, way, Patience(connect_s=5, answer_s=6, total_s=40, attempts=1))
    archive.store(series)
    (found,) = archive.find_series(SeriesQuery(series_uid=series[0].SeriesInstanceUID))

    def kill() -> None:
        end = time.monotonic() + 10
        while time.monotonic() < end and len(list(tmp_path.glob(".part-*/*.dcm"))) < 3:
            time.sleep(0.001)
        orthanc.stop()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        files = archive.fetch_series(found, tmp_path / "series")
    except InputError as refusal:
        assert "of 60 instances had come" in str(refusal) or "refuses connections" in str(refusal)
        assert list(tmp_path.iterdir()) == []
    else:
        # A small series may be on its way as a whole when the server dies.
        assert len(files) == 60
    killer.join()
    orthanc.start()
    shutil.rmtree(tmp_path / "series", ignore_errors=True)
    assert len(archive.fetch_series(found, tmp_path / "series")) == 60
    archive.close()


def test_a_user_and_a_password_are_asked_for(tmp_path):
    server = start_or_skip(tmp_path / "server", {"ann": "hunter2"})
    try:
        address = parse_address(server.web_address)
        series = make_series(1)
        archive = open_archive(address, credentials=Credentials("ann", "hunter2"), patience=QUICK)
        archive.store(series)
        assert archive.missing(series) == []
        archive.close()
        for credentials in (None, Credentials("ann", "wrong"), Credentials(token="wrong")):
            archive = open_archive(address, credentials=credentials, patience=QUICK)
            reason = str(_refused(lambda archive=archive: archive.missing(series)))
            assert "other credentials, or any (status 401)" in reason
            archive.close()
    finally:
        server.stop()


def test_it_listens_on_loopback_alone(orthanc, monkeypatch):
    orthanc._require_loopback()
    told = subprocess.run(["ss", "-H", "-ltnp"], check=True, capture_output=True, text=True, timeout=10).stdout
    told = told.replace(f"127.0.0.1:{orthanc.dicom_port}", f"0.0.0.0:{orthanc.dicom_port}")
    answer = subprocess.CompletedProcess([], 0, told, "")
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: answer)
    with pytest.raises(RuntimeError, match=f"listens on 0.0.0.0:{orthanc.dicom_port}"):
        orthanc._require_loopback()

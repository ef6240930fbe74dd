"""A folder of DICOM files as an archive."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest

from pipelines.pacs.address import FolderAddress
from pipelines.pacs.archive import NotStored, SeriesQuery
from pipelines.pacs.folder_archive import FolderArchive
from pipelines.pacs.instances import encode
from tests.data_sets import FOLDER, needs_data
from tests.pipelines.pacs.small_series import ACCESSION, DESCRIPTION, MADE, PRIVATE, make_series
from transforms.io.input_error import InputError


def _archive(folder: Path) -> FolderArchive:
    return FolderArchive(FolderAddress(folder))


@pytest.fixture
def mixed(tmp_path) -> tuple[Path, list, list]:
    """Two series over two folders, with junk beside them."""
    first, second = make_series(3), make_series(2)
    folder = tmp_path / "in"
    (folder / "CANARY" / "deep").mkdir(parents=True)
    for index, data in enumerate((*first, *second)):
        place = folder if index % 2 else folder / "CANARY" / "deep"
        (place / f"TWEETY{index}.dcm").write_bytes(encode(data))
    (folder / "notes.txt").write_text("hello")
    (folder / "DICOMDIR").write_bytes(b"x")
    (folder / "CANARY" / "circle").symlink_to(folder)
    (folder / "dangling.dcm").symlink_to(folder / "absent")
    return folder, first, second


def test_series_are_found_in_subfolders(mixed):
    folder, first, second = mixed
    archive = _archive(folder)
    found = {series.series_uid: series for series in archive.find_series(SeriesQuery())}
    assert {uid: series.instances for uid, series in found.items()} == {
        first[0].SeriesInstanceUID: 3,
        second[0].SeriesInstanceUID: 2,
    }
    one = found[first[0].SeriesInstanceUID]
    assert (one.modality, one.number, one.body_part, one.description) == ("CT", "3", "BRAIN", DESCRIPTION)
    assert one.made == f"{MADE}111111"
    assert len(archive.find_series(SeriesQuery(accession=ACCESSION))) == 2
    assert archive.find_series(SeriesQuery(accession="other")) == []
    assert len(archive.find_series(SeriesQuery(study_uid=first[0].StudyInstanceUID, modality="CT"))) == 1
    assert archive.find_series(SeriesQuery(modality="MR")) == []


def test_a_series_is_copied_under_names_that_tell_nothing(mixed, tmp_path):
    folder, first, _ = mixed
    archive = _archive(folder)
    (found,) = archive.find_series(SeriesQuery(series_uid=first[0].SeriesInstanceUID))
    files = archive.fetch_series(found, tmp_path / "out")
    assert sorted(file.read_bytes() for file in files) == sorted(encode(data) for data in first)
    assert all(re.fullmatch(r"[0-9a-f]{24}\.dcm", file.name) for file in files)
    (folder / "CANARY" / "deep" / "TWEETY0.dcm").unlink()
    with pytest.raises(InputError, match="announced 3 instances of the series and sent 2"):
        archive.fetch_series(found, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_storing_can_be_repeated(tmp_path):
    series, folder = make_series(2), tmp_path / "made" / "here"
    archive = _archive(folder)
    uids = [data.SOPInstanceUID for data in series]
    assert archive.missing(series) == uids
    assert archive.store(series[:1]).stored == (uids[0],)
    report = archive.store(series)
    assert (report.stored, report.already) == ((uids[1],), (uids[0],))
    assert archive.missing(series) == []
    assert all(re.fullmatch(r"CT-[0-9a-f]{24}\.dcm", file.name) for file in folder.iterdir())
    assert len(list(folder.iterdir())) == 2
    changed = copy.deepcopy(series[0])
    changed.SeriesNumber = 99
    before = {file: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(NotStored, match="another content"):
        archive.store([changed])
    assert {file: file.read_bytes() for file in folder.iterdir()} == before


def test_faults_do_not_name_files(mixed, tmp_path):
    folder, _, _ = mixed
    with pytest.raises(InputError, match="does not exist"):
        _archive(tmp_path / "absent").find_series(SeriesQuery())
    with pytest.raises(InputError, match="is no folder"):
        _archive(folder / "notes.txt").find_series(SeriesQuery())
    path = folder / "TWEETY1.dcm"
    content = path.read_bytes()
    for damaged, reason in ((content[:200], "DICOM file in it"), (b"", "a slice may be lost")):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=reason) as refusal:
            _archive(folder).find_series(SeriesQuery())
        assert not [secret for secret in PRIVATE if secret in refusal.value.reason]


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotStored, match=r"0 of 1 instances are stored, then: cannot be written"):
        _archive(tmp_path / "file" / "x").store(make_series(1))


@needs_data("ct_dicom_seg")
def test_a_real_series_is_found_and_copied(tmp_path):
    archive = _archive(FOLDER / "ct_dicom_seg")
    (found,) = archive.find_series(SeriesQuery(modality="CT"))
    assert found.instances == 3
    assert len(archive.fetch_series(found, tmp_path / "series")) == 3
    (segmentation,) = archive.find_series(SeriesQuery(modality="SEG"))
    assert segmentation.study_uid == found.study_uid

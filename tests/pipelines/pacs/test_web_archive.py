"""A DICOMweb server as an archive."""

from __future__ import annotations

import copy
import resource
import signal

import pytest

from pipelines.pacs.address import parse_address
from pipelines.pacs.archive import NotStored, SeriesFound, SeriesQuery, open_archive
from pipelines.pacs.instances import encode, same_content
from pipelines.pacs.patience import Patience
from pipelines.pacs.storing import OTHER_CONTENT
from pipelines.pacs.web_archive import WebArchive
from tests.pipelines.pacs.fake_web import CUT, HALF_PART, JUNK, FakeWeb, fake_web
from tests.pipelines.pacs.small_series import ACCESSION, DESCRIPTION, MADE, PRIVATE, make_series
from transforms.io.input_error import InputError

QUICK = Patience(connect_s=1, answer_s=0.5, total_s=5, attempts=2, pause_s=0.01)


def _open(server: FakeWeb) -> WebArchive:
    archive = open_archive(parse_address(server.address), patience=QUICK)
    assert isinstance(archive, WebArchive)
    return archive


def _only(archive: WebArchive, uid: str) -> SeriesFound:
    (found,) = archive.find_series(SeriesQuery(series_uid=uid))
    return found


def test_series_are_found_by_study_series_accession_and_modality():
    first, second = make_series(3), make_series(5)
    with fake_web([*first, *second, *make_series(1, first[0].StudyInstanceUID)]) as server:
        archive = _open(server)
        found = archive.find_series(SeriesQuery(study_uid=first[0].StudyInstanceUID))
        assert sorted(series.instances or 0 for series in found) == [1, 3]
        one = _only(archive, second[0].SeriesInstanceUID)
        assert (one.instances, one.modality, one.number, one.body_part) == (5, "CT", "3", "BRAIN")
        assert (one.description, one.made) == (DESCRIPTION, f"{MADE}111111")
        assert one.study_uid == second[0].StudyInstanceUID
        assert not [secret for secret in PRIVATE if secret in repr(one)]
        # Three series, two a page.
        assert len(archive.find_series(SeriesQuery(accession=ACCESSION))) == 3
        assert archive.find_series(SeriesQuery(accession="other")) == []
        assert archive.find_series(SeriesQuery(accession=ACCESSION, modality="MR")) == []
        with pytest.raises(InputError, match="which study, series or accession"):
            archive.find_series(SeriesQuery(modality="CT"))
        archive.close()


def test_a_server_that_searches_loosely_does_not_give_the_series_of_others(monkeypatch):
    series = make_series(1)
    with fake_web(series) as server:
        archive = _open(server)
        search = archive._session.get_json

        def ignores_filters(path, query, deadline):
            return search(path, [pair for pair in query if not pair[0][0].isupper()], deadline)

        monkeypatch.setattr(archive._session, "get_json", ignores_filters)
        assert archive.find_series(SeriesQuery(accession="other")) == []
        assert archive.find_series(SeriesQuery(series_uid="1.2.3")) == []
        assert archive.find_series(SeriesQuery(study_uid=series[0].StudyInstanceUID, modality="MR")) == []
        assert _only(archive, series[0].SeriesInstanceUID).instances == 1
        archive.close()


def test_a_series_is_fetched_whole_under_names_that_tell_nothing(tmp_path):
    series = make_series(5)
    with fake_web([*series, *make_series(2)]) as server:
        archive = _open(server)
        files = archive.fetch_series(_only(archive, series[0].SeriesInstanceUID), tmp_path / "series")
        archive.close()
    assert sorted(file.read_bytes() for file in files) == sorted(encode(data) for data in series)
    assert sorted((tmp_path / "series").iterdir()) == files
    assert (tmp_path / "series").stat().st_mode & 0o077 == 0
    text = " ".join(str(file) for file in files)
    assert not [value for data in series for value in (data.SOPInstanceUID, *PRIVATE) if str(value) in text]


@pytest.mark.parametrize("fault", [HALF_PART, 503, CUT])
def test_a_fetch_that_breaks_goes_on_where_it_stopped(tmp_path, fault):
    series = make_series(3)
    with fake_web(series) as server:
        archive = _open(server)
        found = _only(archive, series[0].SeriesInstanceUID)
        # Two pages of the list and a third that ends it, then the series as a whole.
        server.faults = [None, None, None, fault]
        assert len(archive.fetch_series(found, tmp_path / "series")) == 3
        archive.close()


def test_a_server_that_stops_half_way_leaves_nothing(tmp_path):
    series = make_series(3)
    with fake_web(series) as server:
        archive = _open(server)
        found = _only(archive, series[0].SeriesInstanceUID)
        server.faults, server.for_ever = [None, None, None, HALF_PART, None, CUT], True
        with pytest.raises(InputError, match=r"broke the connection.*tried 2 times.*; 1 of 3 instances had come"):
            archive.fetch_series(found, tmp_path / "series")
        archive.close()
    assert list(tmp_path.iterdir()) == []


def test_fewer_instances_than_announced_are_refused(tmp_path):
    series = make_series(3)
    with fake_web(series) as server:
        archive = _open(server)
        found = _only(archive, series[0].SeriesInstanceUID)
        server.omitted = {series[1].SOPInstanceUID}
        with pytest.raises(InputError, match="nothing there"):
            archive.fetch_series(found, tmp_path / "series")
        del server.instances[series[1].SOPInstanceUID]
        with pytest.raises(InputError, match="announced 3 instances of the series and sent 2"):
            archive.fetch_series(found, tmp_path / "series")
        archive.close()
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_is_no_dicom_is_refused(tmp_path):
    series = make_series(1)
    with fake_web(series) as server:
        archive = _open(server)
        found = _only(archive, series[0].SeriesInstanceUID)
        server.faults = [None, None, JUNK]
        with pytest.raises(InputError, match="no DICOM") as refusal:
            archive.fetch_series(found, tmp_path / "series")
        assert "CANARY" not in str(refusal.value)
        archive.close()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    series = make_series(2, side=128)
    with fake_web(series) as server:
        archive = _open(server)
        found = _only(archive, series[0].SeriesInstanceUID)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
        try:
            with pytest.raises(InputError, match="cannot be written: File too large") as refusal:
                archive.fetch_series(found, tmp_path / "series")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, previous)
        archive.close()
    assert refusal.value.subject == str(tmp_path / "series")
    assert list(tmp_path.iterdir()) == []


def test_storing_can_be_repeated_and_is_verified_by_query():
    series = make_series(3)
    with fake_web() as server:
        archive = _open(server)
        uids = [data.SOPInstanceUID for data in series]
        assert archive.missing(series) == uids
        assert archive.store(series[:1]).stored == (uids[0],)
        assert archive.missing(series) == uids[1:]
        report = archive.store(series)
        assert (report.stored, report.already) == (tuple(uids[1:]), (uids[0],))
        assert archive.missing(series) == []
        assert all(same_content(encode(server.instances[data.SOPInstanceUID]), encode(data)) for data in series)
        archive.close()


def test_another_content_under_the_same_uid_is_told_and_left_alone():
    series = make_series(2)
    with fake_web(series[:1]) as server:
        archive = _open(server)
        changed = [copy.deepcopy(data) for data in series]
        changed[0].SeriesNumber = 99
        with pytest.raises(
            NotStored, match="instance 1 of 2 is not stored: the archive has another content"
        ) as refusal:
            archive.store(changed)
        assert refusal.value.refused == {series[0].SOPInstanceUID: OTHER_CONTENT}
        assert refusal.value.report.stored == (series[1].SOPInstanceUID,)
        assert server.instances[series[0].SOPInstanceUID].SeriesNumber == 3
        archive.close()


def test_refusals_are_told_per_instance():
    series = make_series(3)
    with fake_web() as server:
        archive = _open(server)
        server.refusals = {series[1].SOPInstanceUID: 0xA700, series[2].SOPInstanceUID: 0x0124}
        with pytest.raises(NotStored) as refusal:
            archive.store(series)
        archive.close()
    lines = [str(fault) for fault in refusal.value.faults]
    assert len(lines) == 2
    assert "instance 2 of 3 is not stored: it is refused: out of resources (0xA700)" in lines[0]
    assert "instance 3 of 3 is not stored: it is refused: not authorised (0x0124)" in lines[1]
    assert refusal.value.report.stored == (series[0].SOPInstanceUID,)


def test_a_server_that_stops_while_storing_loses_nothing():
    series = make_series(3)
    with fake_web() as server:
        archive = _open(server)
        # The list of what is there, one store, and then nothing but failures.
        server.faults, server.for_ever = [None, None, 500], True
        with pytest.raises(NotStored, match=r"1 of 3 instances are stored, then: it fails with status 500") as refusal:
            archive.store(series)
        assert set(refusal.value.refused) == {data.SOPInstanceUID for data in series[1:]}
        server.faults = []
        assert len(archive.store(series).already) == 1
        assert archive.missing(series) == []
        archive.close()

"""A DICOM node as an archive: finding, fetching by C-GET and C-MOVE, storing, and all that goes wrong."""

from __future__ import annotations

import copy
import logging
import time

import pytest

from pipelines.pacs.address import parse_address
from pipelines.pacs.archive import MoveDestination, NotStored, SeriesFound, SeriesQuery, open_archive
from pipelines.pacs.instances import encode, same_content
from pipelines.pacs.node_archive import NodeArchive
from pipelines.pacs.patience import Patience
from tests.pipelines.pacs.fake_node import FIND, VERIFICATION, FakeNode, fake_node
from tests.pipelines.pacs.small_series import ACCESSION, DESCRIPTION, MADE, PRIVATE, make_series
from transforms.io.input_error import InputError

# Long enough for a machine that does something else too.
QUICK = Patience(connect_s=5, answer_s=4, total_s=20, attempts=2, pause_s=0.01)


def _open(node: FakeNode, patience: Patience = QUICK, move: bool = False) -> NodeArchive:
    destination = MoveDestination(node.move_port, "127.0.0.1") if move else None
    archive = open_archive(parse_address(node.address), patience=patience, move=destination)
    assert isinstance(archive, NodeArchive)
    return archive


def _only(archive: NodeArchive, uid: str) -> SeriesFound:
    (found,) = archive.find_series(SeriesQuery(series_uid=uid))
    return found


def test_an_echo():
    with fake_node() as node:
        _open(node).echo()
    with fake_node(without=(VERIFICATION,)) as node, pytest.raises(InputError, match="none of the services"):
        _open(node).echo()


def test_series_are_found_and_nothing_is_logged(caplog):
    first, second = make_series(3), make_series(2)
    with fake_node([*first, *second]) as node, caplog.at_level(logging.DEBUG):
        archive = _open(node)
        (one,) = archive.find_series(SeriesQuery(study_uid=first[0].StudyInstanceUID))
        assert (one.instances, one.modality, one.number, one.body_part) == (3, "CT", "3", "BRAIN")
        assert (one.description, one.made) == (DESCRIPTION, f"{MADE}111111")
        assert len(archive.find_series(SeriesQuery(accession=ACCESSION))) == 2
        assert archive.find_series(SeriesQuery(accession="other")) == []
        assert _only(archive, second[0].SeriesInstanceUID).study_uid == second[0].StudyInstanceUID
        with pytest.raises(InputError, match="which study, series or accession"):
            archive.find_series(SeriesQuery())
        node.loose = True
        assert archive.find_series(SeriesQuery(accession="other")) == []
        assert archive.find_series(SeriesQuery(study_uid=first[0].StudyInstanceUID, modality="MR")) == []
    assert not [secret for secret in PRIVATE if secret in caplog.text + repr(one)]


def test_a_refused_search_is_told():
    with fake_node(make_series(1)) as node:
        node.find_status = 0xA700
        with pytest.raises(InputError, match=r"refuses the search: out of resources \(0xA700\)"):
            _open(node).find_series(SeriesQuery(study_uid="1.2"))
    with fake_node(without=(FIND,)) as node, pytest.raises(InputError, match="none of the services"):
        _open(node).find_series(SeriesQuery(study_uid="1.2"))


@pytest.mark.parametrize("move", [False, True])
def test_a_series_is_fetched_whole(tmp_path, move):
    series = make_series(3)
    with fake_node([*series, *make_series(2)]) as node:
        archive = _open(node, move=move)
        files = archive.fetch_series(_only(archive, series[0].SeriesInstanceUID), tmp_path / "series")
    contents = {file.read_bytes() for file in files}
    assert len(contents) == 3
    for data in series:
        assert any(same_content(encode(data), content) for content in contents)
    assert sorted((tmp_path / "series").iterdir()) == files


@pytest.mark.parametrize("move", [False, True])
def test_fewer_instances_than_announced_are_refused(tmp_path, move):
    series = make_series(3)
    with fake_node(series) as node:
        archive = _open(node, move=move)
        found = _only(archive, series[0].SeriesInstanceUID)
        node.omitted = {series[0].SOPInstanceUID}
        with pytest.raises(InputError, match="announced 3 instances of the series and sent 2"):
            archive.fetch_series(found, tmp_path / "series")
    assert list(tmp_path.iterdir()) == []


def test_a_node_that_does_not_count_is_believed_when_it_lists(tmp_path):
    series = make_series(2)
    with fake_node(series) as node:
        node.tells_count = False
        archive = _open(node)
        found = _only(archive, series[0].SeriesInstanceUID)
        assert found.instances is None
        assert len(archive.fetch_series(found, tmp_path / "series")) == 2


def test_a_connection_that_breaks_once_is_made_again(tmp_path):
    series = make_series(4)
    with fake_node(series) as node:
        archive = _open(node)
        found = _only(archive, series[0].SeriesInstanceUID)
        node.abort_after = 2
        assert len(archive.fetch_series(found, tmp_path / "series")) == 4
        assert node.aborts == 0


def test_a_node_that_always_stops_half_way_leaves_nothing(tmp_path):
    series = make_series(4)
    with fake_node(series) as node:
        archive = _open(node)
        found = _only(archive, series[0].SeriesInstanceUID)
        node.abort_after, node.aborts = 2, 99
        with pytest.raises(InputError, match=r"broke the connection.*tried 2 times.*; 2 of 4 instances had come"):
            archive.fetch_series(found, tmp_path / "series")
    assert list(tmp_path.iterdir()) == []


def test_a_slow_node_ends_at_the_deadline(tmp_path):
    series = make_series(40)
    with fake_node(series) as node:
        archive = _open(node, Patience(connect_s=1, answer_s=1, total_s=1.2, attempts=1))
        found = SeriesFound(series[0].StudyInstanceUID, series[0].SeriesInstanceUID)
        node.delay_s = 0.1
        began = time.monotonic()
        with pytest.raises(InputError, match="has not finished within 1.2 s"):
            archive.fetch_series(found, tmp_path / "series")
        assert time.monotonic() - began < 4
    assert list(tmp_path.iterdir()) == []


def test_storing_can_be_repeated_and_is_verified_by_query():
    series = make_series(3)
    uids = [data.SOPInstanceUID for data in series]
    with fake_node() as node:
        archive = _open(node)
        assert archive.missing(series) == uids
        assert archive.store(series[:1]).stored == (uids[0],)
        report = archive.store(series)
        assert (report.stored, report.already) == (tuple(uids[1:]), (uids[0],))
        assert archive.missing(series) == []
        changed = copy.deepcopy(series[0])
        changed.SeriesNumber = 99
        with pytest.raises(NotStored, match="another content"):
            archive.store([changed])
        assert node.instances[uids[0]].SeriesNumber == 3


def test_faults_of_a_store_lose_nothing():
    series = make_series(4)
    with fake_node() as node:
        archive = _open(node)
        node.abort_after = 2
        assert len(archive.store(series).stored) == 4
        node.instances.clear()
        node.aborts, node.abort_after = 99, 2
        with pytest.raises(NotStored, match="2 of 4 instances are stored, then: broke the connection") as refusal:
            archive.store(series)
        assert set(refusal.value.refused) == {data.SOPInstanceUID for data in series[2:]}
        node.aborts = 0
        assert len(archive.store(series).already) == 2


def test_wrong_titles_and_absent_nodes_are_told(tmp_path):
    with fake_node() as node:
        archive = open_archive(parse_address(f"dicom://WRONG@127.0.0.1:{node.port}"), patience=QUICK)
        for action in (
            lambda: archive.find_series(SeriesQuery(study_uid="1.2")),
            lambda: archive.fetch_series(SeriesFound("1.2", "1.3"), tmp_path / "x"),
            lambda: archive.store(make_series(1)),
            lambda: archive.missing(make_series(1)),
        ):
            with pytest.raises(InputError, match="called ae title not recognised"):
                action()
        address = node.address
    with pytest.raises(InputError, match=r"refuses connections.*\(tried 2 times\)"):
        open_archive(parse_address(address), patience=QUICK).store(make_series(1))
    assert list(tmp_path.iterdir()) == []

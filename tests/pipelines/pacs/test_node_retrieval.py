"""C-GET and C-MOVE by themselves."""

from __future__ import annotations

import socket

import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLSLossless

from pipelines.pacs.address import NodeAddress
from pipelines.pacs.archive import MoveDestination
from pipelines.pacs.node_retrieval import Retrieval, question
from pipelines.pacs.patience import Deadline, PassingFault, Patience
from tests.pacs.orthanc import free_port
from tests.pipelines.pacs.fake_node import GET, LABEL_MAP, FakeNode, fake_node
from tests.pipelines.pacs.small_series import make_instance, make_series
from transforms.io.input_error import InputError

# Long enough for a machine that does something else too.
QUICK = Patience(connect_s=5, answer_s=4, total_s=15, attempts=1)


def _retrieval(node: FakeNode) -> Retrieval:
    return Retrieval(NodeAddress("127.0.0.1", node.port, "PACS"), QUICK, Deadline("node", QUICK), None)


def _asked(series: list) -> dict[str, str]:
    return {"StudyInstanceUID": series[0].StudyInstanceUID, "SeriesInstanceUID": series[0].SeriesInstanceUID}


def test_a_question_holds_a_level_and_its_keys():
    asked = question("SERIES", {"StudyInstanceUID": "1.2", "Modality": ""})
    assert (asked.QueryRetrieveLevel, asked.StudyInstanceUID, asked.Modality) == ("SERIES", "1.2", None)


@pytest.mark.parametrize("known", [True, False])
def test_classes_are_asked_for_whether_they_are_known_or_not(known):
    series, came = make_series(2), []
    with fake_node(series) as node:
        _retrieval(node).get("SERIES", _asked(series), [series[0].SOPClassUID] if known else [""], came.append)
    assert len(came) == 2


def test_compressed_and_new_classes_come_as_they_are():
    (data,) = series = [make_instance("1.2", "1.2.3", 1, LABEL_MAP)]
    data.file_meta.TransferSyntaxUID = JPEGLSLossless
    data["PixelData"].is_undefined_length = True
    data.PixelData = encapsulate([b"\xff\xd8 not really \xff\xd9"])
    came: list[bytes] = []
    with fake_node(series) as node:
        _retrieval(node).get("SERIES", _asked(series), [LABEL_MAP], came.append)
    assert b"\xff\xd8 not really \xff\xd9" in came[0]
    assert JPEGLSLossless.encode() in came[0]


def test_a_node_without_c_get_is_told():
    series = make_series(1)
    with fake_node(series, without=(GET,)) as node, pytest.raises(InputError, match="does not offer C-GET"):
        _retrieval(node).get("SERIES", _asked(series), [series[0].SOPClassUID], lambda content: None)


@pytest.mark.parametrize("move", [False, True])
def test_a_fault_of_the_taker_ends_the_fetch(move):
    series, calls = make_series(5), []

    def full(content: bytes) -> None:
        calls.append(content)
        raise InputError("disk", "is full")

    with fake_node(series) as node, pytest.raises(InputError, match="disk: is full"):
        if move:
            uids = [data.SOPInstanceUID for data in series]
            _retrieval(node).move("SERIES", _asked(series), MoveDestination(node.move_port, "127.0.0.1"), uids, full)
        else:
            _retrieval(node).get("SERIES", _asked(series), [series[0].SOPClassUID], full)
    assert len(calls) == 1


def test_a_listener_takes_nothing_that_was_not_asked_for():
    series, came = make_series(3), []
    wanted = [data.SOPInstanceUID for data in series[:2]]
    with fake_node(series) as node, pytest.raises(InputError, match="C-MOVE failed for 1 instances"):
        destination = MoveDestination(node.move_port)
        _retrieval(node).move("SERIES", _asked(series), destination, wanted, came.append)
    assert len(came) == 2


def test_wrong_destinations_are_told():
    series = make_series(1)
    with fake_node(series) as node:
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InputError, match="cannot be listened on"):
            place = MoveDestination(taken.getsockname()[1], "127.0.0.1")
            _retrieval(node).move("SERIES", _asked(series), place, [], lambda content: None)
        elsewhere = MoveDestination(free_port(), "127.0.0.1")
        with pytest.raises(InputError, match=r"C-MOVE ends with move destination unknown \(0xA801\)"):
            _retrieval(node).move("SERIES", _asked(series), elsewhere, [], lambda content: None)


def test_a_broken_connection_may_pass():
    series = make_series(3)
    with fake_node(series) as node:
        node.abort_after = 1
        with pytest.raises(PassingFault, match="broke the connection"):
            _retrieval(node).get("SERIES", _asked(series), [series[0].SOPClassUID], lambda content: None)

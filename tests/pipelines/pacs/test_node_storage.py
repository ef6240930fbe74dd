"""C-STORE by itself."""

from __future__ import annotations

import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    SegmentationStorage,
)

from pipelines.pacs.address import parse_address
from pipelines.pacs.archive import NotStored, open_archive
from pipelines.pacs.patience import Patience
from tests.pipelines.pacs.fake_node import FIND, GET, LABEL_MAP, FakeNode, fake_node
from tests.pipelines.pacs.small_series import make_instance, make_series
from transforms.io.input_error import InputError

QUICK = Patience(connect_s=1, answer_s=1, total_s=5, attempts=2, pause_s=0.01)


def _store(node: FakeNode, datasets: list) -> tuple[str, ...]:
    return open_archive(parse_address(node.address), patience=QUICK).store(datasets).stored


def test_each_class_and_syntax_travels_as_it_is():
    classes = (CTImageStorage, SegmentationStorage, LABEL_MAP)
    several = [make_instance("1.2", "1.2.3", number, uid) for number, uid in enumerate(classes)]
    several[0].file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    several[2].file_meta.TransferSyntaxUID = JPEGLSLossless
    several[2]["PixelData"].is_undefined_length = True
    several[2].PixelData = encapsulate([b"\xff\xd8 not really \xff\xd9"])
    with fake_node() as node:
        assert len(_store(node, several)) == 3
        kept = [node.instances[data.SOPInstanceUID].file_meta.TransferSyntaxUID for data in several]
    assert kept == [ImplicitVRLittleEndian, ExplicitVRLittleEndian, JPEGLSLossless]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (0xA900, r"it is refused: data set does not match the SOP class \(0xA900\)"),
        (0x0124, r"it is refused: not authorised \(0x0124\)"),
        (0xA700, r"refuses to store: out of resources \(0xA700\) \(tried 2 times\)"),
    ],
)
def test_refusals_are_told_with_their_meaning(status, reason):
    with fake_node() as node:
        node.store_status = status
        with pytest.raises(NotStored, match=reason) as refusal:
            _store(node, make_series(2))
    assert len(refusal.value.refused) == 2
    assert all("\n" not in str(fault) for fault in refusal.value.faults)


def test_a_warning_is_a_success():
    with fake_node() as node:
        node.store_status = 0xB000
        assert len(_store(node, make_series(1))) == 1


def test_what_the_node_does_not_take_is_told_by_class_and_syntax():
    odd = make_instance("1.2", "1.2.3", 1, SegmentationStorage)
    series = make_series(1)
    with fake_node(without=(SegmentationStorage,)) as node:
        reason = "instance 2 of 2 is not stored: the node does not take Segmentation Storage in Explicit VR Little"
        with pytest.raises(NotStored, match=reason) as refusal:
            _store(node, [*series, odd])
        assert refusal.value.report.stored == (series[0].SOPInstanceUID,)


def test_a_node_that_only_forwards_is_sent_to():
    series = make_series(2)
    with fake_node(without=(FIND, GET)) as node:
        assert len(_store(node, series)) == 2
        assert len(_store(node, series)) == 2
    with fake_node(series, without=(GET,)) as node:
        assert len(_store(node, series)) == 2


def test_a_node_that_is_gone_is_told():
    with fake_node() as node:
        address = node.address
    with pytest.raises(InputError, match="refuses connections"):
        open_archive(parse_address(address), patience=QUICK).store(make_series(1))

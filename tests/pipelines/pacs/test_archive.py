"""What all archives share, and opening the right one."""

from __future__ import annotations

import pickle

import pytest

from pipelines.pacs.address import parse_address
from pipelines.pacs.archive import MoveDestination, NotStored, SeriesFound, SeriesQuery, StoreReport, open_archive
from pipelines.pacs.credentials import Credentials, Tls
from pipelines.pacs.folder_archive import FolderArchive
from pipelines.pacs.node_archive import NodeArchive
from pipelines.pacs.web_archive import WebArchive
from transforms.io.input_error import InputError


@pytest.mark.parametrize(
    ("text", "kind"),
    [("some/folder", FolderArchive), ("http://pacs/dw", WebArchive), ("dicom://A@b:104", NodeArchive)],
)
def test_the_address_decides(text, kind):
    archive = open_archive(parse_address(text), move=MoveDestination(11112))
    assert isinstance(archive, kind)
    archive.close()


def test_options_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(InputError, match="unencrypted"):
        open_archive(parse_address("http://pacs/dw"), credentials=Credentials("a", "b"))
    open_archive(parse_address("http://pacs/dw"), credentials=Credentials("a", "b"), allow_plain=True).close()
    with pytest.raises(InputError, match="dicoms://"):
        open_archive(parse_address("dicom://A@b:104"), tls=Tls())
    with pytest.raises(InputError, match="does not exist"):
        open_archive(parse_address("dicoms://A@b:104"), tls=Tls(tmp_path / "absent"))
    with pytest.raises(TypeError):
        open_archive("http://pacs/dw")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"study_uid": "1.2/../3"},
        {"series_uid": ""},
        {"series_uid": "1" * 65},
        {"accession": "ACC*"},
        {"accession": "A\\B"},
        {"accession": " "},
        {"modality": "ct?"},
    ],
)
def test_queries_hold_no_wildcards_and_no_paths(wrong):
    with pytest.raises(InputError) as refusal:
        SeriesQuery(**wrong)
    value = next(iter(wrong.values()))
    assert len(value) < 3 or value not in str(refusal.value)


def test_nothing_shows_whose_it_is():
    query = SeriesQuery("1.2.3", "1.2.3.4", "CANARY")
    found = SeriesFound("1.2.3", "1.2.3.4", description="CANARY", made="19010203")
    assert not [secret for secret in ("CANARY", "1.2.3", "1901") if secret in repr(query) + repr(found)]


def test_what_is_not_stored_can_be_passed_on():
    fault = NotStored(StoreReport(("1.1",)), {"1.2": "full"}, [InputError("pacs", "full"), InputError("pacs", "more")])
    copy = pickle.loads(pickle.dumps(fault))
    assert (copy.report, copy.refused, str(copy)) == (fault.report, fault.refused, "pacs: full (and 1 more fault)")

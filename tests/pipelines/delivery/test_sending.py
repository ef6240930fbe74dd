"""Results are sent once, verified by asking, and never said to be there when they are not."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage

from pipelines.delivery.sending import send, write_results
from transforms.io.input_error import InputError


class FakeArchive:
    """Keeps what it takes; fails in the ways that archives do."""

    def __init__(self, takes: int = 99, *, down_at: int = 99, forgets: int = 0) -> None:
        self.has: list[str] = []
        self.calls = 0
        self.takes, self.down_at, self.forgets = takes, down_at, forgets
        self.sent: list[str] = []

    def _called(self) -> None:
        self.calls += 1
        if self.calls >= self.down_at:
            raise InputError("dicom://PACS@host:104", "does not answer")

    def missing(self, datasets):
        self._called()
        return [str(made.SOPInstanceUID) for made in datasets if str(made.SOPInstanceUID) not in self.has]

    def store(self, datasets):
        self._called()
        for made in datasets:
            if self.takes == 0:
                raise InputError("dicom://PACS@host:104", "is out of room")
            self.takes -= 1
            self.sent.append(str(made.SOPInstanceUID))
            self.has.append(str(made.SOPInstanceUID))
        del self.has[len(self.has) - self.forgets :]


def made(uid: str) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = SegmentationStorage, uid
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = data.SOPClassUID, uid
    return data


@pytest.fixture
def objects():
    return {"segmentation": made("2.25.1"), "report": made("2.25.2"), "overlay": made("2.25.3")}


def test_all_are_stored_and_asked_for(objects):
    archive = FakeArchive()
    done = send(archive, objects)
    assert done.stored == ("2.25.1", "2.25.2", "2.25.3")
    assert (done.already, done.missing, done.fault) == ((), (), None)
    assert archive.calls == 3


def test_a_repeat_sends_nothing(objects):
    archive = FakeArchive()
    send(archive, objects)
    again = send(archive, objects)
    assert again.already == ("2.25.1", "2.25.2", "2.25.3")
    assert again.stored == ()
    assert archive.sent == ["2.25.1", "2.25.2", "2.25.3"]


def test_a_repeat_completes_what_was_cut_off(objects):
    archive = FakeArchive(takes=1)
    half = send(archive, objects)
    assert (half.stored, half.missing) == (("2.25.1",), ("2.25.2", "2.25.3"))
    assert half.fault is not None
    assert half.fault.reason == "is out of room"
    archive.takes = 9
    rest = send(archive, objects)
    assert (rest.already, rest.stored, rest.missing) == (("2.25.1",), ("2.25.2", "2.25.3"), ())


@pytest.mark.parametrize("down_at", [1, 2, 3])
def test_an_archive_that_goes_down_has_verified_nothing(objects, down_at):
    done = send(FakeArchive(down_at=down_at), objects)
    assert done.stored == ()
    assert len(done.missing) == 3
    assert done.fault is not None


def test_an_archive_that_says_yes_and_has_nothing_is_not_believed(objects):
    done = send(FakeArchive(forgets=2), objects)
    assert done.missing == ("2.25.2", "2.25.3")
    assert done.fault is not None


def test_results_on_disk_are_whole_and_read_back(objects, tmp_path):
    import pydicom

    files = write_results(tmp_path / "new", objects, b"picture")
    assert sorted(file.name for file in files) == ["overlay.dcm", "overlay.png", "report.dcm", "segmentation.dcm"]
    assert pydicom.dcmread(tmp_path / "new" / "report.dcm").SOPInstanceUID == "2.25.2"
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(file.name for file in files)


def test_a_folder_that_cannot_be_written_is_named(objects, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="segmentation.dcm"):
        write_results(tmp_path / "file", objects, b"")

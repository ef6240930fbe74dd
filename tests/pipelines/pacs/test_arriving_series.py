"""A series on its way into a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.pacs.archive import SeriesFound
from pipelines.pacs.arriving_series import ArrivingSeries
from pipelines.pacs.instances import encode
from tests.pipelines.pacs.small_series import make_series
from transforms.io.input_error import InputError

SERIES = make_series(3)
CONTENTS = [encode(data) for data in SERIES]
UIDS = [data.SOPInstanceUID for data in SERIES]


def _found(instances: int | None = 3) -> SeriesFound:
    return SeriesFound(SERIES[0].StudyInstanceUID, SERIES[0].SeriesInstanceUID, instances=instances)


def test_the_folder_appears_when_all_have_come(tmp_path):
    folder = tmp_path / "a" / "b"
    with ArrivingSeries("pacs", _found(), folder) as arriving:
        for content in (*CONTENTS, CONTENTS[0]):
            arriving.take(content)
            assert not folder.exists()
        assert arriving.told() == "3 of 3"
        files = arriving.finish(UIDS)
    assert len(files) == 3
    assert list(folder.parent.iterdir()) == [folder]


def test_an_empty_folder_is_filled_and_a_full_one_refused(tmp_path):
    with ArrivingSeries("pacs", _found(), tmp_path / "new") as arriving:
        (tmp_path / "new").mkdir()
        for content in CONTENTS:
            arriving.take(content)
        assert len(arriving.finish()) == 3
    for full in (tmp_path / "new", next((tmp_path / "new").iterdir())):
        with pytest.raises(InputError, match="a folder of its own"):
            ArrivingSeries("pacs", _found(), full)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


@pytest.mark.parametrize(
    ("announced", "listed", "sent", "told"),
    [(3, UIDS, 2, "3 instances of the series and sent 2"), (4, UIDS, 3, "4 .* sent 3"), (None, UIDS, 1, "3 .* sent 1")],
)
def test_fewer_than_announced_leave_nothing(tmp_path, announced, listed, sent, told):
    with ArrivingSeries("pacs", _found(announced), tmp_path / "new") as arriving:
        for content in CONTENTS[:sent]:
            arriving.take(content)
        with pytest.raises(InputError, match=f"pacs: announced {told}"):
            arriving.finish(listed)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_series_is_none(tmp_path):
    with ArrivingSeries("pacs", _found(None), tmp_path / "new") as arriving, pytest.raises(InputError, match="sent 0"):
        arriving.finish()


def test_what_does_not_belong_is_refused(tmp_path):
    with ArrivingSeries("pacs", _found(), tmp_path / "new") as arriving:
        with pytest.raises(InputError, match="pacs: sent an instance of another series"):
            arriving.take(encode(make_series(1)[0]))
        with pytest.raises(InputError, match="pacs: sent an instance that is no DICOM"):
            arriving.take(b"<html>")
        assert arriving.received == set()


def test_faults_of_the_folder_are_its_own(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        ArrivingSeries("pacs", _found(), tmp_path / "file" / "new")

    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    with ArrivingSeries("pacs", _found(), tmp_path / "new") as arriving:
        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(InputError, match="new: cannot be written: No space left on device"):
            arriving.take(CONTENTS[0])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]

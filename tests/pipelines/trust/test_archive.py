"""Bundles as zip files: unpacked in private, nothing outside, nothing left behind."""

from __future__ import annotations

import tempfile
import zipfile

import pytest

from pipelines.trust.archive import unpack, unpacked
from pipelines.trust.zip_checks import Caps
from transforms.io.input_error import InputError, InputErrors

FILES = {"configs/inference.json": "{}", "configs/metadata.json": "{}", "models/model.pt": "x" * 3_000_000}


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """A folder of its own for temporary files, so that a test sees what is left in it."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def write(file, files):
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return file


@pytest.mark.parametrize("top", ["", "spleen/"])
def test_a_bundle_with_or_without_its_folder(tmp_path, temporary, top):
    source = write(tmp_path / "a.ZIP", {f"{top}{name}": text for name, text in FILES.items()})
    with unpacked(source) as folder:
        assert folder.is_relative_to(temporary)
        assert {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.*")} == FILES
        assert next(temporary.iterdir()).stat().st_mode & 0o777 == 0o700
    assert list(temporary.iterdir()) == []


def test_folders_and_other_files_are_given_as_they_are(tmp_path, temporary):
    (tmp_path / "last.pt").write_bytes(b"")
    (tmp_path / "folder.zip").mkdir()
    for source in (tmp_path, tmp_path / "last.pt", tmp_path / "folder.zip", tmp_path / "none.zip"):
        with unpacked(source) as given:
            assert given == source
    assert list(temporary.iterdir()) == []


def test_nothing_is_left_when_its_use_fails(tmp_path, temporary):
    with pytest.raises(ZeroDivisionError), unpacked(write(tmp_path / "a.zip", FILES)):
        raise ZeroDivisionError
    assert list(temporary.iterdir()) == []


def damaged(file):
    content = bytearray(file.read_bytes())
    content[content.index(b"xxxx") + 5] ^= 1
    file.write_bytes(content)


def cut(file):
    file.write_bytes(file.read_bytes()[:1000])


def empty(file):
    file.write_bytes(b"")


@pytest.mark.parametrize("spoil", [damaged, cut, empty])
def test_damaged_archives(tmp_path, temporary, spoil):
    source = write(tmp_path / "a.zip", FILES)
    spoil(source)
    with pytest.raises(InputError, match=r"a\.zip: is damaged, or no zip archive"), unpacked(source):
        pytest.fail("was opened")
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("name", ["../evil", "/tmp/concord-evil", "a/../../evil"])
def test_nothing_is_written_outside(tmp_path, temporary, name):
    source = write(tmp_path / "a.zip", {"configs/a": "", name: "x"})
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match="leads elsewhere"), unpacked(source):
        pytest.fail("was opened")
    assert sorted(tmp_path.iterdir()) == before
    assert list(temporary.iterdir()) == []


def test_a_file_where_a_folder_should_be(tmp_path):
    source = write(tmp_path / "a.zip", {"configs": "x", "configs/a": "y"})
    with pytest.raises(InputError, match="cannot be unpacked"), unpacked(source):
        pytest.fail("was opened")


def test_caps_hold(tmp_path, temporary):
    source = write(tmp_path / "a.zip", FILES)
    with pytest.raises(InputError, match="more than 1000 are not unpacked"), unpacked(source, Caps(total_bytes=1000)):
        pytest.fail("was opened")
    with pytest.raises(InputError, match="more than 2 are not unpacked"), unpacked(source, Caps(members=2)):
        pytest.fail("was opened")
    assert list(temporary.iterdir()) == []


def test_what_is_there_is_not_replaced(tmp_path):
    source = write(tmp_path / "a.zip", {"a": "new"})
    target = tmp_path / "target"
    target.mkdir()
    (target / "a").write_text("old")
    with pytest.raises(InputError, match="cannot be unpacked: File exists"):
        unpack(source, target)
    assert (target / "a").read_text() == "old"


def test_refusals_name_the_zip_file(tmp_path):
    source = write(tmp_path / "a.zip", FILES)
    with pytest.raises(InputErrors) as refusal, unpacked(source) as folder:
        raise InputErrors([InputError(folder / "configs" / "x.json", "is bad"), InputError("--trust", f"see {folder}")])
    assert [str(fault) for fault in refusal.value.faults] == [
        f"{source}/configs/x.json: is bad",
        f"--trust: see {source}",
    ]

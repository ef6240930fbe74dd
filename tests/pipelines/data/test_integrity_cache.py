"""Remembering what files held."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from pipelines.data import integrity_cache
from pipelines.data.integrity_cache import IntegrityCache, default_cache
from pipelines.data.integrity_record import FileRecord
from transforms.io.input_error import InputError


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4)), path)
    return path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Count how many files are hashed and measured; files need no time to settle."""
    count = {"hashed": 0, "measured": 0}
    hash_file, measure = integrity_cache.file_sha256, integrity_cache.measure_file

    def counting_hash(path: Path) -> str:
        count["hashed"] += 1
        return hash_file(path)

    def counting_measure(path: Path, *, as_label: bool) -> FileRecord:
        count["measured"] += 1
        return measure(path, as_label=as_label)

    monkeypatch.setattr(integrity_cache, "file_sha256", counting_hash)
    monkeypatch.setattr(integrity_cache, "measure_file", counting_measure)
    monkeypatch.setattr(integrity_cache, "SETTLED_AFTER_S", -1.0)
    return count


def _look(cache_file: Path | None, path: Path) -> FileRecord:
    cache = IntegrityCache(cache_file)
    record = cache.record(path, cache.sha256(path), as_label=False)
    cache.save()
    return record


def test_what_has_not_changed_is_not_read_again(tmp_path: Path, scan: Path, reads: dict[str, int]) -> None:
    cache = tmp_path / "deep" / "cache.json"
    first = _look(cache, scan)
    assert _look(cache, scan) == first
    assert reads == {"hashed": 1, "measured": 1}
    os.utime(scan)
    _look(cache, scan)
    assert reads == {"hashed": 2, "measured": 1}


def test_changed_bytes_are_found_even_with_the_old_time_and_size(
    tmp_path: Path, scan: Path, reads: dict[str, int]
) -> None:
    cache, status = tmp_path / "cache.json", scan.stat()
    assert _look(cache, scan).fault == ""
    content = bytearray(scan.read_bytes())
    content[-7] ^= 1
    scan.write_bytes(content)
    os.utime(scan, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert scan.stat().st_mtime_ns == status.st_mtime_ns
    assert "checksum" in _look(cache, scan).fault
    assert reads == {"hashed": 2, "measured": 2}


def test_young_files_are_hashed_again(
    tmp_path: Path, scan: Path, reads: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integrity_cache, "SETTLED_AFTER_S", 60.0)
    _look(tmp_path / "cache.json", scan)
    _look(tmp_path / "cache.json", scan)
    assert reads == {"hashed": 2, "measured": 1}


def test_faults_are_looked_at_again(tmp_path: Path, scan: Path, reads: dict[str, int]) -> None:
    scan.write_bytes(b"text")
    _look(tmp_path / "cache.json", scan)
    assert _look(tmp_path / "cache.json", scan).fault
    assert reads["measured"] == 2


@pytest.mark.parametrize("damage", ["", "{", "0\n{}", "[]", "flip", "version", "binary"])
def test_a_damaged_cache_counts_as_empty(tmp_path: Path, scan: Path, reads: dict[str, int], damage: str) -> None:
    cache = tmp_path / "cache.json"
    record = _look(cache, scan)
    text = cache.read_text()
    if damage == "flip":
        cache.write_text(text.replace('"RAS"', '"LAS"'))
    elif damage == "version":
        payload = '{"version": 0, "hashes": 1, "records": 2}'
        cache.write_text(f"{hashlib.sha256(payload.encode()).hexdigest()}\n{payload}\n")
    elif damage == "binary":
        cache.write_bytes(b"\xff\xfe\x00")
    else:
        cache.write_text(damage)
    assert _look(cache, scan) == record
    assert reads["measured"] == 2
    assert cache.read_text() == text


def test_a_cache_that_cannot_be_written_is_ignored(tmp_path: Path, scan: Path) -> None:
    (tmp_path / "file").touch()
    assert _look(tmp_path / "file" / "cache.json", scan).orientation == "RAS"
    assert _look(None, scan).orientation == "RAS"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "scan.nii.gz"]


def test_hash_of_a_file_is_its_sha256(scan: Path) -> None:
    assert IntegrityCache(None).sha256(scan) == hashlib.sha256(scan.read_bytes()).hexdigest()
    with pytest.raises(InputError, match="does not exist"):
        IntegrityCache(None).sha256(scan.with_name("none"))


def test_hash_covers_every_file_of_an_image(tmp_path: Path) -> None:
    header = tmp_path / "scan.mhd"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 4, 5), np.uint8)), str(header))
    series = tmp_path / "series"
    series.mkdir()
    (series / "1.dcm").write_bytes(b"1")
    for image, part in ((header, tmp_path / "scan.raw"), (series, series / "1.dcm")):
        before = IntegrityCache(None).sha256(image)
        part.write_bytes(b"x" * part.stat().st_size)
        assert IntegrityCache(None).sha256(image) != before


def test_default_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, second = default_cache(tmp_path / "a"), default_cache(tmp_path / "b")
    assert first is not None and first != second
    assert tmp_path in first.parents

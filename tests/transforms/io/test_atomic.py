"""Atomic writing: whole or not at all, also when the writer is killed."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading

import pytest

from transforms.io.atomic import atomic_path, write_json_atomic, write_text_atomic


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("before", [None, "old"])
def test_a_finished_block_renames(tmp_path, before):
    final = tmp_path / "result.txt"
    if before is not None:
        final.write_text(before)
    with atomic_path(final) as temporary:
        temporary.write_text("new")
        assert (final.read_text() if final.exists() else None) == before
    assert final.read_text() == "new"
    assert names(tmp_path) == ["result.txt"]


@pytest.mark.parametrize("before", [None, "old"])
@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failed_block_leaves_all_as_it_was(tmp_path, before, fault):
    final = tmp_path / "result.txt"
    if before is not None:
        final.write_text(before)
    with pytest.raises(fault), atomic_path(final) as temporary:
        temporary.write_text("half of")
        raise fault
    assert names(tmp_path) == ([] if before is None else ["result.txt"])
    assert before is None or final.read_text() == before


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("mask.nii.gz", ".nii.gz"), ("case.1.nii.gz", ".nii.gz"), ("run.json", ".json"), ("LICENSE", ""), (".hidden", "")],
)
def test_the_temporary_name(tmp_path, name, suffix):
    """Same folder, so that renaming is atomic; same suffixes, by which writers choose the format."""
    with atomic_path(tmp_path / name) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.endswith(suffix)
        assert temporary.name != name
    assert names(tmp_path) == [name]


def test_the_folder_is_made(tmp_path):
    write_text_atomic(tmp_path / "a" / "b" / "c.txt", "é")
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == "é".encode()


def test_strings_are_paths_too(tmp_path):
    write_text_atomic(str(tmp_path / "c.txt"), "text")
    assert (tmp_path / "c.txt").read_text() == "text"


def test_permissions_are_those_of_an_ordinary_file(tmp_path):
    """A temporary file is for its owner alone; a result is not."""
    write_text_atomic(tmp_path / "atomic.txt", "")
    (tmp_path / "ordinary.txt").write_text("")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_a_folder_in_the_way_is_left_alone(tmp_path):
    (tmp_path / "result").mkdir()
    with pytest.raises(OSError), atomic_path(tmp_path / "result") as temporary:
        temporary.write_text("new")
    assert names(tmp_path) == ["result"]


def test_a_writer_that_writes_nothing_is_told(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "result.txt") as temporary:
        temporary.unlink()
    assert names(tmp_path) == []


def test_readers_and_writers_at_once_see_whole_files(tmp_path):
    final = tmp_path / "result.txt"
    texts = [letter * 100_000 for letter in "abcd"]
    write_text_atomic(final, texts[0])
    writers = [threading.Thread(target=write_text_atomic, args=(final, text)) for text in texts]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert final.read_text() in texts
    assert names(tmp_path) == ["result.txt"]


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    final = tmp_path / "result.json"
    write_json_atomic(final, {"state": "old"})
    code = (
        "import os, signal, sys\n"
        "from transforms.io.atomic import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('{\"state\": ')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(final)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert json.loads(final.read_text()) == {"state": "old"}


def test_json_is_readable(tmp_path):
    content = {"name": "Müller", "values": [1, 2.5, None, True]}
    write_json_atomic(tmp_path / "a.json", content)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == content
    assert "Müller" in text
    assert text.endswith("}\n")
    assert len(text.splitlines()) > 4


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_json_refuses_what_json_has_not(tmp_path, number):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json_atomic(tmp_path / "a.json", {"dice": number})
    assert names(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            write_text_atomic(tmp_path / "a.txt", "text")
    finally:
        tmp_path.chmod(0o700)

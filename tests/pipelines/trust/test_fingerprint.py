"""One hash for a bundle: what changes it, and what does not."""

from __future__ import annotations

import hashlib
import os
import shutil

import pytest

from pipelines.trust.fingerprint import bundle_sha256, file_sha256
from transforms.io.input_error import InputError

FILES = {"LICENSE": "a", "configs/inference.json": "{}", "configs/metadata.json": "{}", "models/model.pt": "weights"}


@pytest.fixture
def bundle(tmp_path):
    return write(tmp_path / "bundle", FILES)


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_of_a_file(tmp_path):
    content = os.urandom(3 * 2**20 + 5)
    (tmp_path / "x").write_bytes(content)
    assert file_sha256(tmp_path / "x") == hashlib.sha256(content).hexdigest()
    with pytest.raises(InputError, match="cannot be read"):
        file_sha256(tmp_path / "y")


def test_name_order_and_times_do_not_count(bundle, tmp_path):
    other = write(tmp_path / "other", dict(reversed(FILES.items())))
    os.utime(other / "LICENSE", (0, 0))
    (other / "LICENSE").chmod(0o600)
    (other / "empty").mkdir()
    assert bundle_sha256(other) == bundle_sha256(bundle)


CHANGES = {
    "content": {"LICENSE": "b"},
    "more": {"scripts/x.py": ""},
    "hidden": {".x": ""},
    "compiled": {"scripts/__pycache__/x.cpython-311.pyc": ""},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_names_and_contents_count(bundle, change):
    before = bundle_sha256(bundle)
    assert bundle_sha256(write(bundle, change)) != before


def test_moves_count(bundle):
    before = bundle_sha256(bundle)
    (bundle / "LICENSE").rename(bundle / "configs" / "LICENSE")
    assert bundle_sha256(bundle) != before


def test_where_a_name_ends_counts(tmp_path):
    one = write(tmp_path / "one", {"ab": "", "c": ""})
    two = write(tmp_path / "two", {"a": "", "bc": ""})
    assert bundle_sha256(one) != bundle_sha256(two)


def test_of_a_run_only_what_is_read_to_infer_counts(tmp_path):
    run = write(tmp_path / "run", {"config.yaml": "a", "run.json": "{}", "checkpoints/last.pt": "x", "report.html": ""})
    before = bundle_sha256(run)
    (run / "report.html").write_text("new")
    assert bundle_sha256(run) == before
    (run / "checkpoints" / "last.pt").write_text("y")
    assert bundle_sha256(run) != before


def test_of_nothing(tmp_path):
    with pytest.raises(InputError, match="holds no file"):
        bundle_sha256(tmp_path)


def test_links_count_as_what_they_lead_to(bundle, tmp_path):
    before = bundle_sha256(bundle)
    shutil.move(bundle / "LICENSE", tmp_path / "LICENSE")
    (bundle / "LICENSE").symlink_to(tmp_path / "LICENSE")
    assert bundle_sha256(bundle) == before

"""Cutting many: resumed, several at a time, faults gathered; and removing what was made."""

from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import numpy as np
import pytest

from pipelines.data.crop_case import CropSettings
from pipelines.data.crop_plan import plan_samples
from pipelines.data.crop_records import bytes_needed, cut_all, read_crops, remove_crops, remove_records
from pipelines.data.dataset import read_dataset
from tests.pipelines.data.crop_phantom import write, write_data_set
from transforms.io.atomic import write_json_atomic
from transforms.io.input_error import InputError

SETTINGS = CropSettings((8, 8, 8), (1.0, 1.0, 1.0))


@pytest.fixture
def samples(tmp_path):
    return plan_samples(read_dataset(write_data_set(tmp_path / "raw")), None)


def made(output):
    return {path: path.stat().st_mtime_ns for path in output.rglob("*.nii.gz")}


def test_processes_give_what_one_gives(samples, tmp_path):
    one = {record["sample_id"]: record for record in cut_all(samples, SETTINGS, tmp_path / "one", 1)}
    two = {record["sample_id"]: record for record in cut_all(samples, SETTINGS, tmp_path / "two", 2)}
    assert one == two
    files = sorted(path.relative_to(tmp_path / "one") for path in made(tmp_path / "one"))
    assert len(files) == 3 + 3 + 4
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes() for file in files)


def test_goes_on_where_it_was(samples, tmp_path):
    output = tmp_path / "out"
    first = list(cut_all(samples[:2], SETTINGS, output, 1))
    before = made(output)
    assert list(cut_all(samples, SETTINGS, output, 1))[:2] == first
    after = made(output)
    assert {path: after[path] for path in before} == before
    (output / "labels" / "left_a.nii.gz").unlink()
    list(cut_all(samples, SETTINGS, output, 1))
    assert made(output)[output / "labels" / "left_a.nii.gz"]
    list(cut_all(samples, replace(SETTINGS, flip_to="left"), output, 1))
    assert all(made(output)[path] != after[path] for path in after), "other settings, other crops"
    remove_records(output, samples)
    assert not list((output / "records").iterdir())


def test_faults_of_one_case_do_not_stop_the_others(samples, tmp_path):
    write(samples[0].case.label, np.full((26, 22, 14), -1, np.int16), "LAS")
    results = list(cut_all(samples, SETTINGS, tmp_path / "out", 1))
    (fault,) = [result for result in results if isinstance(result, InputError)]
    assert str(fault).endswith("label/left_a.nii.gz: must hold labels from 0 up, found -1")
    assert (tmp_path / "out" / "images" / "right_b.nii.gz").is_file()


def test_process_that_dies(samples, tmp_path, monkeypatch):
    class Pool:
        def __init__(self, *_):
            pass

        def submit(self, *_):
            future = Future()
            future.set_exception(BrokenProcessPool("gone"))
            return future

        def shutdown(self, cancel_futures):
            assert cancel_futures

    monkeypatch.setattr("pipelines.data.crop_records.ProcessPoolExecutor", Pool)
    with pytest.raises(InputError, match="--workers: a process that cuts has died"):
        list(cut_all(samples, SETTINGS, tmp_path, 2))


def test_bytes_needed(samples):
    """512 voxels: image 4 bytes, label 1, two raters of 1 each in two of the three cases."""
    assert bytes_needed(samples, SETTINGS) == 512 * (7 + 7 + 5)


def test_removes_its_own_files_alone(samples, tmp_path):
    output = tmp_path / "out"
    records = list(cut_all(samples, SETTINGS, output, 1))
    records[0]["files"].append("../raw/dataset.json")
    write_json_atomic(output / "crops.json", {"samples": records})
    (output / "dataset.json").write_text("{}")
    (output / "images" / "mine.txt").write_text("kept")
    assert read_crops(output)["samples"] == records
    remove_crops(output)
    assert [path.name for path in (output / "images").iterdir()] == ["mine.txt"]
    assert not made(output)
    assert not (output / "dataset.json").exists()
    assert (tmp_path / "raw" / "dataset.json").exists()
    remove_crops(tmp_path / "empty")


def test_refusals(tmp_path):
    with pytest.raises(InputError, match=r"has no crops\.json"):
        read_crops(tmp_path)
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(InputError, match=r"without crops\.json, which is not replaced"):
        remove_crops(tmp_path)
    (tmp_path / "crops.json").write_text("[")
    with pytest.raises(InputError, match="is not valid JSON"):
        read_crops(tmp_path)
    (tmp_path / "crops.json").write_text("[]")
    with pytest.raises(InputError, match="holds no list of samples"):
        read_crops(tmp_path)

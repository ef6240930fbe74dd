from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pipelines.data.dataset import read_dataset
from pipelines.registration.grids import Grid
from pipelines.registration.pair_job import PairJob, mean_dice, read_label, read_scan, run_job
from pipelines.registration.settings import AffineSettings, ConvexAdamSettings, PairSettings
from tests.pipelines.registration.small_cohort import small_cohort
from transforms.io.input_error import InputError
from transforms.io.volume import read_geometry, read_volume

QUICK = PairSettings(
    convex_adam=ConvexAdamSettings(affine=AffineSettings(rigid_steps=5, affine_steps=5), reach=2, adam_steps=5)
)


@pytest.fixture
def job(tmp_path):
    cases = read_dataset(small_cohort(tmp_path / "data")).training
    return PairJob(tmp_path / "out", cases[0], cases[1], QUICK, save_field=True)


def test_writes_label_field_and_record_last(job):
    assert job.finished() is None
    record = run_job(job)
    assert read_geometry(job.label_file).shape == read_geometry(job.target.images[0]).shape
    assert set(np.unique(read_volume(job.label_file).array)) <= {0, 1, 2}
    assert job.field_file.is_file()
    assert json.loads(job.record_file.read_text()) == record
    assert record["atlas"] == job.atlas.case_id
    assert 0 < record["dice_final"] <= 1
    assert record["jacobian_lowest"] <= 1 <= record["jacobian_highest"] + 1
    assert record["fallback"] == ""
    assert job.finished() == record


def test_what_has_changed_is_not_finished(job):
    run_job(job)
    assert replace(job, settings=replace(QUICK, start="centre")).finished() is None
    job.field_file.unlink()
    assert job.finished() is None
    assert replace(job, save_field=False).finished() is not None
    content = job.atlas.label.read_bytes()
    job.atlas.label.write_bytes(content + b"\0")
    assert replace(job, save_field=False).finished() is None
    job.atlas.label.write_bytes(content)
    job.record_file.write_text("{half")
    assert replace(job, save_field=False).finished() is None


def test_a_target_without_a_label_has_no_dice(job):
    record = run_job(replace(job, target=job.target.without_label(), save_field=False))
    assert record["dice_final"] is None
    assert not job.field_file.exists()


def test_an_atlas_without_a_label_is_refused(job):
    with pytest.raises(InputError, match="is an atlas without a label"):
        run_job(replace(job, atlas=job.atlas.without_label()))
    with pytest.raises(InputError, match="no channel 1"):
        run_job(replace(job, channel=1))


def test_a_label_must_fit_its_image(job):
    scan = read_scan(job.atlas.images[0])
    with pytest.raises(InputError, match="has shape 16x22x16, but its image 3x3x3"):
        read_label(job.atlas.label, Grid((3, 3, 3), np.eye(4)))
    assert read_label(job.atlas.label, scan.grid).dtype == np.uint8


def test_mean_dice():
    first, second = np.array([1, 1, 2, 0]), np.array([1, 0, 2, 2])
    assert mean_dice(first, second) == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert mean_dice(first, np.zeros(4, int)) == 0
    assert np.isnan(mean_dice(np.zeros(4, int), np.zeros(4, int)))

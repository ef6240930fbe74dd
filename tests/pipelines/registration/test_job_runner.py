from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pipelines.data.dataset import read_dataset
from pipelines.registration.job_runner import run_jobs
from pipelines.registration.pair_job import PairJob
from tests.pipelines.registration.small_cohort import small_cohort
from tests.pipelines.registration.test_pair_job import QUICK
from transforms.io.input_error import InputError


def test_processes_give_what_one_gives_and_what_is_complete_stays(tmp_path):
    cases = read_dataset(small_cohort(tmp_path / "data")).training
    jobs = [PairJob(tmp_path / "one", cases[0], cases[1], QUICK), PairJob(tmp_path / "one", cases[1], cases[0], QUICK)]
    threads = torch.get_num_threads()
    alone = {record["atlas"]: record for record in run_jobs(jobs, 1)}
    assert torch.get_num_threads() == threads
    apart = [replace(job, output=tmp_path / "two") for job in jobs]
    together = {record["atlas"]: record for record in run_jobs(apart, 2)}
    for name, record in alone.items():
        assert {**record, "seconds": 0} == {**together[name], "seconds": 0}
    assert all(a.label_file.read_bytes() == b.label_file.read_bytes() for a, b in zip(jobs, apart, strict=True))
    broken = replace(jobs[0], output=tmp_path / "three", channel=4)
    good = replace(jobs[1], output=tmp_path / "three")
    with pytest.raises(InputError, match="no channel 4"):
        list(run_jobs([good, broken], 1))
    assert good.finished() is not None

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from pipelines.runs.record import RunRecord, is_finished, peak_memory, refuse_taken
from tests.pipelines.conftest import SmokeRun
from transforms.io.input_error import InputError


def test_a_finished_run_says_what_it_was(smoke_run: SmokeRun) -> None:
    record = json.loads((smoke_run.run / "run.json").read_text())
    assert record["finished"] >= record["started"]
    assert record["iterations"] == 2
    assert record["versions"]["torch"].startswith("2.")
    assert record["class_names"] == {"1": "left atrium cavity"}
    assert record["peak_host_mib"] > 100
    assert set(record["fingerprint"]) == {"data", "configuration"}
    assert record["intended_use"] == "Research use only, not for diagnosis."
    hashes = [digest for case in record["data"]["cases"].values() for digest in case["files"].values()]
    assert len(hashes) == 5 + 4  # images, and the labels of all but the unlabelled case
    assert all(len(digest) == 64 for digest in hashes)


def test_the_configuration_is_whole_and_holds_what_was_set(smoke_run: SmokeRun) -> None:
    config = yaml.safe_load((smoke_run.run / "config.yaml").read_text())
    assert config["iterations"] == 2
    assert config["network_def"]["filters"] == 4
    assert {"run", "train", "validate", "preprocessing", "record"} <= set(config)


def test_a_finished_run_is_not_written_over(smoke_run: SmokeRun) -> None:
    assert is_finished(smoke_run.run)
    with pytest.raises(InputError, match="finished run"):
        refuse_taken(smoke_run.run, overwrite=False, resume=False)
    refuse_taken(smoke_run.run, overwrite=True, resume=False)


def test_an_unfinished_run_is_resumed_or_overwritten_knowingly(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"finished": null}')
    assert not is_finished(tmp_path)
    with pytest.raises(InputError, match="--resume"):
        refuse_taken(tmp_path, overwrite=False, resume=False)
    refuse_taken(tmp_path, overwrite=False, resume=True)


@pytest.mark.parametrize("content", ["{", "[1, 2]", "3"])
def test_a_damaged_record_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(InputError, match=r"run\.json"):
        is_finished(tmp_path)


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="no folder that can be written to"):
        refuse_taken(tmp_path / "file" / "run", overwrite=False, resume=False)


def test_a_record_needs_a_running_configuration(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="none is running"):
        RunRecord(tmp_path, cohort=None, seed=0, device="cpu")  # type: ignore[arg-type]


def test_peak_memory_is_in_mebibytes() -> None:
    assert 50 < peak_memory()["peak_host_mib"] < 100_000

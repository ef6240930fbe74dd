"""The model card: what the model is for, what it was trained on and how well it does, in tables that are tables."""

from __future__ import annotations

import json

import pytest
import yaml

from pipelines.export.model_card import model_card


@pytest.fixture(scope="module")
def parts(smoke_run):
    config = yaml.safe_load((smoke_run.run / "config.yaml").read_text())
    record = json.loads((smoke_run.run / "run.json").read_text())
    metadata = json.loads((smoke_run.bundle / "configs" / "metadata.json").read_text())
    return config, record, metadata


@pytest.fixture(scope="module")
def summary(smoke_run):
    return json.loads((smoke_run.run / "summary.json").read_text())


def card(parts, summary=None, **changes):
    config, record, metadata = parts
    return model_card({**config, **changes}, record, metadata, summary, {"model.pt": "ab12", "model.ts": "cd34"}, 3e-7)


def test_what_it_tells(parts, summary):
    text = card(parts, summary)
    dice = summary["aggregate"]["left atrium cavity"]["dice"]["mean"]
    for told in (
        "Research use only, not for diagnosis.",
        "left atrium cavity",
        f"| left atrium cavity | {dice:.3f} ±",
        "2 test cases",
        "windows of [32, 32, 16] voxels",
        "| `models/model.ts` | `cd34` |",
        "within 3e-07",
        "python -m monai.bundle run",
        parts[1]["fingerprint"]["data"],
    ):
        assert told in text


def test_tables_are_tables(parts, summary):
    lines = card(parts, summary).splitlines()
    columns = 0
    for line in lines:
        if not line.startswith("|"):
            columns = 0
            continue
        assert line.endswith("|")
        columns = columns or line.count("|")
        assert line.count("|") == columns
    assert sum(line.startswith("|---") for line in lines) == 3


def test_a_resumed_run_does_not_claim_the_whole_time(parts):
    config, record, metadata = parts
    assert "since the last resume" not in card(parts)
    assert f"{record['wall_seconds']} s since the last resume on cpu" in card(
        (config, {**record, "resumed": ["2025-01-02T04:04:05+00:00"]}, metadata)
    )


def test_nothing_evaluated(parts):
    assert "Not evaluated" in card(parts)


def test_scores_that_are_not_defined(parts, summary):
    empty = dict.fromkeys(("mean", "sd", "median", "ci95"))
    scores = {name: empty for name in ("dice", "jaccard", "asd_mm", "hd95_mm")}
    assert "| a | – | – | – | – |" in card(parts, {**summary, "aggregate": {"a": scores, "b": scores, "mean": scores}})


METHODS = {
    "dtc": ({"_target_": "pipelines.engines.consistencies.HeadsAgree"}, "by dual-task consistency (Luo"),
    "mean teacher": ({"_target_": "pipelines.engines.consistencies.TeacherAgrees"}, "with a mean teacher"),
    "supervised": (None, "from labelled scans alone"),
}


@pytest.mark.parametrize(("consistency", "told"), METHODS.values(), ids=METHODS.keys())
def test_how_it_was_trained(parts, consistency, told):
    assert f"trained {told}" in card(parts, consistency=consistency)

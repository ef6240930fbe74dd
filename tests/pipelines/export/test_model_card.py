"""The model card: what the model is for, what it was trained on and how well it does, in tables that are tables."""

from __future__ import annotations

import json

import pytest
import yaml

from pipelines.export.model_card import Evidence, model_card


@pytest.fixture(scope="module")
def parts(smoke_run):
    config = yaml.safe_load((smoke_run.run / "config.yaml").read_text())
    record = json.loads((smoke_run.run / "run.json").read_text())
    metadata = json.loads((smoke_run.bundle / "configs" / "metadata.json").read_text())
    return config, record, metadata


@pytest.fixture(scope="module")
def summary(smoke_run):
    return json.loads((smoke_run.run / "summary.json").read_text())


EVIDENCE = Evidence(
    {"model.pt": "ab12", "model.ts": "cd34"},
    {"model.ts": 3e-7},
    {"labeled": 2, "unlabeled": 1, "validation": 0, "test": 2},
    "CC BY 4.0",
)


def card(parts, summary=None, evidence=EVIDENCE, **changes):
    config, record, metadata = parts
    return model_card({**config, **changes}, record, metadata, summary, evidence)


def test_the_order_of_the_model_zoo(parts):
    titles = [line[3:] for line in card(parts).splitlines() if line.startswith("## ")]
    assert titles == [
        *("Model overview", "Intended use", "Data", "Preprocessing", "Training configuration", "Input", "Output"),
        *("Performance", "Limits", "How to run", "Files", "References", "License"),
    ]


def test_what_it_tells(parts, summary):
    text = card(parts, summary)
    dice = summary["aggregate"]["left atrium cavity"]["dice"]["mean"]
    for told in (
        "Research use only, not for diagnosis.",
        "left atrium cavity",
        f"| left atrium cavity | {dice:.3f} ±",
        "2 test cases",
        "windows of [32, 32, 16] voxels",
        "| `models/model.ts` | `cd34` | 3e-07 |",
        "| `models/model.pt` | `ab12` | – |",
        "2 cases with labels and 1 without to train on, 0 to choose the weights, 2 to test; split by patient",
        "| terms | CC BY 4.0 |",
        "SGD, learning rate 0.05",
        "(batch, 2, any, any, any)",
        "`scikit-image`",
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
    assert sum(line.startswith("|---") for line in lines) == 4


@pytest.mark.parametrize("file", ["model.pt", "model.ts", "model.onnx", "model.pt2"])
def test_a_command_for_every_form_that_is_there(parts, file):
    with_it, without = card(parts, evidence=Evidence({file: "ab"}, {})), card(parts, evidence=Evidence({}, {}))
    assert with_it.count(f"`models/{file}`") == 2  # how to use it, and its hash
    assert f"`models/{file}`" not in without
    for text in (with_it, without):
        for name in ("inference", "evaluate", "train"):
            assert f"--config_file configs/{name}.json" in text
        assert "multi_gpu_train.json" in text


def test_preprocessing_in_words(parts):
    steps = parts[0]["preprocessing"]["transforms"]
    text = card(parts, antialias=True, preprocessing={"transforms": [*steps, {"_target_": "RandNovelty"}]})
    assert "4. smoothed (Gauss) along axes whose grid gets coarser\n5. resampled" in text
    assert "7. `RandNovelty`" in text
    assert "smoothed" not in card(parts, antialias=False)


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
    scores = {name: empty for name in ("dice", "jaccard", "asd_mm", "hd95_mm", "nsd")}
    assert "| a | – | – | – | – | – |" in card(
        parts, {**summary, "aggregate": {"a": scores, "b": scores, "mean": scores}}
    )


METHODS = {
    "dtc": ({"_target_": "pipelines.engines.consistencies.HeadsAgree"}, "by dual-task consistency (Luo"),
    "mean teacher": ({"_target_": "pipelines.engines.consistencies.TeacherAgrees"}, "with a mean teacher"),
    "supervised": (None, "from labelled scans alone"),
}


@pytest.mark.parametrize(("consistency", "told"), METHODS.values(), ids=METHODS.keys())
def test_how_it_was_trained(parts, consistency, told):
    assert f"trained {told}" in card(parts, consistency=consistency)


def test_how_many_cases_have_a_number(parts, summary):
    scores = summary["aggregate"]["left atrium cavity"]
    partly = {"mean": 0.5, "sd": None, "ci95": None, "n": 1, "undefined": 1}
    assert "| 0.500, n = 1 |" in card(parts, {**summary, "aggregate": {"a": {**scores, "hd95_mm": partly}}})


def test_cases_that_are_not_recorded_or_not_used(parts):
    assert "| protocol | not recorded |" in card(parts, evidence=Evidence({}, {}))
    assert "1 without (not used) to train on" in card(parts, use_unlabeled=False)


def test_noisy_labels_are_called_noisy(parts):
    text = card(parts, train={"trainer": {"_target_": "pipelines.engines.DataParameterTrainer"}})
    assert "| protocol | 2 cases with noisy labels to train on, 0 to choose the weights, 2 to test;" in text

"""The evaluation of a bundle: names nothing of ours, and gives the scores of ``evaluate``."""

from __future__ import annotations

import csv
import json
import math
import shutil

import numpy as np
import pytest
import yaml

from pipelines.evaluate import main
from pipelines.export.evaluation_config import evaluation_config
from pipelines.export.inference_config import inference_config
from pipelines.export.stock_run import run_stock_evaluation
from tests.pipelines.export.test_inference_config import nodes, test_nothing_of_ours, test_references_lead_somewhere

__all__ = ["test_nothing_of_ours", "test_references_lead_somewhere"]


@pytest.fixture(scope="module")
def config(smoke_run):
    return yaml.safe_load((smoke_run.run / "config.yaml").read_text())


@pytest.fixture
def exported(config):
    return evaluation_config(config)


def test_what_monai_asks_for(exported):
    assert exported["dataset"]["transform"] == "@preprocessing"
    assert exported["evaluator"]["val_handlers"] == "@handlers"
    assert exported["evaluator"]["key_val_metric"] == "@key_metric"
    assert json.loads(json.dumps(exported)) == exported
    assert not [node for node in nodes(exported) if isinstance(node, dict) and node.get("_target_") == "SaveImaged"]


def test_images_are_segmented_as_in_inference(config, exported):
    inference = inference_config(config)
    steps = [step for step in exported["preprocessing"]["transforms"] if step["keys"] != "label"]
    first, second, *others = inference["preprocessing"]["transforms"]
    assert steps == [{**first, "keys": ["image", "label"]}, {**second, "keys": ["image", "label"]}, *others]
    for name in ("inferer", "network_def", "network"):
        assert exported[name] == inference[name]


def rows(file):
    with file.open(newline="") as text:
        return list(csv.reader(text))


@pytest.fixture(scope="module")
def scores(smoke_run, tmp_path_factory):
    """Of the smoke run's test cases: what our command gives, and what stock MONAI gives without this project."""
    ours, theirs = tmp_path_factory.mktemp("ours") / "out", tmp_path_factory.mktemp("theirs") / "out"
    arguments = ["--data", str(smoke_run.data), "--output", str(ours), "--device", "cpu"]
    assert main(["--bundle", str(smoke_run.bundle), *arguments]) == 0
    run_stock_evaluation(smoke_run.bundle, smoke_run.data, theirs)
    return json.loads((ours / "summary.json").read_text()), theirs


def test_the_scores_of_evaluate(scores):
    ours, theirs = scores
    found = dict(row for row in rows(theirs / "metrics.csv"))
    dice = ours["aggregate"]["left atrium cavity"]["dice"]["mean"]
    assert 0 < dice < 1
    # The masks are the same; MONAI counts in single precision.
    assert float(found["val_mean_dice"]) == pytest.approx(dice, abs=1e-6)
    assert float(found["val_surface_dice"]) == pytest.approx(
        ours["aggregate"]["left atrium cavity"]["nsd"]["mean"], abs=1e-5
    )
    # MONAI takes the larger of the two directions' percentiles, ours pools them: near, and in mm.
    hd95 = ours["aggregate"]["left atrium cavity"]["hd95_mm"]["mean"]
    assert 0.7 * hd95 <= float(found["val_hd95_mm"]) <= 2 * hd95


def test_a_row_for_each_case_and_a_column_for_each_class(scores):
    ours, theirs = scores
    header, *cases = rows(theirs / "val_mean_dice_raw.csv")
    assert header == ["filename", "class0", "mean"]
    dice = {case["case_id"]: case["classes"]["left atrium cavity"]["dice"] for case in ours["cases"]}
    assert {name.split("/")[-1].split(".")[0] for name, *_ in cases} == set(dice)
    for name, value, _ in cases:
        assert float(value) == pytest.approx(dice[name.split("/")[-1].split(".")[0]], abs=1e-4)
    summary = rows(theirs / "val_hd95_mm_summary.csv")
    assert summary[0][0] == "class"
    assert math.isfinite(float(summary[1][1]))


@pytest.mark.slow
def test_plain_folders(smoke_run, scores, tmp_path):
    names = [case["case_id"] for case in scores[0]["cases"]]
    for kind in ("images", "labels"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for name in names:
            shutil.copy(smoke_run.data / kind / f"{name}.nii.gz", tmp_path / "data" / kind)
    run_stock_evaluation(smoke_run.bundle, tmp_path / "data", tmp_path / "out")
    assert rows(tmp_path / "out" / "metrics.csv") == rows(scores[1] / "metrics.csv")
    assert np.isfinite(float(rows(tmp_path / "out" / "metrics.csv")[0][1]))

"""What ``train_multitask`` refuses, quickly and in one line; what its methods train; how several are compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.data.dataset import read_dataset
from pipelines.data.splits import cases_of_share
from pipelines.train_multitask import METHODS, build_parser
from pipelines.workflow import BUNDLES
from tests.data_sets import FOLDER, needs_data
from tests.pipelines.tiny_multitask import command_line, make_tiny_vessels, refusal, train
from tests.pipelines.tiny_training import resumption, rows


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return make_tiny_vessels(tmp_path_factory.mktemp("vessels") / "data")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--method", "kendall"], "error: concord train_multitask: argument --method: invalid choice: 'kendall'"),
        (["--seeds", "0", "-1"], "error: --seeds: must be at least 0, got -1"),
        (["--seeds", "1", "2", "--seed", "3"], "error: --seed: and --seeds contradict each other"),
        (["--jobs", "0"], "error: --jobs: must be at least 1, got 0"),
        (["--validation", "2"], "error: --validation: is 2, but the data set lists its own 1"),
        (["--iterations", "0"], "error: --iterations: must be at least 1, got 0"),
        (["--set", "combination_lr=1"], "error: --set: unknown id combination_lr; did you mean combination"),
        (["--seeds", "0", "1", "--set", "no=1"], "error: --set: unknown id no"),
        (["--bundle", "octa_multitsk"], "error: --bundle: no bundle octa_multitsk; did you mean octa_multitask?"),
        (["--resume", "--overwrite"], "error: --resume: and --overwrite contradict each other"),
        (["--data", "/no/such/folder"], "error: /no/such/folder"),
        (["--seeds", "0", "1", "--data", "/no/such/folder"], "error: /no/such/folder"),
    ],
)
def test_what_is_refused_before_anything_is_trained(data, tmp_path, capsys, more, said):
    assert refusal(capsys, [*command_line(data, tmp_path / "run"), *more]).startswith(said)
    assert not [path for path in tmp_path.glob("run/*") if path.name != "cache"]


def test_several_processes_are_refused_in_one_line(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    said = refusal(capsys, command_line(data, tmp_path / "run"))
    assert said == "error: --nproc_per_node: tasks are weighed by one process; start it without torchrun"


def test_the_choices_are_the_bundles_overlays():
    for bundle in ("octa_multitask", "fundus_multitask"):
        overlays = {path.stem for path in (BUNDLES / bundle / "configs").glob("*.yaml")}
        assert {name for stages in METHODS.values() for name in stages} <= overlays
    assert "Research use only" in build_parser().format_help()


def told(run: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((run / "config.yaml").read_text()))


@pytest.mark.parametrize("method", sorted(METHODS))
def test_each_method_trains_and_tells_what_it_weighs(data, tmp_path, method):
    assert train(command_line(data, tmp_path / "run", "--method", method)) == 0
    found = [row for row in rows(tmp_path / "run") if row["loss"]]
    assert len(found) == 6
    distance = [float(row["weight_distance"]) for row in found if "weight_distance" in row]
    assert all(float(row["loss_mask"]) > 0 for row in found)
    if method in ("single", "dropout"):
        assert not distance
        assert told(tmp_path / "run")["dropout"] == (0.2 if method == "dropout" else 0.0)
    elif method == "fixed":
        assert distance == [1.0] * 6
    elif method == "alpha":
        # nothing in the first epoch, then the ratio of its means, then that of the second's
        losses = [[float(row[name]) for row in found] for name in ("loss_mask", "loss_distance")]
        expected = [sum(losses[0][at : at + 2]) / sum(losses[1][at : at + 2]) for at in (0, 2)]
        assert distance == pytest.approx([0, 0, expected[0], expected[0], expected[1], expected[1]], rel=1e-4)
    else:
        assert distance[0] == 0.5
        assert len(set(distance)) > 1
        assert float(found[-1]["sigma_distance"]) == pytest.approx((0.5 / distance[-1]) ** 0.5, rel=1e-4)


def test_a_run_is_concluded_with_scores_a_report_and_a_bundle(data, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(command_line(data, run), conclude=True) == 0
    assert len(json.loads((run / "summary.json").read_text())["cases"]) == 2
    assert (run / "report.html").is_file()
    assert (run / "bundle" / "configs" / "inference.json").is_file()
    assert "holds a finished run" in refusal(capsys, command_line(data, run))
    assert train(resumption(run)) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_a_fifth_is_set_aside_where_the_data_set_lists_no_validation(tmp_path):
    data = make_tiny_vessels(tmp_path / "data", cases=12, labeled=10, validation=0, test=2)
    assert train(command_line(data, tmp_path / "run", settings={"iterations": "2"})) == 0
    splits = json.loads((tmp_path / "run" / "splits.json").read_text())
    assert (len(splits["labeled"]), len(splits["validation"]), len(splits["test"])) == (8, 2, 2)
    assert cases_of_share(read_dataset(data), 0.2, 0) == 2


def test_whole_patients_are_set_aside(tmp_path):
    data = make_tiny_vessels(tmp_path / "data", cases=6, labeled=6, validation=0, test=0)
    content = json.loads((data / "dataset.json").read_text())
    for place, entry in enumerate(content["training"]):
        entry["patient"] = f"p{place // 3}"
    (data / "dataset.json").write_text(json.dumps(content))
    assert cases_of_share(read_dataset(data), 0.2, 0) == 3  # one of two patients, though a fifth would be a case
    for entry in content["training"]:
        entry["patient"] = "p"
    (data / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(Exception, match="no part of the cases can be set aside by whole patients"):
        cases_of_share(read_dataset(data), 0.2, 0)


@needs_data("stare")
def test_real_sets_without_validation_get_some():
    assert cases_of_share(read_dataset(FOLDER / "stare"), 0.2, 0) == 2
    assert cases_of_share(read_dataset(FOLDER / "chase_db1"), 0.2, 0) == 4


def test_several_methods_and_seeds_are_trained_apart_and_compared(data, tmp_path, capsys, monkeypatch):
    """The trainings are made in this process, one after the other, and their scores by hand."""
    from pipelines.runs import method_comparison, trainings

    done: list[str] = []

    def run_here(planned, jobs, *, anew):
        for each in planned:
            done.append(each.folder.name)
            words = [*each.words, "--output", str(each.folder), *(["--overwrite"] if anew else [])]
            if not trainings.is_finished(each.folder) or anew:
                assert train(words) == 0
                scores = {"vessel": {"dice": 0.5 + len(done) / 10, "state": "both_present"}}
                summary = {"cases": [{"case_id": case, "classes": scores} for case in ("a", "b")]}
                (each.folder / "summary.json").write_text(json.dumps(summary))

    monkeypatch.setattr(trainings, "run_all", run_here)
    monkeypatch.setattr(method_comparison, "score_runs", lambda runs, words: None)
    output = tmp_path / "all"
    more = ["--method", "single", "--method", "alpha", "--seeds", "0", "1"]
    # Alpha weighs the second task from the second epoch on.
    arguments = command_line(data, output, *more, settings={"iterations": "2", "epoch_length": "1"})
    assert train(arguments) == 0
    assert done == ["single_0", "alpha_0", "single_1", "alpha_1"]
    content = json.loads((output / "comparison.json").read_text())
    assert content["seeds"] == [0, 1]
    dice = content["methods"]["alpha"]["classes"]["vessel"]["dice"]
    assert dice["per_seed"] == pytest.approx([0.7, 0.9])
    assert {(test["first"], test["second"]) for test in content["tests"]} == {("alpha", "single")}
    said = capsys.readouterr().out
    assert "alpha over single, vessel: dice" in said
    assert "| single | " in said
    assert (output / "task_weights.png").is_file()
    assert told(output / "alpha_1")["seed"] == 1
    assert "holds a finished run (comparison.json)" in refusal(capsys, arguments)
    assert train([*arguments, "--resume"]) == 0
    assert len(done) == 8


def test_a_comparison_wants_test_cases(tmp_path, capsys):
    data = make_tiny_vessels(tmp_path / "data", cases=5, labeled=4, validation=1, test=0)
    said = refusal(capsys, command_line(data, tmp_path / "all", "--seeds", "0", "1"))
    assert said == f"error: {data}: has no labelled test case, on which methods and seeds could be compared"

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.runs.method_comparison import (
    compare_methods,
    comparison,
    pair_lines,
    score_runs,
    table_lines,
)
from transforms.io.input_error import InputError


def make_run(folder: Path, dice: list[float | None], *, log: str = "iteration,weight_mask\n1,1\n", **more) -> Path:
    """A finished run folder, with as much in it as a comparison reads."""
    folder.mkdir(parents=True)
    cases = [
        {"case_id": f"case{index}", "classes": {"vessel": {"dice": value, "state": "both_present", **more}}}
        for index, value in enumerate(dice)
    ]
    (folder / "summary.json").write_text(json.dumps({"cases": cases}))
    (folder / "run.json").write_text(json.dumps({"wall_seconds": 120.0, "peak_host_mib": 700.0, "command": ["x"]}))
    (folder / "metrics.csv").write_text(log)
    return folder


@pytest.fixture
def runs(tmp_path) -> dict[str, list[Path]]:
    weighted = "iteration,weight_mask,weight_distance\n1,1,0\n2,1,3\n"
    return {
        "single": [
            make_run(tmp_path / "single_0", [0.5, 0.6, 0.7, 0.8, 0.9], cldice=0.5),
            make_run(tmp_path / "single_1", [0.7, 0.8, 0.9, 1.0, None], cldice=0.5),
        ],
        "alpha": [
            make_run(tmp_path / "alpha_0", [0.71, 0.82, 0.93, 0.94, 0.9], log=weighted, cldice=0.7),
            make_run(tmp_path / "alpha_1", [0.71, 0.82, 0.93, 0.94, 0.9], log=weighted, cldice=0.7),
        ],
    }


def test_means_and_spread_are_over_the_seeds(runs) -> None:
    content = comparison(runs, [0, 1])
    dice = content["methods"]["single"]["classes"]["vessel"]["dice"]
    assert dice["per_seed"] == pytest.approx([0.7, 0.85])
    assert dice["mean"] == pytest.approx(0.775)
    assert dice["sd"] == pytest.approx(0.15 / 2**0.5)
    assert dice["undefined"] == 1
    assert content["methods"]["alpha"]["classes"]["vessel"]["dice"]["sd"] == pytest.approx(0)
    assert content["methods"]["alpha"]["minutes"] == 2.0
    assert content["cases"] == [f"case{index}" for index in range(5)]


def test_methods_are_paired_by_case_with_the_seeds_averaged(runs) -> None:
    (test,) = [test for test in comparison(runs, [0, 1])["tests"] if test["metric"] == "dice"]
    # single: 0.6, 0.7, 0.8, 0.9, and no fifth case; all four gains are positive: 2 / 2^4
    assert (test["first"], test["second"], test["cases"], test["higher"]) == ("alpha", "single", 4, 4)
    assert test["mean_difference"] == pytest.approx(0.85 - 0.75)
    assert test["p"] == test["p_holm"] == pytest.approx(0.125)


def test_three_methods_are_corrected_for_three_questions(runs, tmp_path) -> None:
    third = {"fixed": [make_run(tmp_path / f"fixed_{seed}", [0.1, 0.1, 0.2, 0.2, 0.3]) for seed in (0, 1)]}
    tests = [test for test in comparison(runs | third, [0, 1])["tests"] if test["metric"] == "dice"]
    assert [(test["first"], test["second"]) for test in tests] == [
        ("alpha", "single"),
        ("fixed", "single"),
        ("fixed", "alpha"),
    ]
    assert [test["p"] for test in tests] == pytest.approx([0.125, 0.125, 0.0625])
    assert [test["p_holm"] for test in tests] == pytest.approx([0.25, 0.25, 0.1875])


def test_the_lines_and_files(runs, tmp_path) -> None:
    lines = compare_methods(runs, [0, 1], tmp_path / "all")
    assert lines[:1] == ["5 test cases, seeds 0, 1: mean ± sd over the seeds"]
    assert "| vessel | dice | cldice | minutes | peak MiB |" in lines
    assert "| single | 0.7750 ± 0.1061 | 0.5000 ± 0.0000 | 2.0 | 700 |" in lines
    assert any(line.startswith("alpha over single, vessel: dice +0.1000 (higher on 4 of 4 cases") for line in lines)
    written = json.loads((tmp_path / "all" / "comparison.json").read_text())
    assert written == comparison(runs, [0, 1])
    assert table_lines(written) == table_lines(comparison(runs, [0, 1]))
    assert pair_lines(written, "cldice")[0].startswith("alpha over single, vessel: cldice +0.2000")
    assert (tmp_path / "all" / "task_weights.png").read_bytes().startswith(b"\x89PNG")


def test_a_finer_measurement_is_read_in_place_of_the_runs_own(runs) -> None:
    folder = runs["single"][0]
    (folder / "scores").mkdir()
    content = json.loads((folder / "summary.json").read_text())
    for case in content["cases"]:
        case["classes"]["vessel"] = {"dice": 0.25, "roc_auc": 0.9}
    (folder / "scores" / "summary.json").write_text(json.dumps(content))
    found = comparison({"single": [folder]}, [0])["methods"]["single"]["classes"]["vessel"]
    assert found["dice"]["mean"] == 0.25
    assert found["roc_auc"] == {
        "mean": pytest.approx(0.9),
        "sd": None,
        "per_seed": [pytest.approx(0.9)],
        "undefined": 0,
    }


def test_what_has_been_measured_is_not_measured_again(runs, monkeypatch) -> None:
    from pipelines.runs import method_comparison

    started = []

    class Done:
        returncode = 0

    def measure(command, **more):
        started.append(command)
        scores = Path(command[command.index("--output") + 1])
        scores.mkdir(exist_ok=True)
        (scores / "summary.json").write_text("{}")
        return Done()

    monkeypatch.setattr(method_comparison.subprocess, "run", measure)
    score_runs(runs["single"], ["--data", "DATA"])
    assert [command[3:7] for command in started] == [["--bundle", str(run), "--data", "DATA"] for run in runs["single"]]
    score_runs(runs["single"], ["--data", "DATA"])
    assert len(started) == 2
    Done.returncode = 2
    with pytest.raises(InputError, match=r"alpha_0.scores.log: the evaluation ended with status 2"):
        score_runs(runs["alpha"], [])


def test_a_method_that_segments_nothing_is_compared_by_what_it_detects(runs, tmp_path) -> None:
    areas = {"kinds": {"vessel": {"auc": 0.9}}, "mean": {"auc": 0.9}}
    folder = make_run(tmp_path / "detector_0", [])
    summary = {"cases": [], "detection": {"slices": areas, "volumes": areas}, "resources": {"seconds_per_volume": 3.0}}
    (folder / "summary.json").write_text(json.dumps(summary))
    methods = {"detector": [folder], "single": runs["single"][:1]}
    content = comparison(methods, [0])
    assert content["methods"]["detector"]["classes"] == {}
    assert content["methods"]["detector"]["slice_auc"]["vessel"]["mean"] == 0.9
    assert len(content["cases"]) == 5
    assert content["tests"] == []
    lines = compare_methods(methods, [0], tmp_path / "all")
    assert "| AUC of volumes | vessel | mean |" in lines
    assert [line for line in lines if line.startswith("| single")][0].startswith("| single | 0.7000 | 0.5000 |")

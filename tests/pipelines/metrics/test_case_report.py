from __future__ import annotations

import csv
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from pipelines.metrics.case_report import METRICS, CaseReport, measure_case, metric_definitions
from transforms.io.input_error import InputError

NAMES = {0: "background", 1: "atrium", 2: "scar"}


def squares(shift: int = 0) -> np.ndarray:
    """A 3 x 3 square of class 1 and, below it, one voxel of class 2."""
    labels = np.zeros((8, 8), np.uint8)
    labels[1:4, 1 + shift : 4 + shift] = 1
    labels[6, 1] = 2
    return labels


def metrics(dice: float = 0.5, state: str = "both_present", **other: float) -> dict:
    return {**dict.fromkeys(METRICS, 1.0), "dice": dice, **other, "state": state}


def test_measures_by_hand():
    # Class 1: squares shifted by one column share 6 of 9 voxels; half of each surface is 0, half one column (2 mm)
    # away. Class 2: the same voxel.
    found = measure_case(squares(1), squares(0), (1.0, 2.0), NAMES, nsd_tolerance_mm=0.5)
    assert list(found) == ["atrium", "scar"]
    # In mm the middle right voxel is nearest to R's surface above or below it (1 mm), the left column 2 mm from R.
    assert found["atrium"] == {
        "dice": pytest.approx(12 / 18),
        "jaccard": pytest.approx(6 / 12),
        "asd_mm": pytest.approx((4 * 0 + 1 * 1 + 3 * 2) / 8),
        "hd95_mm": 2.0,
        "asd_voxel": 0.5,
        "hd95_voxel": 1.0,
        "nsd": 0.5,
        "state": "both_present",
    }
    scores = {"dice": 1, "jaccard": 1, "nsd": 1}
    assert found["scar"] == {**dict.fromkeys(METRICS, 0.0), **scores, "state": "both_present"}


def test_isotropic_voxels():
    found = measure_case(squares(1), squares(0), 0.625, NAMES, nsd_tolerance_mm=0.625)["atrium"]
    assert (found["asd_mm"], found["asd_voxel"], found["hd95_mm"], found["hd95_voxel"]) == (0.3125, 0.5, 0.625, 1.0)
    assert found["nsd"] == 1


def test_empty_classes():
    reference, pred = squares(), squares()
    reference[reference == 2] = 0
    pred[pred == 1] = 0
    found = measure_case(pred, reference, 1.0, {**NAMES, 3: "clot"}, 1.0)
    assert [found[name]["state"] for name in found] == ["missed", "spurious", "both_empty"]
    for name in ("atrium", "scar"):
        assert (found[name]["dice"], found[name]["jaccard"], found[name]["nsd"]) == (0, 0, 0)
        assert math.isnan(found[name]["asd_mm"]) and math.isnan(found[name]["hd95_voxel"])
    assert all(math.isnan(found["clot"][metric]) for metric in METRICS)


@pytest.mark.parametrize(
    ("pred", "spacing", "message"),
    [
        (np.zeros((8, 7), int), 1.0, r"prediction: has shape \(8, 7\), but the reference has \(8, 8\)"),
        (np.full((8, 8), 5), 1.0, r"prediction: holds the labels 5, but only \[0, 1, 2\] are declared"),
        (np.full((8, 8), 0.5), 1.0, r"prediction: holds the labels 0.5, but only"),
        (np.full((8, 8), np.nan), 1.0, r"prediction: holds the labels nan, but only"),
        (squares(), (1.0, -1.0), "spacing: must be finite and above 0"),
        (squares(), (1.0, 1.0, 1.0), "spacing: has 3 numbers, but the masks have 2 axes"),
    ],
)
def test_bad_input_is_refused(pred, spacing, message):
    with pytest.raises(InputError, match=message):
        measure_case(pred, squares(), spacing, NAMES, 1.0)


def three_cases() -> CaseReport:
    report = CaseReport(NAMES, nsd_tolerance_mm=2.0, settings={"seed": 7})
    nothing = metrics(math.nan, "both_empty", **dict.fromkeys(METRICS[1:], math.nan))
    report.add("a", {"atrium": metrics(0.9), "scar": metrics(0.5)}, 1.5)
    report.add("b", {"atrium": metrics(0.8), "scar": nothing}, 2.0)
    report.add("c", {"atrium": metrics(0.0, "missed", asd_mm=math.nan, hd95_mm=math.nan), "scar": metrics(0.6)}, 2.5)
    return report


def test_aggregate_by_hand():
    found = three_cases().aggregate()
    dice = found["atrium"]["dice"]
    assert (dice["mean"], dice["median"], dice["n"], dice["undefined"]) == (pytest.approx(1.7 / 3), 0.8, 3, 0)
    assert dice["sd"] == pytest.approx(np.std([0.9, 0.8, 0.0], ddof=1))
    assert dice["ci95"][0] == 0.0 and dice["ci95"][1] == pytest.approx(0.9)
    assert (found["atrium"]["hd95_mm"]["n"], found["atrium"]["hd95_mm"]["undefined"]) == (2, 1)
    assert (found["scar"]["dice"]["mean"], found["scar"]["dice"]["undefined"]) == (pytest.approx(0.55), 1)
    # Over classes, per case: a (0.9 + 0.5) / 2, b 0.8 (scar is undefined), c (0 + 0.6) / 2.
    assert found["mean"]["dice"]["mean"] == pytest.approx((0.7 + 0.8 + 0.3) / 3)
    assert found["mean"]["dice"]["n"] == 3


def test_states_are_counted():
    assert three_cases().states() == {
        "atrium": {"both_present": 2, "missed": 1, "spurious": 0, "both_empty": 0},
        "scar": {"both_present": 2, "missed": 0, "spurious": 0, "both_empty": 1},
    }


def test_summary_has_the_agreed_form(tmp_path):
    report = three_cases()
    report.write(tmp_path)
    stored = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert stored == report.summary()
    assert {"cases", "aggregate", "definitions", "settings", "split", "n_cases"} <= set(stored)
    assert (stored["split"], stored["n_cases"], stored["settings"]) == ("test", 3, {"seed": 7})
    assert [case["case_id"] for case in stored["cases"]] == ["a", "b", "c"]
    assert set(stored["cases"][0]) == {"case_id", "classes", "seconds"}
    assert list(stored["cases"][0]["classes"]["atrium"]) == [*METRICS, "state"]
    assert stored["cases"][1]["classes"]["scar"]["dice"] is None
    assert set(stored["aggregate"]) == {"atrium", "scar", "mean"}
    assert all(set(stored["aggregate"][name]) == set(METRICS) for name in stored["aggregate"])
    assert set(stored["aggregate"]["mean"]["nsd"]) == {"mean", "sd", "median", "ci95", "n", "undefined"}
    assert {"dice", "asd_mm", "hd95_mm", "nsd", "state", "undefined", "ci95"} <= set(stored["definitions"])
    assert "2 mm" in stored["definitions"]["nsd"]


def test_cases_table(tmp_path):
    three_cases().write(tmp_path)
    with (tmp_path / "cases.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case_id"], row["class"], row["state"]) for row in rows[:3]] == [
        ("a", "atrium", "both_present"),
        ("a", "scar", "both_present"),
        ("b", "atrium", "both_present"),
    ]
    assert (rows[0]["dice"], rows[0]["seconds"]) == ("0.9", "1.5")
    assert rows[3]["dice"] == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cases.csv", "summary.json"]


def test_one_case_and_no_case():
    report = CaseReport(NAMES, 1.0)
    empty = report.summary()
    assert (empty["cases"], empty["n_cases"]) == ([], 0)
    nothing = {"mean": None, "sd": None, "median": None, "ci95": None, "n": 0, "undefined": 0}
    assert empty["aggregate"]["mean"]["dice"] == nothing
    report.add("only", {"atrium": metrics(0.25), "scar": metrics(0.75)}, 0.0)
    assert report.aggregate()["mean"]["dice"] == {**nothing, "mean": 0.5, "median": 0.5, "n": 1}


def test_console_table():
    lines = three_cases().format_table().splitlines()
    assert lines[0].split() == ["mean", "sd", "median", "95", "%", "interval", "n", "undefined"]
    assert lines[1] == "atrium (2 both present, 1 missed)"
    assert lines[2].split()[:4] == ["dice", "0.5667", "0.4933", "0.8000"]
    assert "mean over classes" in lines
    assert len(lines) == 1 + 3 * (1 + len(METRICS))
    assert max(map(len, lines)) <= 80
    single = CaseReport({0: "background", 1: "atrium"}, 1.0)
    single.add("a", {"atrium": metrics()}, 0.0)
    assert len(single.format_table().splitlines()) == 2 + len(METRICS)


def test_a_report_takes_each_case_once_and_whole():
    report = three_cases()
    with pytest.raises(InputError, match="a: is in the report already"):
        report.add("a", {"atrium": metrics(), "scar": metrics()}, 0.0)
    with pytest.raises(InputError, match=r"d: has the classes \['atrium'\], but the report has \['atrium', 'scar'\]"):
        report.add("d", {"atrium": metrics()}, 0.0)
    assert len(report) == 3


@pytest.mark.parametrize("names", [{1: "mean"}, {1: "scar", 2: "scar"}])
def test_class_names_that_would_hide_one_another_are_refused(names):
    with pytest.raises(InputError, match="labels: class names must differ and none may be 'mean'"):
        CaseReport(names, 1.0)


def test_the_same_seed_gives_the_same_report():
    assert three_cases().summary() == three_cases().summary()


def test_definitions_name_every_metric():
    assert set(METRICS) <= set(metric_definitions(1.0))


def test_nothing_heavy_is_imported():
    code = (
        "import sys, pipelines.metrics.case_report as c\n"
        "print(sorted({'torch', 'monai', 'matplotlib', 'scipy', 'edt'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_more_metrics_and_pooled_ones(tmp_path):
    report = CaseReport(NAMES, 1.0, more_metrics=("recall", "betti0_error"), more_definitions={"recall": "found"})
    names = [name for label, name in NAMES.items() if label]
    for number, recall in enumerate((0.5, math.nan)):
        rows = {name: {**metrics(0.9), "recall": recall, "betti0_error": 2.0} for name in names}
        report.add(f"case {number}", rows, 0.1)
    assert "pooled" not in report.summary()
    report.pooled = {names[0]: {"recall": 0.25, "kappa": math.nan}}
    report.write(tmp_path)
    stored = json.loads((tmp_path / "summary.json").read_text())
    assert stored["pooled"] == {names[0]: {"recall": 0.25, "kappa": None}}
    assert stored["definitions"]["recall"] == "found"
    assert stored["cases"][1]["classes"][names[0]]["recall"] is None
    assert stored["aggregate"]["mean"]["recall"] == {**stored["aggregate"]["mean"]["recall"], "mean": 0.5, "n": 1}
    header, *rows = (tmp_path / "cases.csv").read_text().splitlines()
    assert header.split(",")[3:] == [*METRICS, "recall", "betti0_error", "seconds"]
    assert all(len(row.split(",")) == len(header.split(",")) for row in rows)
    lines = report.format_table().splitlines()
    assert len({len(line) for line in lines if line.startswith("  ")}) == 1
    assert any(line.startswith("  betti0_error   2.0000") for line in lines)

import csv
import json

import pytest

from pipelines.consensus.summary import score_rows, summarise_records, write_tables


def record(case, method, dice, raters=(0.5, 0.7)):
    known = None if dice is None else {"1": dice}
    return {
        "case_id": case,
        "method": method,
        "converged": True if method == "staple" else None,
        "iterations": 3 if method == "staple" else None,
        "contested_voxels": 4,
        "dice": known,
        "mean_dice": dice,
        "mean_dice_of_raters": None if dice is None else list(raters),
        "raters": [{"case_id": case, "method": method, "rater": "a", "label": 1, "weight": None, "true_dice": 0.5}],
    }


RECORDS = [
    {method: record("x", method, dice) for method, dice in (("staple", 0.8), ("majority", 0.6))},
    {method: record("y", method, dice, (0.9, 0.1)) for method, dice in (("staple", 0.9), ("majority", 0.8))},
    {method: record("z", method, None) for method in ("staple", "majority")},
]


def test_summary_by_hand():
    summary = summarise_records(RECORDS, ("staple", "majority"))
    assert summary["methods"]["staple"]["cases"] == 3
    assert summary["methods"]["staple"]["mean_dice"]["mean"] == pytest.approx(0.85)
    assert summary["methods"]["majority"]["dice"]["1"]["cases"] == 2
    assert summary["methods"]["majority"]["not_converged"] == 0
    assert summary["raters"]["mean_dice"]["mean"] == pytest.approx(0.55)
    assert summary["raters"]["best_dice"]["mean"] == pytest.approx(0.8)
    assert summary["cases"][1] == {"case_id": "y", "contested_voxels": 4, "dice": {"staple": 0.9, "majority": 0.8}}


def test_tables(tmp_path):
    write_tables(tmp_path, RECORDS, summarise_records(RECORDS, ("staple", "majority")), "a_")
    scores = list(csv.DictReader((tmp_path / "a_scores.csv").read_text().splitlines()))
    assert len(scores) == 6
    assert scores[0]["dice_1"] == "0.8"
    assert scores[-1]["dice_1"] == scores[-1]["mean_dice"] == scores[-1]["iterations"] == ""
    assert len(list(csv.DictReader((tmp_path / "a_raters.csv").read_text().splitlines()))) == 6
    assert json.loads((tmp_path / "a_summary.json").read_text())["cases"][0]["case_id"] == "x"


def test_columns_hold_every_label():
    columns, _ = score_rows(RECORDS)
    assert columns == ("case_id", "method", "mean_dice", "dice_1", "contested_voxels", "iterations")

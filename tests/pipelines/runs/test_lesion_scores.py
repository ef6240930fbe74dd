from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.runs.lesion_scores import lesion_lines, lesion_scores, over_seeds


def measured(folder: Path, dice: dict[str, float | None] | None, auc: dict[str, float | None] | None) -> Path:
    """A folder with as much of a ``summary.json`` as is read."""

    def mean(values: dict[str, float | None]) -> float | None:
        known = [value for value in values.values() if value is not None]
        return sum(known) / len(known) if known else None

    folder.mkdir()
    content: dict[str, Any] = {"cases": [], "resources": {"seconds_per_volume": 2.0, "peak_host_mib": 700.0}}
    if dice is not None:
        classes = {name: {"dice": value, "volumes": 1} for name, value in dice.items()}
        content["volume_dice"] = {"dice": mean(dice), "classes": classes}
    if auc is not None:
        kinds = {name: {"auc": value} for name, value in auc.items()}
        content["detection"] = {level: {"kinds": kinds, "mean": {"auc": mean(auc)}} for level in ("slices", "volumes")}
    (folder / "summary.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def methods(tmp_path: Path) -> dict[str, dict[str, Any]]:
    both = [
        measured(tmp_path / "a", {"srf": 0.5, "ped": None}, {"srf": 1.0, "ped": 0.5}),
        measured(tmp_path / "b", {"srf": 0.7, "ped": 0.2}, {"srf": 0.8, "ped": None}),
    ]
    return {
        "both": lesion_scores(both, [{"parameters": 10}, {"parameters": 10}]),
        "detector": lesion_scores([measured(tmp_path / "c", None, {"srf": 0.9, "ped": 0.9})], [{"parameters": 5000}]),
        "single": lesion_scores([measured(tmp_path / "d", {"srf": 0.4, "ped": 0.3}, None)], [{}]),
    }


def test_means_and_spread_are_over_the_seeds_that_have_a_value(methods: dict[str, dict[str, Any]]) -> None:
    dice = methods["both"]["volume_dice"]
    assert dice["srf"]["mean"] == pytest.approx(0.6)
    assert dice["srf"]["sd"] == pytest.approx(0.2 / 2**0.5)
    assert dice["ped"] == {"mean": 0.2, "sd": None, "per_seed": [None, 0.2]}
    assert dice["mean"]["per_seed"] == pytest.approx([0.5, 0.45])
    assert methods["both"]["slice_auc"]["mean"]["mean"] == pytest.approx((0.75 + 0.8) / 2)
    assert methods["both"]["parameters"]["mean"] == 10
    assert methods["both"]["peak_mib"]["per_seed"] == [700.0, 700.0]
    assert methods["detector"]["volume_dice"] == {}
    assert methods["single"]["slice_auc"] == {}
    assert over_seeds([None])["mean"] is None


def test_the_tables_hold_what_each_method_was_measured_by(methods: dict[str, dict[str, Any]]) -> None:
    lines = lesion_lines(methods)
    assert lines[1] == "| Dice over volumes | srf | ped | mean | parameters | s a volume | peak MiB |"
    assert lines[3] == "| both | 0.6000 ± 0.1414 | 0.2000 | 0.4750 ± 0.0354 | 10 | 2.00 | 700 |"
    assert lines[4] == "| detector | undefined | undefined | undefined | 5,000 | 2.00 | 700 |"
    assert lines[5].endswith("| unknown | 2.00 | 700 |")
    assert "| AUC of slices | srf | ped | mean |" in lines
    assert [line for line in lines if line.startswith("| single")] == [lines[5]]  # it detects nothing
    assert sum(line.startswith("| detector") for line in lines) == 3


def test_runs_of_other_kinds_have_none_of_it(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text(json.dumps({"cases": []}))
    assert lesion_scores([tmp_path], [{"parameters": 1}]) == {}
    assert lesion_lines({"alpha": {"classes": {}}}) == []

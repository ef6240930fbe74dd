from __future__ import annotations

import csv
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Engine

from networks.layers.data_parameters import DataParameters
from pipelines.data.data_parameters_table import ParameterRow, read_data_parameters
from pipelines.handlers.data_parameter_log import DataParameterLog, read_quality


class Labels:
    """What the log asks of a data set: three labels, the last one spoilt."""

    def rows(self, parameters: dict[int, float] | None) -> list[ParameterRow]:
        dice, spoilt = (0.9, 0.5, 0.2), (False, False, True)
        return [
            ParameterRow(
                "case", f"r{index}", "", index, None if parameters is None else parameters[index], 5, dice[index],
                spoilt[index],
            )
            for index in range(3)
        ]  # fmt: skip


def log(folder, mode: str = "out-of-line", every: int = 2) -> DataParameterLog:
    labels: Any = Labels()
    return DataParameterLog(folder, labels, DataParameters(3), mode, every)


def run(log: DataParameterLog, first: int, last: int) -> None:
    """Pass through iterations ``first`` + 1 to ``last``, in which the parameters move apart."""

    def step(engine: Engine, batch: Any) -> None:
        if log.data_parameters is not None:
            with torch.no_grad():
                log.data_parameters.embedding.weight += torch.tensor([[1.0], [0.0], [-1.0]])

    engine = Engine(step)
    log.attach(engine)
    if first:
        engine.load_state_dict({"iteration": first, "max_epochs": 1, "epoch_length": last})
    engine.run([0] * last, max_epochs=1, epoch_length=last)


def test_a_row_per_epoch_and_the_table_at_the_end(tmp_path, capsys):
    run(log(tmp_path), 0, 5)
    rows = read_quality(tmp_path / "data_parameter_quality.csv")
    assert [row["iteration"] for row in rows] == ["2", "4", "5"]
    assert rows[0] == {
        "iteration": "2",
        "mean": "0",
        "sd": "1.63299",  # of 2, 0, -2
        "spearman": "1",
        "pearson": "0.996616",
        "auc": "1",
    }
    table = tmp_path / "data_parameters.csv"
    assert read_data_parameters(table) == {("case", "r0"): 5.0, ("case", "r1"): 0.0, ("case", "r2"): -5.0}
    with table.open() as file:
        assert [row["disturbed"] for row in csv.DictReader(file)] == ["0", "0", "1"]
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        "data_parameters_histogram.png",
        "data_parameters_scatter.png",
    ]
    assert "data parameters: mean 0.000, sd 4.082; spearman 1.000" in capsys.readouterr().out


def test_in_temperature_mode_the_negative_is_told(tmp_path):
    run(log(tmp_path, "temperature"), 0, 2)
    assert read_data_parameters(tmp_path / "data_parameters.csv")["case", "r0"] == -2.0
    assert read_quality(tmp_path / "data_parameter_quality.csv")[-1]["spearman"] == "-1"


def test_a_training_without_parameters_tells_what_is_known_of_the_labels(tmp_path):
    run(log(tmp_path, "none"), 0, 2)
    with (tmp_path / "data_parameters.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["parameter"], row["true_dice"]) for row in rows] == [("", "0.9"), ("", "0.5"), ("", "0.2")]
    assert not (tmp_path / "data_parameter_quality.csv").exists()


def test_a_resumed_run_drops_what_it_computes_again(tmp_path):
    run(log(tmp_path), 0, 6)
    again = log(tmp_path)
    again._open(SimpleNamespace(state=SimpleNamespace(iteration=3)))  # type: ignore[arg-type]
    assert [row["iteration"] for row in read_quality(again.quality_file)] == ["2"]


def test_no_file_has_no_rows(tmp_path):
    assert read_quality(tmp_path / "none.csv") == []


@pytest.mark.parametrize("sign", [1, -1])
def test_quality_is_of_the_present_parameters(tmp_path, sign):
    seen = log(tmp_path)
    assert seen.data_parameters is not None
    with torch.no_grad():
        seen.data_parameters.embedding.weight[:, 0] = sign * torch.tensor([3.0, 2.0, 1.0])
    quality = seen.quality()
    assert quality is not None
    assert (quality.spearman, quality.auc) == (pytest.approx(float(sign)), float(sign == 1))

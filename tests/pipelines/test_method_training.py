from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from pipelines.data.dataset import Case, DataSet
from pipelines.method_training import MethodTraining, validation_cases
from pipelines.training_command import add_training_arguments
from transforms.io.input_error import InputError


def training(**changed: Any) -> MethodTraining:
    settings: dict[str, Any] = {
        "module": "pipelines.train_things",
        "bundle": "octa_multitask",
        "methods": {"plain": (), "bold": ("single", "dropout")},
        "default": "plain",
        "one_process": "things are trained by one process",
        "scores": (),
        "smoke_data": lambda args: args.output,
        "fit": lambda args, data, settings: {},
    }
    return MethodTraining(**(settings | changed))


def parsed(command: MethodTraining, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    add_training_arguments(parser, command.bundle)
    command.add_arguments(parser, method="how things are done")
    return parser.parse_args(["--output", "runs", *words])


def test_a_methods_overlays_go_on_top_of_the_users() -> None:
    command = training()
    args = parsed(command, "--overlay", "quick")
    assert command.stages(args, "bold") == ["common", "train", "quick", "single", "dropout"]
    assert command.stages(args, "plain") == ["common", "train", "quick"]
    assert parsed(command, "--method", "bold", "--method", "plain").method == ["bold", "plain"]


def test_each_seed_of_each_method_is_a_training_of_its_own() -> None:
    command = training()
    args = parsed(command, "--iterations", "7", "--set", "filters=2")
    planned = command._planned(args, Path("data"), ["plain", "bold"], [3, 4])
    assert list(planned) == [("plain", 3), ("bold", 3), ("plain", 4), ("bold", 4)]
    one = planned["bold", 4]
    assert (one.module, one.folder) == ("pipelines.train_things", Path("runs/bold_4"))
    words = " ".join(one.words)
    assert "--iterations 7" in words
    assert "--set filters=2" in words
    assert words.endswith("--method bold --seed 4")
    assert "--validation" not in words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", "-1"], "--seeds: must be at least 0, got -1"),
        (["--seeds", "1", "--seed", "2"], "--seed: and --seeds contradict each other"),
        (["--jobs", "0"], "--jobs: must be at least 1, got 0"),
        (["--validation", "-1"], "--validation: must be at least 0, got -1"),
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str], said: str) -> None:
    command = training()
    with pytest.raises(InputError, match=said):
        command.run(parsed(command, *words))


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    command = training()
    with pytest.raises(InputError, match="things are trained by one process; start it without torchrun"):
        command.run(parsed(command))


def test_a_fifth_of_the_patients_is_set_aside_unless_told() -> None:
    cases = tuple(Case(f"c{n}", (Path(f"c{n}.png"),), Path(f"l{n}.png"), f"p{n // 2}") for n in range(20))
    dataset = DataSet(Path("data"), "things", ("OCT",), {0: "background", 1: "thing"}, cases)
    command = training()
    assert validation_cases(parsed(command), dataset, {}) == 4
    assert validation_cases(parsed(command, "--validation", "2"), dataset, {}) is None
    assert validation_cases(parsed(command), dataset, {"validation_cases": 0}) is None

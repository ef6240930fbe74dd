"""What a training's command line asks for: a new configuration, or that of the run it goes on with."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import yaml

from pipelines.training_command import (
    add_training_arguments,
    check_training_arguments,
    composed,
    data_folder,
    nothing_to_resume,
    stored,
)
from transforms.io.input_error import InputError


def parsed(output: Path, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    add_training_arguments(parser, "left_atrium_dtc")
    return parser.parse_args(["--output", str(output), *words])


def no_phantoms(args):
    raise AssertionError("phantoms were made")


def run_folder(folder: Path, finished: bool = False) -> Path:
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump({"dataset_dir": "heart", "learning_rate": 0.01}))
    if finished:
        (folder / "run.json").write_text('{"finished": true}')
    return folder


def test_a_new_training(tmp_path):
    args = parsed(
        tmp_path / "run", "--data", "heart", "--seed", "4", "--set", "learning_rate=0.5", "--overlay", "quick"
    )
    asked = []

    def fit(data, settings):
        asked.append((data, dict(settings)))
        return {"num_classes": 3, "learning_rate": 7.0}

    files, values = composed(args, ["common", "train", "quick"], {"iterations": 9}, no_phantoms, fit)
    assert [file.name for file in files] == ["common.yaml", "train.yaml", "quick.yaml"]
    assert asked == [(Path("heart"), {"learning_rate": 0.5})]
    assert values == {
        "dataset_dir": "heart",
        "output_dir": str(tmp_path / "run"),
        "seed": 4,
        "resume": False,
        "overwrite": False,
        "iterations": 9,
        "num_classes": 3,
        "learning_rate": 0.5,  # what the user sets counts most
    }


def test_a_taken_folder_is_refused_before_phantoms_are_put_into_it(tmp_path):
    args = parsed(run_folder(tmp_path / "run", finished=True), "--smoke")
    with pytest.raises(InputError, match="--overwrite"):
        composed(args, ["common", "train"], {}, no_phantoms, lambda data, settings: {})


def test_an_unknown_id_is_refused_of_either(tmp_path):
    run = run_folder(tmp_path / "run")
    args = parsed(run, "--resume", "--set", "learning_rat=1")
    with pytest.raises(InputError, match="did you mean learning_rate"):
        stored(args, (), {})
    with pytest.raises(InputError, match="did you mean learning_rate"):
        composed(args, ["common", "train"], {}, no_phantoms, lambda data, settings: {})


def test_the_run_goes_on_with_its_own_configuration(tmp_path):
    run = run_folder(tmp_path / "run")
    args = parsed(run, "--resume", "--set", "learning_rate=0.5")
    files, values = stored(args, (), {"iterations": 9})
    assert files == [run / "config.yaml"]
    own = {"output_dir": str(run), "resume": True, "overwrite": False, "iterations": 9, "learning_rate": 0.5}
    assert values == own
    files, values = stored(parsed(run, "--resume", "--seed", "4", "--data", "d"), ["multi_gpu_train"], {})
    assert [file.name for file in files] == ["config.yaml", "multi_gpu_train.yaml"]
    assert (values["seed"], values["dataset_dir"]) == (4, "d")


def test_where_the_data_are(tmp_path):
    run = run_folder(tmp_path / "run")
    assert data_folder(parsed(run, "--smoke", "--data", "d"), lambda args: args.output / "phantoms") == run / "phantoms"
    assert data_folder(parsed(run, "--resume", "--data", "d"), no_phantoms) == Path("d")
    assert data_folder(parsed(run, "--resume"), no_phantoms) == Path("heart")
    with pytest.raises(InputError, match="--data: is needed"):
        data_folder(parsed(run), no_phantoms)


def test_what_there_is_to_resume(tmp_path, capsys):
    assert not nothing_to_resume(parsed(tmp_path / "new"))
    with pytest.raises(InputError, match="holds no run to resume"):
        nothing_to_resume(parsed(tmp_path / "new", "--resume"))
    assert not nothing_to_resume(parsed(run_folder(tmp_path / "begun"), "--resume"))
    assert capsys.readouterr().out == ""
    assert nothing_to_resume(parsed(run_folder(tmp_path / "done", finished=True), "--resume"))
    assert "holds a finished run: nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--iterations", "0"], "--iterations: must be at least 1, got 0"),
        (["--seed", "-1"], "--seed: must be at least 0, got -1"),
        (["--resume", "--overwrite"], "--resume: and --overwrite contradict each other"),
    ],
)
def test_what_cannot_be_meant(tmp_path, words, reason):
    with pytest.raises(InputError, match=reason):
        check_training_arguments(parsed(tmp_path, *words), {"iterations": 1, "seed": 0})

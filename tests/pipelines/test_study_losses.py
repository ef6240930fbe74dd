"""What ``study_losses`` refuses, quickly and in one line; what a study of seconds leaves; that it goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.data.phantoms import make_cohort
from pipelines.study_losses import DEFAULT_LOSSES, build_parser, main
from tests.pipelines.tiny_training import quiet

SETTINGS = {
    "spacing_mm": "[4, 4]",
    "antialias": "false",
    "patch_size": "[16, 16]",
    "filters": "2",
    "depth": "2",
    "batch_size": "2",
    "epoch_length": "2",
    "validation_every": "4",
    "workers": "0",
    "landscape_points": "3",
    "pictured": "1",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fundus") / "data"
    make_cohort("fundus", folder, 5, labeled=4, unlabeled=0, test=1, shape=(48, 48), seed=0)
    return folder


def command_line(data: Path, output: Path, *more: str) -> list[str]:
    arguments = ["--data", str(data), "--output", str(output), "--device", "cpu", *more]
    return arguments + [part for name, value in SETTINGS.items() for part in ("--set", f"{name}={value}")]


def study(arguments: list[str]) -> int:
    with quiet():
        return main(arguments)


def refusal(capsys, arguments: list[str]) -> str:
    capsys.readouterr()
    assert study(arguments) == 2
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    return "\n".join(line for line in errors.splitlines() if not line.startswith("checking"))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--every", "0"], "error: --every: must be at least 1, got 0"),
        (["--iterations", "0"], "error: --iterations: must be at least 1, got 0"),
        (["--reach", "1"], "error: --reach: must lie between 0 and 1, got 1.0"),
        (["--seeds", "1", "1"], "error: --seeds: must be different numbers from 0, got 1 1"),
        (["--loss", "ce", "--loss", "ce"], "error: --loss: names a loss twice: ce, ce"),
        (["--loss", "focl:gamma=2"], "error: --loss: focl:gamma=2: there is no loss 'focl'; did you mean 'focal'?"),
        (["--loss", "focal:gama=2"], "error: --loss: focal:gama=2: focal: there is no parameter 'gama'"),
        (["--loss", "ce:weights=[1,2,3]"], "error: --loss: ce:weights=[1,2,3]: weights must have 2 numbers"),
        (["--loss", "mse"], "error: --loss: mse: is a loss of distances, not of masks"),
        (["--loss", "2*l1 + ce"], "error: --loss: 2*l1 + ce: is a loss of distances, not of masks"),
        (["--validation", "4"], "error: --validation: is 4; of 4 labelled cases at least 1 must stay"),
        (["--set", "evry=3"], "error: --set: unknown id evry; did you mean every?"),
        (["--overlay", "fast"], "error: optic_disc_losses: has no configs/fast.yaml"),
        (["--resume", "--overwrite"], "error: --resume: and --overwrite contradict each other"),
        (["--data", "/no/such/folder"], "error: /no/such/folder"),
    ],
)
def test_what_is_refused_before_any_training(data, tmp_path, capsys, more, said) -> None:
    assert refusal(capsys, [*command_line(data, tmp_path / "study"), *more]).startswith(said)
    assert not (tmp_path / "study" / "runs").exists()


def test_data_are_needed(tmp_path, capsys) -> None:
    assert refusal(capsys, ["--output", str(tmp_path / "study")]).startswith("error: --data: is needed")


def test_a_study_of_two_losses_and_its_continuation(data, tmp_path, capsys) -> None:
    output = tmp_path / "study"
    words = ["--loss", "ce:weights=[1,3]", "--loss", "dice", "--iterations", "4", "--every", "2"]
    assert study(command_line(data, output, *words)) == 0
    told = capsys.readouterr().out
    assert "training 2 of 2: dice, seed 0" in told
    content = json.loads((output / "study.json").read_text())
    assert [loss["text"] for loss in content["losses"]] == ["ce:weights=[1,3]", "dice"]
    for loss in content["losses"]:
        (run,) = loss["runs"]
        assert run["iterations"] == [0, 2, 4]
        assert run["test_cases"] == 1
        assert set(run["landscape"]) == {"random", "trajectory"}
    first, second = (loss["runs"][0] for loss in content["losses"])
    # The same start, and then another way.
    assert first["iou"][0] == second["iou"][0]
    assert first["brier"][0] == second["brier"][0]
    assert first["brier"][-1] != second["brier"][-1]
    assert (output / "study.html").is_file()
    assert len(list((output / "figures").glob("*.png"))) == 5 + 4
    assert "holds a finished run" in refusal(capsys, command_line(data, output, *words))

    # As if it had been interrupted: what is missing is computed again, the rest is left.
    (output / "study.json").unlink()
    assert "holds an unfinished study" in refusal(capsys, command_line(data, output, *words))
    kept = output / "runs" / "ce_weights_1_3_seed0" / "ending.json"
    before = kept.stat().st_mtime_ns
    last = output / "runs" / "dice_seed0"
    with np.load(last / "landscape_random.npz") as earlier:
        surface = earlier["loss"]
    for name in ("ending.json", "landscape_random.npz"):
        (last / name).unlink()
    assert study([*command_line(data, output, *words), "--resume"]) == 0
    assert kept.stat().st_mtime_ns == before
    with np.load(last / "landscape_random.npz") as again:
        assert np.array_equal(again["loss"], surface)
    assert json.loads((output / "study.json").read_text())["losses"][1]["final"] == content["losses"][1]["final"]


def test_labels_of_rim_and_cup_become_one_structure(data, tmp_path) -> None:
    from PIL import Image

    parted = tmp_path / "parted"
    content = json.loads((data / "dataset.json").read_text())
    content["labels"] = {"0": "background", "1": "rim", "2": "cup"}
    for folder in ("imagesTr", "imagesTs", "images", "labelsTr", "labelsTs", "labels", "fov"):
        for file in (data / folder).glob("*") if (data / folder).is_dir() else ():
            (parted / folder).mkdir(parents=True, exist_ok=True)
            pixels = np.asarray(Image.open(file)).copy()
            if folder.startswith("labels"):
                pixels[pixels.shape[0] // 2 :] *= 2
            Image.fromarray(pixels).save(parted / folder / file.name)
    (parted / "dataset.json").write_text(json.dumps(content))
    words = ["--loss", "ce", "--iterations", "2", "--every", "2"]
    whole, merged = tmp_path / "whole", tmp_path / "merged"
    assert study(command_line(data, whole, *words)) == 0
    assert study(command_line(parted, merged, *words)) == 0
    runs = [json.loads((output / "study.json").read_text())["losses"][0]["runs"][0] for output in (whole, merged)]
    assert runs[0]["iou"] == runs[1]["iou"]
    assert runs[0]["test"] == runs[1]["test"]


def test_the_default_losses_are_told() -> None:
    text = build_parser().format_help()
    assert "Research use only" in text
    assert all(loss in text.replace("\n", "").replace(" ", "") for loss in DEFAULT_LOSSES)

import csv
import json

import numpy as np
import pytest

from pipelines.consensus.methods import METHODS, ConsensusOptions
from pipelines.consensus.one_image import fuse_image
from tests.pipelines.consensus.tiny_raters import load, save, truth, write_raters
from transforms.io.input_error import InputError


def fuse(tmp_path, **changes):
    given = {
        "raters": tuple(write_raters(tmp_path / "in")),
        "output": tmp_path / "out" / "fused.nii.gz",
        "methods": ("staple",),
        "options": ConsensusOptions(),
        "parameters": None,
        "reference": None,
        "labels": None,
        "probabilities": False,
        "overwrite": False,
    }
    return fuse_image(**{**given, **changes})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_one_method_gives_files_beside_each_other(tmp_path, capsys):
    assert fuse(tmp_path, reference=save(tmp_path / "expert.nii.gz", truth())) == 0
    tables = ["fused_raters.csv", "fused_scores.csv", "fused_summary.json"]
    assert names(tmp_path / "out") == sorted(["fused.nii.gz", "fused_uncertainty.nii.gz", *tables])
    summary = json.loads((tmp_path / "out" / "fused_summary.json").read_text())
    dice = summary["methods"]["staple"]["mean_dice"]["mean"]
    fused = load(tmp_path / "out" / "fused.nii.gz")
    expected = [2 * np.sum((fused == k) & (truth() == k)) / np.sum([fused == k, truth() == k]) for k in (1, 2)]
    assert dice == pytest.approx(np.mean(expected))
    assert f"Dice {dice:.4f} against the reference" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "out" / "fused_raters.csv").read_text().splitlines()))
    assert len(rows) == 8
    assert 0 < float(rows[0]["sensitivity"]) <= 1


def test_several_methods_give_a_folder(tmp_path):
    assert fuse(tmp_path, methods=METHODS, parameters=("1", "0", "-1", "-2"), output=tmp_path / "out") == 0
    labels = [f"{method}.nii.gz" for method in METHODS]
    assert set(labels) < set(names(tmp_path / "out"))
    assert "average_probability_1.nii.gz" in names(tmp_path / "out")
    with pytest.raises(InputError, match="finished run"):
        fuse(tmp_path, methods=METHODS, parameters=("1", "0", "-1", "-2"), output=tmp_path / "out")


def test_output_is_not_replaced_unless_told(tmp_path):
    fuse(tmp_path)
    with pytest.raises(InputError, match="is there already"):
        fuse(tmp_path)
    assert fuse(tmp_path, overwrite=True) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output": "folder"}, "is a folder"),
        ({"output": "fused.txt"}, "must end in"),
        ({"output": "in/c0_0.nii.gz", "overwrite": True}, "is a rater itself"),
        ({"labels": (0, 1)}, "not declared: 2"),
        ({"parameters": ("1", "2")}, "2 numbers for 4 raters"),
    ],
)
def test_refusals(tmp_path, changes, message):
    (tmp_path / "folder").mkdir()
    if "output" in changes:
        changes = {**changes, "output": tmp_path / changes["output"]}
    with pytest.raises(InputError, match=message):
        fuse(tmp_path, **changes)
    assert not (tmp_path / "out").exists() or not names(tmp_path / "out")


def test_a_rater_named_twice(tmp_path):
    rater = write_raters(tmp_path / "in")[0]
    with pytest.raises(InputError, match="named twice"):
        fuse(tmp_path, raters=(rater, rater))

"""The build_consensus command: what it writes for an image and a data set, resumes, and refuses in one line."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from pipelines.build_consensus import main
from pipelines.data.dataset import read_dataset
from tests.pipelines.consensus.tiny_raters import AFFINE, load, save, truth, write_data_set, write_raters
from transforms.staple import Staple


@pytest.fixture
def source(tmp_path):
    return write_data_set(tmp_path / "source")


def test_one_image(tmp_path, capsys):
    raters = write_raters(tmp_path)
    output = tmp_path / "fused.nii.gz"
    given = ["--method", "staple", "--raters", *map(str, raters), "--output", str(output)]
    assert main(given) == 0
    np.testing.assert_array_equal(load(output), Staple()(np.stack([load(path) for path in raters]))[0])
    assert "staple of 4 raters, labels 0, 1, 2" in capsys.readouterr().out
    assert main(given) == 2
    assert capsys.readouterr().err == f"error: {output}: is there already; choose another name or pass --overwrite\n"


def test_a_data_set_by_every_method(source, tmp_path, capsys):
    output = tmp_path / "out"
    given = ["--compare", "--data", str(source), "--parameters", str(source), "--output", str(output)]
    assert main(given) == 0
    for method in ("staple", "data-parameters", "hybrid", "majority", "average"):
        assert len(read_dataset(output / method).training) == 2
    assert (output / "average" / "probabilities" / "c1_2.nii.gz").is_file()
    scores = list(csv.DictReader((output / "scores.csv").read_text().splitlines()))
    assert len(scores) == 10
    summary = json.loads((output / "summary.json").read_text())
    told = capsys.readouterr().out
    for method, found in summary["methods"].items():
        mean = np.mean([float(row["mean_dice"]) for row in scores if row["method"] == method])
        assert found["mean_dice"]["mean"] == pytest.approx(mean)
        assert f"{method}: 2 cases, Dice {mean:.4f} against the expert" in told
    assert main(given) == 2
    assert "holds a finished run" in capsys.readouterr().err
    assert main([*given, "--overwrite"]) == 0


def test_stopped_work_is_taken_up(source, tmp_path, capsys):
    output = tmp_path / "out"
    bad = source / "raters" / "c1_3.nii.gz"
    good = bad.read_bytes()
    save(bad, truth() + 7)
    given = ["--method", "majority", "--data", str(source), "--output", str(output)]
    assert main(given) == 2
    assert capsys.readouterr().err.count("not declared: 7, 8, 9") == 1
    assert not (output / "dataset.json").exists()
    done = (output / "records" / "c0.json").stat().st_mtime_ns
    bad.write_bytes(good)
    assert main(given) == 0
    assert (output / "records" / "c0.json").stat().st_mtime_ns == done
    assert len(read_dataset(output).training) == 2


def test_two_jobs_give_what_one_gives(source, tmp_path):
    for jobs in ("1", "2"):
        given = ["--method", "staple", "--data", str(source), "--output", str(tmp_path / jobs), "--jobs", jobs]
        assert main(given) == 0
    for name in ("scores.csv", "raters.csv", "summary.json", "consensus_labels/c1.nii.gz", "uncertainty/c0.nii.gz"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_the_hybrid_without_strength_is_restricted_staple_with_the_same_prior(source, tmp_path):
    data = ["--data", str(source), "--prior", "0.6", "0.3", "0.1"]
    hybrid = ["--method", "hybrid", "--strength", "0", "--parameters", str(source / "data_parameters.csv")]
    assert main([*data, *hybrid, "--output", str(tmp_path / "h")]) == 0
    assert main([*data, "--method", "staple", "--restricted", "--output", str(tmp_path / "s")]) == 0
    for name in ("consensus_labels/c0.nii.gz", "uncertainty/c1.nii.gz"):
        assert (tmp_path / "h" / name).read_bytes() == (tmp_path / "s" / name).read_bytes()


def refused(tmp_path, source):
    raters = [str(path) for path in write_raters(tmp_path)]
    other = AFFINE.copy()
    other[2, 3] = 4.0
    moved = str(save(tmp_path / "moved.nii.gz", truth(), other))
    out, data = ["--output", str(tmp_path / "x.nii.gz")], ["--data", str(source), "--output", str(tmp_path / "x")]
    staple, hybrid = ["--method", "staple"], ["--method", "hybrid"]
    image = [*staple, "--raters", *raters, *out]
    return {
        "no method": (["--raters", *raters, *out], "--method: name a method"),
        "method and compare": ([*image, "--compare"], "--method: name a method"),
        "no parameters": ([*hybrid, "--raters", *raters, *out], "--parameters: must be given for method hybrid"),
        "moved": ([*staple, "--raters", *raters, moved, *out], f"{moved}: has its origin 4 mm away"),
        "absent": ([*staple, "--raters", "absent.nii", *out], "absent.nii: does not exist"),
        "strength": ([*image, "--strength", "-1"], "--strength: must be 0 or more"),
        "iterations": ([*image, "--iterations", "0"], "--iterations: must be 1 or more"),
        "jobs": ([*data, *staple, "--jobs", "0"], "--jobs: must be 1 or more"),
        "prior": ([*image, "--prior", "0", "0"], "--prior: must be one number of 0 or more"),
        "prior of the data set": ([*data, *staple, "--prior", "0.5", "0.5"], "--prior: must be 3 numbers"),
        "labels": ([*image, "--labels", "1"], "c0_0.nii.gz: holds labels that are not declared: 2"),
        "reference with data": ([*data, *staple, "--reference", raters[0]], "--reference: applies to --raters"),
        "numbers with data": ([*data, *hybrid, "--parameters", "1", "2"], "--parameters: must be one run or table"),
        "same folder": ([*staple, "--data", str(source), "--output", str(source)], "is the data set itself"),
    }


CASES = (
    *("no method", "method and compare", "no parameters", "moved", "absent", "strength", "iterations", "jobs", "prior"),
    *("prior of the data set", "labels", "reference with data", "numbers with data", "same folder"),
)


@pytest.mark.parametrize("case", CASES)
def test_refusals_are_one_line(source, tmp_path, capsys, case):
    arguments, message = refused(tmp_path, source)[case]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "x").exists()
    assert not (tmp_path / "x.nii.gz").exists()


def test_raters_of_another_grid_are_told_before_any_work(source, tmp_path, capsys):
    save(source / "raters" / "c1_2.nii.gz", truth()[:-1])
    assert main(["--method", "staple", "--data", str(source), "--output", str(tmp_path / "out")]) == 2
    assert "c1_2.nii.gz: has shape 11x11x10, but the first rater has 12x11x10" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_nothing_heavy_is_imported():
    code = "import sys, pipelines.build_consensus, pipelines.consensus.case_consensus; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

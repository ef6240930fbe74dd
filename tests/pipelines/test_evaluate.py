"""The evaluate command: what it writes, that it warns of cases that were trained on, and what it refuses."""

from __future__ import annotations

import csv
import json
import re
import shutil

import nibabel as nib
import numpy as np
import pytest

from pipelines.data.dataset import read_dataset
from pipelines.evaluate import build_parser, main
from pipelines.export_bundle import write_zip
from pipelines.metrics.case_scores import SCORE_GROUPS
from pipelines.trust.fingerprint import bundle_sha256
from tests.pipelines.prediction.slice_runs import SHAPE, make_sources
from transforms.io.volume import read_volume


@pytest.fixture
def quick_pictures(monkeypatch):
    monkeypatch.setattr("pipelines.figures.overlays.case_png", lambda image, **parts: b"\x89PNG")


def evaluate(smoke_run, output, *options, data=None):
    source = [] if {"--checkpoint", "--predictions", "--bundle"} & set(options) else ["--bundle", str(smoke_run.run)]
    data = data or smoke_run.data
    return main([*source, "--data", str(data), "--output", str(output), "--device", "cpu", *map(str, options)])


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


@pytest.fixture(scope="module")
def evaluated(smoke_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated") / "out"
    assert evaluate(smoke_run, folder, "--save-masks") == 0
    return folder


def test_what_is_written(smoke_run, evaluated):
    found, trained = summary(evaluated), summary(smoke_run.run)
    assert found["aggregate"] == trained["aggregate"]
    assert found["split"] == "test"
    assert found["settings"]["model"] == "run"
    assert found["settings"]["notes"] == []
    rows = list(csv.DictReader((evaluated / "cases.csv").read_text().splitlines()))
    assert [row["case_id"] for row in rows] == ["atrium_0004", "atrium_0005"]
    page = (evaluated / "report.html").read_text()
    assert "atrium_0004" in page
    assert "not for diagnosis" in page
    assert sorted(path.name.split("_")[0] for path in (evaluated / "pictures").iterdir()) == ["best", "median"]
    for case in read_dataset(smoke_run.data).test:
        mask, image = nib.load(evaluated / "masks" / f"{case.case_id}.nii.gz"), nib.load(case.images[0])
        assert mask.shape == image.shape
        np.testing.assert_array_equal(mask.affine, image.affine)
    assert not list(evaluated.rglob(".part-*"))


def test_masks_are_measured_as_the_network_was(smoke_run, evaluated, tmp_path, quick_pictures):
    masks = shutil.copytree(evaluated / "masks", tmp_path / "masks")
    (masks / "atrium_0004.nii.gz").rename(masks / "atrium_0004_seg.nii.gz")
    assert evaluate(smoke_run, tmp_path / "out", "--predictions", masks) == 0
    assert summary(tmp_path / "out")["aggregate"] == summary(evaluated)["aggregate"]
    assert "stored masks" in (tmp_path / "out" / "report.html").read_text()


def test_more_scores(smoke_run, evaluated, tmp_path, quick_pictures, capsys):
    """From probabilities and from masks; what every report holds stays the same."""
    options = ("--scores", "pixels", "distances", "topology", "--tolerance", "1.5")
    assert evaluate(smoke_run, tmp_path / "net", *options[:4], "ranking", "calibration", "--tolerance", "1.5") == 0
    assert evaluate(smoke_run, tmp_path / "masks", *options, "--predictions", evaluated / "masks") == 0
    net, masks, before = (summary(folder) for folder in (tmp_path / "net", tmp_path / "masks", evaluated))
    assert net["settings"]["scores"] == ["pixels", "distances", "topology", "ranking", "calibration"]
    assert net["settings"]["tolerance_px"] == 1.5
    assert "1.5 pixels" in net["definitions"]["tolerance"]
    for name, metrics in net["aggregate"].items():
        assert {key: metrics[key] for key in before["aggregate"][name]} == before["aggregate"][name]
        assert {key: metrics[key] for key in masks["aggregate"][name]} == masks["aggregate"][name]
        assert 0 <= metrics["roc_auc"]["mean"] <= 1
        assert 0 <= metrics["ece"]["mean"] <= 1
    rows = list(csv.DictReader((tmp_path / "net" / "cases.csv").read_text().splitlines()))
    assert float(rows[0]["recall"]) == net["cases"][0]["classes"]["left atrium cavity"]["recall"]
    page = (tmp_path / "net" / "report.html").read_text()
    assert "roc auc" in page
    assert "kappa" in page
    assert "betti0_error" in capsys.readouterr().out


def test_the_help_names_every_group():
    told = " ".join(build_parser().format_help().split())
    assert all(f"{name} (" in told for name in SCORE_GROUPS)


def test_a_missing_mask_is_named(smoke_run, evaluated, tmp_path, capsys):
    masks = shutil.copytree(evaluated / "masks", tmp_path / "masks")
    (masks / "atrium_0005.nii.gz").unlink()
    assert evaluate(smoke_run, tmp_path / "out", "--predictions", masks) == 2
    assert re.search(r"^error: .*masks: holds no mask for case atrium_0005", capsys.readouterr().err)
    assert not (tmp_path / "out" / "summary.json").exists()


def test_a_bundle_without_its_run(smoke_run, evaluated, tmp_path, quick_pictures, capsys):
    bundle = shutil.copytree(smoke_run.bundle, tmp_path / "alone")
    assert evaluate(smoke_run, tmp_path / "out", "--bundle", bundle) == 0
    assert "warning: The bundle does not say which cases it was trained on" in capsys.readouterr().out
    found, expected = summary(tmp_path / "out"), summary(evaluated)
    assert found["settings"]["model"] == "alone"
    dice = [content["aggregate"]["mean"]["dice"]["mean"] for content in (found, expected)]
    assert dice[0] == pytest.approx(dice[1], abs=1e-3)
    assert "does not say which cases" in (tmp_path / "out" / "report.html").read_text()


def test_cases_of_the_training_are_told(smoke_run, tmp_path, quick_pictures, capsys):
    checkpoint = smoke_run.run / "checkpoints" / "last.pt"
    options = ["--checkpoint", checkpoint, "--split", "training", "--head", "level_set", "--stride", "16", "18", "8"]
    assert evaluate(smoke_run, tmp_path / "out", *options) == 0
    told = "2 of the 2 evaluated cases had a part in the training (2 with its label)."
    assert f"warning: {told}" in capsys.readouterr().out
    settings = summary(tmp_path / "out")["settings"]
    assert settings["notes"][0].startswith(told)
    assert settings["head"] == "level_set"
    assert settings["stride"] == [16, 18, 8]
    assert told in (tmp_path / "out" / "report.html").read_text()


def test_finished_evaluations_are_kept(smoke_run, evaluated, tmp_path, quick_pictures, capsys):
    out = shutil.copytree(evaluated, tmp_path / "out")
    before = (out / "summary.json").read_bytes()
    assert evaluate(smoke_run, out) == 2
    assert "holds a finished run" in capsys.readouterr().err
    assert evaluate(smoke_run, out, "--overwrite", data=tmp_path / "nowhere") == 2
    assert (out / "summary.json").read_bytes() == before
    assert (out / "masks").is_dir()
    (out / "pictures" / "worst_of_old.png").touch()
    assert evaluate(smoke_run, out, "--overwrite") == 0
    assert not (out / "masks").exists()
    assert not (out / "pictures" / "worst_of_old.png").exists()


REFUSED = {
    "no bundle": (["--bundle", "{tmp}/none"], "none: does not exist"),
    "file as bundle": (["--bundle", "{run}/config.yaml"], "is a file; --bundle takes a folder or a zip file"),
    "folder as checkpoint": (["--checkpoint", "{run}"], "is a folder; --checkpoint takes a file"),
    "no validation cases": (["--split", "validation"], "has no labelled validation case"),
    "output is the run": (["--output", "{run}"], "is a run folder"),
    "masks in the output": (["--predictions", "{tmp}/out/masks"], "is or holds .*masks, which is read"),
    "weights without a network": (["--predictions", "{tmp}", "--weights", "1"], "--weights: is for networks"),
    "weights for one": (["--weights", "1", "2"], "--weights: needs one for the source, got 2 weights"),
    "option without a network": (["--predictions", "{tmp}", "--head", "mask"], "--head: is for networks"),
    "overlap": (["--overlap", "1.5"], "--overlap: must be from 0 to below 1"),
    "stride": (["--stride", "8", "8"], "--stride: needs 3 values"),
    "stride beyond": (["--stride", "8", "8", "17"], "--stride: must be from 1 to the window's 16 voxels, got 17"),
    "scores": (["--scores", "pixel"], "--scores: knows overlap, pixels, .*, not pixel"),
    "tolerance": (["--scores", "pixels", "--tolerance", "-1"], "--tolerance: must be a finite number"),
    "tolerance of nothing": (["--tolerance", "1"], "--tolerance: is for the scores in pixels"),
    "scores of masks": (["--predictions", "{tmp}", "--scores", "ranking"], "--scores: ranking need.*--predictions"),
    "device": (["--device", "tpu"], "--device: must be auto"),
    "no split": (["--split", "holdout"], "argument --split: invalid choice"),
    "no data": (["--data", "{tmp}/none"], "none: does not exist"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(smoke_run, tmp_path, capsys, options, message):
    filled = [option.format(tmp=tmp_path, run=smoke_run.run) for option in options]
    assert evaluate(smoke_run, tmp_path / "out", *filled) == 2
    error = capsys.readouterr().err
    assert re.search(f"^error: .*{message}", error)
    assert len(error.splitlines()) == 1
    assert "Traceback" not in error


def other_cohort(folder, smoke_run, change):
    """The smoke run's data set with another description."""
    shutil.copytree(smoke_run.data, folder)
    content = json.loads((folder / "dataset.json").read_text())
    change(content)
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def test_another_number_of_classes(smoke_run, tmp_path, capsys):
    data = other_cohort(tmp_path / "data", smoke_run, lambda content: content["labels"].update({"2": "wall"}))
    assert evaluate(smoke_run, tmp_path / "out", data=data) == 2
    assert "has 2 classes, but run was trained for 1" in capsys.readouterr().err


def test_other_names_of_classes(smoke_run, tmp_path, quick_pictures, capsys):
    data = other_cohort(tmp_path / "data", smoke_run, lambda content: content["labels"].update({"1": "LA"}))
    assert evaluate(smoke_run, tmp_path / "out", data=data) == 0
    assert "names its classes LA, the network left atrium cavity" in capsys.readouterr().out
    assert list(summary(tmp_path / "out")["aggregate"]) == ["LA", "mean"]


def test_a_damaged_case_is_refused_before_any_is_segmented(smoke_run, tmp_path, capsys):
    data = shutil.copytree(smoke_run.data, tmp_path / "data")
    image = data / "images" / "atrium_0005.nii.gz"
    image.write_bytes(image.read_bytes()[:-500])
    assert evaluate(smoke_run, tmp_path / "out", data=data) == 2
    assert "atrium_0005.nii.gz" in capsys.readouterr().err
    assert not (tmp_path / "out" / "summary.json").exists()


@pytest.mark.usefixtures("quick_pictures")
def test_a_bundle_that_does_harm_is_refused_until_it_is_trusted(smoke_run, tmp_path, capsys):
    bundle = tmp_path / "bundle"
    shutil.copytree(smoke_run.bundle, bundle)
    file = bundle / "configs" / "inference.json"
    file.write_text(file.read_text().replace('"sw_batch_size": 2', '"sw_batch_size": "$len(vars(torch)) * 0 + 2"'))
    write_zip(bundle, tmp_path / "bundle.zip")
    arguments = ["--data", str(smoke_run.data), "--output", str(tmp_path / "out"), "--device", "cpu"]
    arguments += ["--bundle", str(tmp_path / "bundle.zip")]
    assert main(arguments) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"error: {tmp_path / 'bundle.zip'}")
    assert first.endswith("inference.json: inferer::sw_batch_size: uses the name 'vars', which is not allowed")
    digest = bundle_sha256(bundle)
    assert second.startswith("error: --trust: if you know who made")
    assert second.endswith(f"pass --trust {digest}")
    assert main([*arguments, "--trust", digest]) == 0
    assert (tmp_path / "out" / "summary.json").is_file()


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    return make_sources(tmp_path_factory.mktemp("slices"))


def evaluate_slices(folder, output, names, *options):
    sources = [str(folder / name) for name in names]
    rest = ["--data", str(folder / "data"), "--output", str(output), "--device", "cpu", *options]
    return main(["--bundle", *sources, *rest])


def test_fusion(slices, tmp_path, quick_pictures, capsys):
    """Several sources, a checkpoint among them: masks, detections with their truth, scores of both, and the frames."""
    names = ["both", "masks/checkpoints/last.pt", "detector"]
    options = ("--weights", "1", "1", "2", "--animate", "1", "--save-masks")
    assert evaluate_slices(slices, tmp_path / "out", names, *options) == 0
    found = summary(tmp_path / "out")
    assert [(part["name"], part["weight"]) for part in found["settings"]["ensemble"]] == [
        ("both", 0.25),
        ("masks", 0.25),
        ("detector", 0.5),
    ]
    labels = [read_volume(case.label).array for case in read_dataset(slices / "data").test]
    oedema = found["detection"]["slices"]["kinds"]["retinal oedema"]
    assert oedema["positives"] == sum(int((label == 1).any((0, 1)).sum()) for label in labels)
    assert oedema["positives"] + oedema["negatives"] == 2 * SHAPE[2]
    assert found["volume_dice"]["classes"]["retinal oedema"]["volumes"] == 2
    assert found["resources"]["seconds_per_volume"] > 0
    assert found["resources"]["peak_host_mib"] > 100
    told = json.loads((tmp_path / "out" / "detections.json").read_text())["cases"][0]["slices"]["retinal oedema"]
    assert told["truth"] == (labels[0] == 1).any((0, 1)).tolist()
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count('<figure class="case slices">') == 1
    assert page.count("data:image/jpeg") == SHAPE[2]
    assert "<h2>Detection</h2>" in page
    assert "peak memory" in page
    assert "both + masks + detector" in page
    assert sorted(path.name for path in (tmp_path / "out" / "masks").iterdir()) == [
        "oct_0002.nii.gz",
        "oct_0003.nii.gz",
    ]


def test_detections_alone(slices, tmp_path, capsys):
    assert evaluate_slices(slices, tmp_path / "out", ["detector"]) == 0
    found = summary(tmp_path / "out")
    assert found["cases"] == []
    assert found["detection"]["volumes"]["n"] == 2
    assert (tmp_path / "out" / "detections.csv").is_file()
    assert "<h2>Detection</h2>" in (tmp_path / "out" / "report.html").read_text()
    assert evaluate_slices(slices, tmp_path / "masks", ["detector"], "--save-masks") == 2
    assert "error: --save-masks: is for masks" in capsys.readouterr().err
    assert evaluate_slices(slices, tmp_path / "masks", ["both"], "--animate", "-1") == 2
    assert "error: --animate: must not be negative, got -1" in capsys.readouterr().err

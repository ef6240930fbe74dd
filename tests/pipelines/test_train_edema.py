"""What ``train_edema`` refuses, quickly and in one line; what it finds in the data; what its methods train."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipelines.train_edema import METHODS, _fit, build_parser
from pipelines.workflow import BUNDLES
from tests.data_sets import FOLDER, needs_data
from tests.pipelines.tiny_edema import BUNDLE, command_line, make_tiny_oct, make_tiny_slices, refusal, train
from tests.pipelines.tiny_training import rows
from transforms.io.input_error import InputError
from transforms.io.volume import read_volume

SHORT = {"iterations": "2"}
# A ResNet at its published 224 pixels would take minutes.
DETECTOR = SHORT | {"network_def::side": "32"}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return make_tiny_oct(tmp_path_factory.mktemp("oct") / "data")


@pytest.fixture(scope="module")
def slices(tmp_path_factory) -> Path:
    return make_tiny_slices(tmp_path_factory.mktemp("slices") / "data")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--method", "unet"], "error: concord train_edema: argument --method: invalid choice: 'unet'"),
        (["--seeds", "0", "-1"], "error: --seeds: must be at least 0, got -1"),
        (["--jobs", "0"], "error: --jobs: must be at least 1, got 0"),
        (["--validation", "2"], "error: --validation: is 2, but the data set lists its own 1"),
        (["--set", "neighbors=1"], "error: --set: unknown id neighbors; did you mean neighbours?"),
        (["--seeds", "0", "1", "--set", "no=1"], "error: --set: unknown id no"),
        (["--resume", "--overwrite"], "error: --resume: and --overwrite contradict each other"),
        (["--data", "/no/such/folder"], "error: /no/such/folder"),
        (
            ["--set", "depth=4", "--set", "slice_size=[24, 8]"],
            "error: {data}: has slices of 24x8 (slice_size); both sides must have 16",
        ),
        (["--set", "num_classes=many"], "error: --set: num_classes must be a whole number, got 'many'"),
        (["--set", "depth=deep"], "error: --set: depth must be a whole number from 1 on, got 'deep'"),
        (["--set", "head=mean"], "error: --set: head must be slices, got 'mean'"),
        (["--set", "segments=false"], "error: --set: segments=false leaves a mask that nothing teaches; take --method"),
        (["--set", "intensity_std=0"], "error: --set: intensity_std must be positive, got 0"),
        (
            ["--set", "class_weights=[1, 2]"],
            "error: --set: class_weights must be 4 numbers, the background's first, got",
        ),
        (
            ["--set", "class_weights=[1, .nan, 1, 1]"],
            "error: --set: class_weights must be a number, got [1, .nan, 1, 1]",
        ),
        (["--set", "epoch_length=0"], "error: --set: epoch_length must be at least 1, got 0"),
        # Of the network, the losses and the trainer, which are made before the run folder.
        (["--set", "filters=0"], "error: "),
        (["--set", "exits_used=9"], "error: "),
        (["--set", "supervision=both"], "error: "),
        (["--set", "supervision=exits", "--set", "exit_weights=[1, 1, 1]"], "error: "),
        (["--set", "class_weights=[-1, 1, 1, 1]"], "error: "),
        (["--set", "mask_weight=0", "--set", "presence_weight=0"], "error: "),
        (["--set", "balance=2"], "error: "),
        (["--set", "slice_size=64"], "error: --set: slice_size must be [ROWS,COLUMNS] or null, got 64"),
        (
            ["--set", "slice_size=[64, wide]"],
            "error: --set: slice_size must be [ROWS,COLUMNS] or null, got [64, 'wide']",
        ),
        (["--set", "slice_axis=5"], "error: --set: slice_axis must be 0, 1 or 2, or -1 for the last, got 5"),
        (["--set", "slice_axis=last"], "error: --set: slice_axis must be 0, 1 or 2, or -1 for the last, got 'last'"),
        (["--set", "axcodes=XYZ"], "error: --set: axcodes must be a letter each of L or R, P or A, I or S, as PLS"),
        (["--set", "axcodes=LRS"], "error: --set: axcodes must be a letter each of L or R, P or A, I or S, as PLS"),
    ],
)
def test_what_is_refused_before_anything_is_trained(data, tmp_path, capsys, more, said):
    found = refusal(capsys, [*command_line(data, tmp_path / "run"), *more])
    assert found.startswith(said.format(data=data))
    assert not [path for path in tmp_path.glob("run/*") if path.name != "cache"]


def test_several_processes_are_refused_in_one_line(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    said = refusal(capsys, command_line(data, tmp_path / "run"))
    assert said == "error: --nproc_per_node: the slices of a batch are drawn by one process; start it without torchrun"


def test_the_choices_are_the_bundles_overlays():
    overlays = {path.stem for path in (BUNDLES / BUNDLE / "configs").glob("*.yaml")}
    assert {name for stages in METHODS.values() for name in stages} <= overlays
    assert "Research use only" in build_parser().format_help()


def fitted(data: Path, *more: str, **settings: Any) -> dict[str, Any]:
    return _fit(build_parser().parse_args(["--output", "run", *more]), data, settings)


def test_the_network_is_fitted_to_volumes(data):
    found = fitted(data)
    entries = json.loads((data / "dataset.json").read_text())["training"]
    values = np.stack([read_volume(data / entry["image"]).array for entry in entries]).astype(float)
    assert found["intensity_mean"] == pytest.approx(values.mean(), rel=1e-6)  # of the training cases alone
    assert found["intensity_std"] == pytest.approx(values.std(), rel=1e-6)
    told = {name: found[name] for name in ("spatial_dims", "num_classes", "in_channels", "validation_cases")}
    assert told == {"spatial_dims": 3, "num_classes": 3, "in_channels": 1, "validation_cases": 0}
    assert "intensity_mean" not in fitted(data, intensity_mean=0.0, intensity_std=1.0)
    assert found["axcodes"] == "PLS"  # rows, columns, slices of an upright eye


def stored_as(order: tuple[int, int, int], codes: str) -> Any:
    """Store the first training case with its axes in another order."""

    def change(folder: Path, content: dict[str, Any]) -> None:
        import nibabel

        for part in ("image", "label"):
            file = folder / content["training"][0][part]
            image: Any = nibabel.load(file)
            affine = image.affine[:, [*order, 3]]
            assert "".join(nibabel.aff2axcodes(affine)) == codes
            nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj).transpose(order), affine), file)

    return change


def test_volumes_are_brought_to_the_axes_of_most(data, tmp_path):
    swapped = fitted(rewritten(data, tmp_path / "swapped", stored_as((1, 0, 2), "LPS")))
    assert swapped["axcodes"] == "PLS"  # and no slices of another size
    other = rewritten(data, tmp_path / "other", stored_as((2, 0, 1), "SPL"))
    with pytest.raises(InputError, match=r"SPL, has its slices along axis 0, most others \(PLS\) along axis 2; store"):
        fitted(other)


def test_the_network_is_fitted_to_single_slices_of_whole_subjects(slices):
    found = fitted(slices)
    assert (found["spatial_dims"], found["num_classes"], found["in_channels"]) == (2, 1, 1)
    assert found["validation_cases"] == 2  # both slices of one of four subjects
    with pytest.raises(InputError, match="which the cases of whole patients do not add up to; try 2"):
        fitted(slices, "--validation", "3")


@needs_data("duke_dme")
def test_a_real_data_set_of_single_slices():
    found = fitted(FOLDER / "duke_dme", slice_size=[128, 192])
    assert (found["spatial_dims"], found["num_classes"], found["in_channels"]) == (2, 1, 1)
    assert 4 <= found["validation_cases"] <= 11
    assert 0 < found["intensity_mean"] < 255


def rewritten(data: Path, folder: Path, change: Any) -> Path:
    """A data set of the same files under another description, and with other labels."""
    import shutil

    shutil.copytree(data, folder)
    content = json.loads((folder / "dataset.json").read_text())
    change(folder, content)
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def test_a_presence_of_other_slices_is_refused_before_the_training(data, tmp_path):
    def change(folder: Path, content: dict[str, Any]) -> None:
        content["test"][0]["presence"] = {"slices": [[0, 0, 0]] * 32}  # as many as columns

    folder = rewritten(data, tmp_path / "told", change)
    with pytest.raises(InputError, match="presence"):
        fitted(folder)


def emptied(keep: int) -> Any:
    """Take all labels but those of one value out of the training cases."""

    def change(folder: Path, content: dict[str, Any]) -> None:
        import nibabel

        for entry in content["training"]:
            file = folder / entry["label"]
            image: Any = nibabel.load(file)
            array = np.asarray(image.dataobj)
            nibabel.save(nibabel.Nifti1Image(array * (array == keep), image.affine), file)

    return change


def test_a_training_without_any_lesion_is_refused(data, tmp_path):
    folder = rewritten(data, tmp_path / "none", emptied(0))
    reason = "shows no retinal oedema and no subretinal fluid and no pigment epithelial detachment in any of its 3"
    with pytest.raises(InputError, match=reason):
        fitted(folder)


def test_a_kind_that_cannot_be_learnt_is_told(data, tmp_path, capsys):
    fitted(rewritten(data, tmp_path / "one", emptied(1)))
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert [line.rpartition("shows any ")[2].split(",")[0] for line in told] == [
        "subretinal fluid",
        "pigment epithelial detachment",
    ]


def test_slices_of_several_sizes_make_no_batch(slices, tmp_path):
    from PIL import Image

    def change(folder: Path, content: dict[str, Any]) -> None:
        for part in ("image", "label"):
            file = folder / content["training"][0][part]
            Image.fromarray(np.asarray(Image.open(file))[:20]).save(file)

    folder = rewritten(slices, tmp_path / "mixed", change)
    with pytest.raises(InputError, match=r"has slices of several sizes, as .*20x32.* pass --set slice_size"):
        fitted(folder)
    assert fitted(folder, slice_size=[16, 32])["spatial_dims"] == 2


@pytest.mark.parametrize("method", sorted(METHODS))
def test_each_method_trains_what_it_is_for(data, tmp_path, method):
    settings = DETECTOR if method == "detector" else SHORT | {"validation_every": "2"}
    assert train(command_line(data, tmp_path / "run", "--method", method, settings=settings)) == 0
    found = rows(tmp_path / "run")
    losses = {"single": {"mask"}, "detector": {"presence"}}.get(method, {"mask", "presence"})
    assert {name[5:] for name in found[0] if name.startswith("loss_")} == losses
    assert all(float(found[0][f"loss_{name}"]) > 0 for name in losses)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["parameters"] > 0
    if method != "detector":
        assert (found[-1]["val_dice"] != "", found[-1]["val_auc"] != "") == (True, method != "single")
        config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
        assert config["overlap_loss"] == ("@explog_loss" if method in ("explog", "dilated") else "@dice_loss")
        assert (config["nested"], config["dilations"]) == {
            "single": (False, []),
            "detection": (False, []),
            "nested": (True, []),
            "explog": (True, []),
            "dilated": (True, [1, 2, 4, 8]),
        }[method]


def test_volumes_without_a_mask_teach_what_slices_hold(data, tmp_path):
    def change(folder: Path, content: dict[str, Any]) -> None:
        entry = content["training"][-1]
        content["training"][-1] = {"image": entry["image"], "presence": [1, 0, 0]}

    folder = rewritten(data, tmp_path / "told", change)
    settings = SHORT | {"batch_size": "24", "iterations": "1", "balance": "0"}
    assert train(command_line(folder, tmp_path / "run", settings=settings)) == 0
    splits = json.loads((tmp_path / "run" / "splits.json").read_text())
    assert (len(splits["labeled"]), len(splits["unlabeled"])) == (2, 1)
    (row,) = [row for row in rows(tmp_path / "run") if row["loss"]]
    assert float(row["loss_mask"]) > 0
    assert float(row["loss_presence"]) > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"precision": "bf16", "accumulation": "2"},
        {"supervision": "exits", "mask_from": "last", "exits_used": "1"},
        {"neighbours": "0", "slice_axis": "0", "slice_size": "[16, 16]"},
        {"mask_loss": "{_target_: networks.losses.ExponentialLogarithmicLoss}"},
    ],
    ids=lambda settings: ",".join(f"{name}={value}" for name, value in settings.items()),
)
def test_options_train(data, tmp_path, settings):
    assert train(command_line(data, tmp_path / "run", settings=SHORT | {"validation_every": "2"} | settings)) == 0
    found = rows(tmp_path / "run")
    assert all(float(row["loss"]) > 0 for row in found if row["loss"])
    assert found[-1]["val_dice"] != ""


def test_a_run_is_concluded_with_scores_detections_a_report_and_a_bundle(data, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(command_line(data, run, settings=SHORT), conclude=True) == 0
    summary = json.loads((run / "summary.json").read_text())
    assert len(summary["cases"]) == 2
    kinds = ["retinal oedema", "subretinal fluid", "pigment epithelial detachment"]
    assert list(summary["volume_dice"]["classes"]) == kinds
    for level, count in (("slices", 16), ("volumes", 2)):
        assert summary["detection"][level]["n"] == count
        assert list(summary["detection"][level]["kinds"]) == kinds
    assert summary["resources"]["seconds_per_volume"] > 0
    with (run / "detections.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2 * 3 * (1 + 8)  # volumes and their slices
    assert (run / "bundle" / "configs" / "inference.json").is_file()
    report = (run / "report.html").read_text()
    assert "Slice by slice" in report
    assert "holds a finished run" in refusal(capsys, command_line(data, run))


@pytest.mark.slow
def test_a_detector_is_concluded_with_what_it_detects_alone(data, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(command_line(data, run, "--method", "detector", settings=DETECTOR), conclude=True) == 0
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["cases"], summary["detection"]["volumes"]["n"]) == ([], 2)
    assert (run / "detections.json").is_file()
    assert not (run / "bundle").exists()
    assert "dice" not in capsys.readouterr().out


def test_a_few_slices_are_seen_otherwise_every_time(slices, tmp_path):
    overlays = ("quick", "few_slices", "smoke")
    settings = SHORT | {"slice_size": "[24, 32]"}
    assert train(command_line(slices, tmp_path / "run", overlays=overlays, settings=settings)) == 0
    steps = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["augmentation"]
    assert "transforms.RandSliceAffined" in [step["_target_"] for step in steps]
    assert all(float(row["loss"]) > 0 for row in rows(tmp_path / "run") if row["loss"])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dilated", "single"])
def test_single_slices_are_trained_and_concluded(slices, tmp_path, method):
    run = tmp_path / "run"
    assert train(command_line(slices, run, "--method", method, settings=SHORT), conclude=True) == 0
    summary = json.loads((run / "summary.json").read_text())
    assert len(summary["cases"]) == 2
    found = summary["volume_dice"]["classes"]["fluid"]
    assert found["volumes"] + found["absent"] == 2
    assert ("detection" in summary) == (method != "single")
    splits = json.loads((run / "splits.json").read_text())
    assert {case.split("_")[0] for case in splits["validation"]} & {c.split("_")[0] for c in splits["labeled"]} == set()


@pytest.mark.slow
def test_methods_are_trained_apart_and_compared(data, tmp_path, capsys):
    """For real, each in a process of its own; one of them segments nothing."""
    more = ["--method", "detection", "--method", "detector", "--overlay", "quick", "--overlay", "smoke"]
    settings = ["slice_size=null", "iterations=2", "recalibration_batches=0", "filters=2"]
    words = ["--data", str(data), "--output", str(tmp_path / "all"), "--device", "cpu", *more]
    assert train([*words, *(part for setting in settings for part in ("--set", setting))], conclude=True) == 0
    content = json.loads((tmp_path / "all" / "comparison.json").read_text())
    assert content["methods"]["detector"]["volume_dice"] == {}
    assert content["methods"]["detector"]["slice_auc"]["mean"]["mean"] is not None
    assert content["methods"]["detection"]["seconds_per_volume"]["mean"] > 0
    said = capsys.readouterr().out
    assert "| Dice over volumes | retinal oedema | subretinal fluid | pigment epithelial detachment | mean |" in said
    assert "| AUC of volumes |" in said

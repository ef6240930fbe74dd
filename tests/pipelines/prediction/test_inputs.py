"""Which images a path means, and which of them no network takes."""

from __future__ import annotations

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from pipelines.infer import main as infer
from pipelines.prediction.inputs import check_inputs, find_inputs
from tests.pipelines.prediction.slice_runs import DETECTOR, UNET, make_data, write_run
from transforms.io.input_error import InputError, InputErrors

ATRIUM = {"channels": 1, "spatial_dims": 3, "spacing_mm": (1.0, 1.0, 1.0)}


def touched(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def names(entries):
    return {
        entry["case_id"]: [Path(image).name for image in entry["image"]]
        if isinstance(entry["image"], list)
        else Path(entry["image"]).name
        for entry in entries
    }


FOLDERS = {
    "images": (
        ["b.nii.gz", "a.b.nrrd", "c.mha", "d.png", "notes.txt", ".hidden.nii", "sub/e.nii"],
        1,
        {"b": "b.nii.gz", "a.b": "a.b.nrrd", "c": "c.mha", "d": "d.png"},
    ),
    "one series": (["IM1.dcm", "IM2.dcm", "sub/e.nii"], 1, {"in": "in"}),
    "several series": (["s1/IM1.dcm", "1.2.840/IM1"], 1, {"s1": "s1", "1.2.840": "1.2.840"}),
    "channels": (
        ["x_0000.nii", "x_0001.nii", "y_0001.nii", "y_0000.nii"],
        2,
        {"x": ["x_0000.nii", "x_0001.nii"], "y": ["y_0000.nii", "y_0001.nii"]},
    ),
    "numbers that are no channels": (["x_0000.nii", "x_0001.nii"], 1, {"x_0000": "x_0000.nii", "x_0001": "x_0001.nii"}),
    "colours": (["p.png", "q.png"], 3, {"p": "p.png", "q": "q.png"}),
}


@pytest.mark.parametrize(("files", "channels", "found"), FOLDERS.values(), ids=FOLDERS.keys())
def test_what_a_folder_means(tmp_path, files, channels, found):
    assert names(find_inputs(touched(tmp_path / "in", *files), channels)) == found


def test_a_file_is_one_image(tmp_path):
    touched(tmp_path, "a.nii.gz", "b.nii.gz")
    assert names(find_inputs(tmp_path / "a.nii.gz", 1)) == {"a": "a.nii.gz"}


@pytest.mark.parametrize(
    ("files", "channels", "messages"),
    [
        ([".x"], 1, ["in: holds no image"]),
        (["x_0000.nii", "y_0000.nii", "y_0001.nii"], 2, ["x_0000.nii: the files of its channels 0001 are missing"]),
        (["x_0000.nii", "x_0000.nrrd", "x_0001.nii"], 2, ["x_0000.nrrd: is the same channel as x_0000.nii"]),
        (["x_0000.nii", "y_0001.nii"], 2, ["x_0000.nii: the files of its channels 0001", "y_0001.nii: .* 0000"]),
    ],
)
def test_folders_that_mean_nothing(tmp_path, files, channels, messages):
    with pytest.raises(InputError) as refusal:
        find_inputs(touched(tmp_path / "in", *files), channels)
    faults = refusal.value.faults if isinstance(refusal.value, InputErrors) else [refusal.value]
    assert len(faults) == len(messages)
    for fault, message in zip(faults, messages, strict=True):
        assert re.search(message, str(fault))


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="nothing: does not exist"):
        find_inputs(tmp_path / "nothing", 1)


def test_all_that_does_not_fit_is_told_at_once(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4)), tmp_path / "good.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros((200, 200, 200), np.int16), np.diag([90, 90, 90, 1])), tmp_path / "huge.nii")
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6, 2), np.int16), np.eye(4)), tmp_path / "time.nii")
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(tmp_path / "flat.png")
    (tmp_path / "text.nii").write_text("no image")
    with pytest.raises(InputErrors) as refusal:
        check_inputs(find_inputs(tmp_path, 1), **ATRIUM)
    told = {Path(fault.subject).name: fault.reason for fault in refusal.value.faults}
    assert sorted(told) == ["flat.png", "huge.nii", "text.nii", "time.nii"]
    assert told["flat.png"] == "is 2D, but the network takes 3D images"
    assert told["huge.nii"].startswith("would have 5.8e+12 voxels when resampled to 1 x 1 x 1 mm")


def test_good_images_pass(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4)), tmp_path / "good.nii.gz")
    check_inputs(find_inputs(tmp_path, 1), **ATRIUM)
    Image.fromarray(np.zeros((5, 6, 3), np.uint8)).save(tmp_path / "colour.png")
    flat = {"channels": 3, "spatial_dims": 2, "spacing_mm": (1.0, 1.0)}
    check_inputs(find_inputs(tmp_path / "colour.png", 3), **flat)
    with pytest.raises(InputErrors, match="has 3 channels, but the network takes 1"):
        check_inputs(find_inputs(tmp_path / "colour.png", 1), **{**flat, "channels": 1})


def test_pictures_are_the_slices_of_a_volume_for_a_network_of_volumes(tmp_path: Path) -> None:
    folder = touched(tmp_path / "eye", "b_1.png", "b_2.png")
    assert names(find_inputs(folder, 1, spatial_dims=3)) == {"eye": "eye"}
    assert set(names(find_inputs(folder, 1, spatial_dims=2))) == {"b_1", "b_2"}
    assert set(names(find_inputs(tmp_path, 1, spatial_dims=3))) == {"eye"}
    mixed = touched(tmp_path / "mixed", "a.png", "a.nii.gz")
    assert len(find_inputs(mixed, 1, spatial_dims=3)) == 2


@pytest.mark.parametrize("network", [UNET, DETECTOR], ids=["masks", "detections"])
def test_nothing_is_left_where_nothing_could_be_looked_at(tmp_path, network):
    make_data(tmp_path / "data")
    source, scan = sorted((tmp_path / "data" / "images").iterdir())[0], tmp_path / "scan.nii.gz"
    words = [
        "--bundle",
        str(write_run(tmp_path / "run", 1, network)),
        "--input",
        str(scan),
        "--output",
        str(tmp_path / "out"),
    ]
    image = nib.load(source)
    broken = np.asarray(image.dataobj, dtype=np.float32)
    broken[0, 0, 0] = np.nan
    nib.save(nib.Nifti1Image(broken, image.affine), scan)
    assert infer([*words, "--device", "cpu"]) == 2
    assert not list((tmp_path / "out").glob("*"))
    nib.save(image, scan)
    assert infer([*words, "--device", "cpu"]) == 0

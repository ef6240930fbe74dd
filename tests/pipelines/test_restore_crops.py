"""The restore_crops command: masks of crops become masks of the raw volumes, which evaluate can measure."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from pipelines import prepare_crops, restore_crops
from tests.pipelines.data.crop_phantom import write_data_set


@pytest.fixture
def made(tmp_path):
    """Raw volumes, their crops, and masks of the crops of two of the three cases."""
    raw, crops, masks = write_data_set(tmp_path / "raw"), tmp_path / "crops", tmp_path / "masks"
    options = ["--size", "24", "--workers", "1", "--flip-to", "left"]
    assert prepare_crops.main(["--data", str(raw), "--output", str(crops), *options]) == 0
    masks.mkdir()
    for name in ("left_a", "right_c"):
        shutil.copy(crops / "labels" / f"{name}.nii.gz", masks / f"{name}_seg.nii.gz")
    return tmp_path


def run(folder, *options, masks="masks", output="back"):
    arguments = ["--crops", str(folder / "crops"), "--masks", str(folder / masks), "--output", str(folder / output)]
    return restore_crops.main([*arguments, *options])


def test_masks_come_back(made, capsys):
    capsys.readouterr()
    assert run(made) == 0
    assert capsys.readouterr().out == f"{made / 'back'}: masks of 2 cases restored, 1 cases have none\n"
    for name in ("left_a", "right_c"):
        truth, back = (nib.load(made / folder / f"{name}.nii.gz") for folder in ("raw/label", "back"))
        np.testing.assert_array_equal(back.get_fdata(), truth.get_fdata())
        np.testing.assert_array_equal(back.affine, truth.affine)
    listed = json.loads((made / "back" / "restored.json").read_text())["cases"]
    assert listed[0] == {"case_id": "left_a", "mask": "left_a.nii.gz", "samples": ["left_a"]}
    assert run(made) == 2
    assert run(made, "--overwrite") == 0


def test_without_the_raw_volumes(made):
    shutil.move(made / "raw", made / "elsewhere")
    assert run(made) == 0
    truth, back = nib.load(made / "elsewhere/label/right_c.nii.gz"), nib.load(made / "back" / "right_c.nii.gz")
    np.testing.assert_array_equal(back.get_fdata(), truth.get_fdata())
    np.testing.assert_allclose(back.affine, truth.affine, atol=1e-5)


def test_refuses_in_one_line(made, capsys):
    (made / "empty").mkdir()
    capsys.readouterr()
    for masks, output, message in (
        ("none", "back", "is no folder of masks"),
        ("empty", "back", "holds no mask of a crop of"),
        ("masks", "masks", "is --masks itself"),
    ):
        assert run(made, masks=masks, output=output) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert message in error
    (made / "crops" / "crops.json").unlink()
    assert run(made) == 2
    assert "has no crops.json" in capsys.readouterr().err

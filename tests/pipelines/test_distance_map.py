"""The distance_map command: what it writes, what it refuses, and that it starts fast."""

import gzip
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from pipelines.distance_map import main
from transforms.euclidean_distance import signed_distance

OBLIQUE = np.array([[0.0, -1.5, 0.0, 10], [1.2, 0.0, -0.4, -5], [1.6, 0.0, 0.3, 3], [0, 0, 0, 1]])
SPACING = (2.0, 1.5, 0.5)


def label_map():
    label = np.zeros((9, 8, 7), np.uint8)
    label[2:5, 2:6, 2:5], label[5:7, 2:6, 2:5] = 1, 2
    return label


@pytest.fixture
def label_file(tmp_path):
    image = nib.Nifti1Image(label_map(), OBLIQUE)
    image.set_qform(OBLIQUE, code=1)
    image.set_sform(OBLIQUE, code=2)
    image.header.set_xyzt_units("mm")
    path = tmp_path / "label.nii.gz"
    nib.save(image, path)
    return path


RUNS = {
    "all labels, mm": ([], label_map() > 0, {"spacing": SPACING}),
    "one label, mm": (["--label", "2"], label_map() == 2, {"spacing": SPACING}),
    "clipped": (["--max-distance", "2.5"], label_map() > 0, {"spacing": SPACING, "max_distance": 2.5}),
    "dtc": (["--mode", "dtc"], label_map() > 0, {"mode": "dtc"}),
}


@pytest.mark.parametrize(("options", "mask", "expected"), RUNS.values(), ids=RUNS.keys())
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_map_on_the_grid_of_the_input(label_file, tmp_path, capsys, suffix, options, mask, expected):
    output = tmp_path / "out" / f"map{suffix}"
    assert main(["--input", str(label_file), "--output", str(output), *options]) == 0
    result, source = nib.load(output), nib.load(label_file)
    assert result.get_data_dtype() == np.float32
    np.testing.assert_allclose(result.get_fdata(), signed_distance(mask, **expected)[0], rtol=1e-5)
    for form in ("get_qform", "get_sform"):
        affine, code = getattr(result, form)(coded=True)
        np.testing.assert_array_equal(affine, getattr(source, form)())
        assert code == getattr(source, form)(coded=True)[1]
    np.testing.assert_array_equal(result.header.get_zooms(), source.header.get_zooms())
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    assert f"{int(mask.sum())} voxels inside" in capsys.readouterr().out


def test_other_formats_are_read(tmp_path):
    image = sitk.GetImageFromArray(label_map().transpose(2, 1, 0))
    image.SetSpacing(SPACING)
    image.SetOrigin((1.0, 2.0, 3.0))
    sitk.WriteImage(image, tmp_path / "label.mha")
    assert main(["--input", str(tmp_path / "label.mha"), "--output", str(tmp_path / "map.nii")]) == 0
    result = nib.load(tmp_path / "map.nii")
    np.testing.assert_allclose(result.get_fdata(), signed_distance(label_map() > 0, spacing=SPACING)[0], rtol=1e-5)
    np.testing.assert_allclose(result.affine[:3, 3], (-1.0, -2.0, 3.0))


def test_empty_label_is_defined(tmp_path, label_file):
    nib.save(nib.Nifti1Image(np.zeros((3, 4, 12), np.uint8), np.eye(4)), tmp_path / "empty.nii.gz")
    assert main(["--input", str(tmp_path / "empty.nii.gz"), "--output", str(tmp_path / "map.nii.gz")]) == 0
    assert np.unique(nib.load(tmp_path / "map.nii.gz").get_fdata()) == [13.0]


def files(folder):
    """Input files that are refused, or not looked at because an option is."""
    good = nib.Nifti1Image(label_map(), OBLIQUE)
    nib.save(good, folder / "good.nii.gz")
    nib.save(nib.Nifti1Image(label_map() * np.float32(0.5), OBLIQUE), folder / "half.nii.gz")
    nib.save(nib.Nifti1Image(-label_map().astype(np.int16), OBLIQUE), folder / "negative.nii.gz")
    content = gzip.decompress((folder / "good.nii.gz").read_bytes())
    (folder / "cut.nii").write_bytes(content[:-20])
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((8, 8, 3), np.uint8), isVector=True), folder / "colour.png")
    (folder / "old.nii.gz").write_bytes(b"before")


REFUSED = [
    ("half.nii.gz", "map.nii.gz", [], "half.nii.gz: must hold whole numbers, found 0.5"),
    ("negative.nii.gz", "map.nii.gz", [], "negative.nii.gz: must hold labels from 0 up, found -2"),
    ("cut.nii", "map.nii.gz", [], "cut.nii: is truncated"),
    ("none.nii.gz", "map.nii.gz", [], "none.nii.gz: "),
    ("colour.png", "map.nii.gz", [], "colour.png: must be a label map with one channel"),
    ("good.nii.gz", "map.nii.gz", ["--label", "3"], "good.nii.gz: holds no voxel of label 3"),
    ("good.nii.gz", "map.nii.gz", ["--label", "0"], "--label: must be 1 or more"),
    ("good.nii.gz", "map.nii.gz", ["--max-distance", "0"], "--max-distance: must be a positive number"),
    ("good.nii.gz", "map.nii.gz", ["--max-distance", "nan"], "--max-distance: must be a positive number"),
    ("good.nii.gz", "map.nii.gz", ["--mode", "dtc", "--max-distance", "5"], "--max-distance: does not apply"),
    ("good.nii.gz", "map.nii.gz", ["--mode", "chess"], "invalid choice: 'chess'"),
    ("good.nii.gz", "map.png", [], "map.png: must end in .nii.gz or .nii"),
    ("good.nii.gz", "old.nii.gz", [], "old.nii.gz: is there already"),
    ("good.nii.gz", "good.nii.gz", ["--overwrite"], "good.nii.gz: is the input itself"),
]


@pytest.mark.parametrize(("given", "output", "options", "message"), REFUSED)
def test_refuses_in_one_line(tmp_path, capsys, given, output, options, message):
    files(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["--input", str(tmp_path / given), "--output", str(tmp_path / output), *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_overwrite(tmp_path):
    files(tmp_path)
    arguments = ["--input", str(tmp_path / "good.nii.gz"), "--output", str(tmp_path / "old.nii.gz"), "--overwrite"]
    assert main(arguments) == 0
    assert nib.load(tmp_path / "old.nii.gz").shape == (9, 8, 7)


def test_starts_without_heavy_packages(label_file, tmp_path):
    """Neither the help nor a whole run imports torch or MONAI, whose import takes seconds."""
    code = (
        "import sys; from pipelines.distance_map import main\n"
        "status = main(sys.argv[1:])\n"
        "sys.exit(status or 10 * bool({'torch', 'monai', 'matplotlib'} & set(sys.modules)))"
    )
    for arguments in (["--help"], ["--input", str(label_file), "--output", str(tmp_path / "map.nii.gz")]):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""

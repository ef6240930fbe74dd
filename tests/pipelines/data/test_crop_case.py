"""Cutting one crop: centre, side, what stays of the labels, and that all files lie on one another and on the scan."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from pipelines.data.crop_case import CropSettings, cut_sample, sample_digest
from pipelines.data.crop_plan import Centre, plan_samples
from pipelines.data.dataset import read_dataset
from tests.pipelines.data.crop_phantom import CASES, affine_of, volumes, write, write_data_set
from transforms.crop_grid import CropGrid
from transforms.io.input_error import InputError

SETTINGS = CropSettings((24, 24, 24), (0.5, 0.5, 0.5))


@pytest.fixture
def raw(tmp_path):
    return write_data_set(tmp_path / "raw")


def samples_of(raw):
    return {sample.sample_id: sample for sample in plan_samples(read_dataset(raw), None)}


def array(folder, name):
    return nib.load(folder / name).get_fdata()


def centroid_mm(path, mask=None):
    image = nib.load(path)
    found = np.argwhere(image.get_fdata() > 0 if mask is None else mask(image.get_fdata()))
    return (image.affine @ [*found.mean(axis=0), 1])[:3]


@pytest.mark.parametrize(("name", "side"), [case[:2] for case in CASES])
def test_crop_lies_on_the_scan(raw, tmp_path, name, side):
    """The label's centroid in space is the same in the raw file and in the crop, whatever the file's orientation."""
    record = cut_sample(samples_of(raw)[name], SETTINGS, tmp_path)
    assert record["side"] == side
    assert record["centre_from"] == "label"
    assert not record["grid"]["flipped"]
    there = centroid_mm(raw / "label" / f"{name}.nii.gz")
    np.testing.assert_allclose(record["centre_mm"], there, atol=1e-4)
    np.testing.assert_allclose(centroid_mm(tmp_path / "labels" / f"{name}.nii.gz"), there, atol=0.05)
    assert array(tmp_path, f"images/{name}.nii.gz").shape == (24, 24, 24)
    assert nib.aff2axcodes(nib.load(tmp_path / f"images/{name}.nii.gz").affine) == ("R", "A", "S")


def test_orientation_of_the_file_does_not_matter(raw, tmp_path):
    """One patient in two orientations gives the same crop."""
    for kind, values in volumes("right", 1).items():
        write(raw / kind / "right_c.nii.gz", values, "PIR")
    samples = samples_of(raw)
    for name in ("right_b", "right_c"):
        cut_sample(samples[name], SETTINGS, tmp_path)
    for kind in ("images", "labels"):
        np.testing.assert_allclose(
            array(tmp_path, f"{kind}/right_b.nii.gz"), array(tmp_path, f"{kind}/right_c.nii.gz"), atol=0.01
        )


def test_flip_takes_everything_along_and_can_be_undone(raw, tmp_path):
    sample = samples_of(raw)["right_b"]
    plain, flipped = tmp_path / "plain", tmp_path / "flipped"
    cut_sample(sample, SETTINGS, plain)
    record = cut_sample(sample, replace(SETTINGS, flip_to="left"), flipped)
    assert record["grid"]["flipped"]
    names = ["images/right_b.nii.gz", "labels/right_b.nii.gz", "raters/right_b_r000.nii.gz"]
    for name in names:
        np.testing.assert_array_equal(array(flipped, name), array(plain, name)[::-1])
    back = CropGrid.from_json(record["grid"]).put_back(array(flipped, names[2]).astype(np.uint8))
    np.testing.assert_array_equal(back, array(raw, "rater0/right_b.nii.gz"))
    kept = cut_sample(sample, replace(SETTINGS, flip_to="right"), tmp_path)
    assert not kept["grid"]["flipped"]


def test_mirrored_crop_is_that_of_the_mirrored_patient(raw, tmp_path):
    """The mirror image of a right-sided patient, cut without a flip: the same voxels at the same place in space."""
    sample = samples_of(raw)["right_b"]
    cut_sample(sample, replace(SETTINGS, flip_to="left"), tmp_path)
    for kind, values in volumes("right", 1).items():
        write(raw / kind / "right_b.nii.gz", values[::-1])
    cut_sample(samples_of(raw)["right_b"], SETTINGS, tmp_path / "mirrored")
    for kind in ("images", "labels"):
        mine, other = (nib.load(folder / kind / "right_b.nii.gz") for folder in (tmp_path, tmp_path / "mirrored"))
        shift = np.rint((np.linalg.inv(other.affine) @ mine.affine)[:3, 3]).astype(int)
        assert np.abs(shift).max() <= 1  # the centres of the two are rounded to one lattice from different sides
        np.testing.assert_allclose(mine.affine[:, :3], other.affine[:, :3], atol=1e-5)
        inner = tuple(slice(2 + step, 22 + step) for step in shift)
        np.testing.assert_allclose(mine.get_fdata()[2:22, 2:22, 2:22], other.get_fdata()[inner], atol=0.05)


def test_keeps_and_renumbers_labels(raw, tmp_path):
    sample = samples_of(raw)["left_a"]
    record = cut_sample(sample, replace(SETTINGS, keep=(2,)), tmp_path)
    raw_label = array(raw, "label/left_a.nii.gz")
    here = centroid_mm(raw / "label" / "left_a.nii.gz", lambda values: values == 2)
    np.testing.assert_allclose(record["centre_mm"], here, atol=1e-4)
    back = CropGrid.from_json(record["grid"]).put_back(array(tmp_path, "labels/left_a.nii.gz").astype(np.uint8))
    np.testing.assert_array_equal(back, raw_label == 2)
    both = cut_sample(sample, replace(SETTINGS, keep=(2, 1), structure=(1,)), tmp_path)
    np.testing.assert_allclose(
        both["centre_mm"], centroid_mm(raw / "label" / "left_a.nii.gz", lambda values: values == 1), atol=1e-4
    )
    back = CropGrid.from_json(both["grid"]).put_back(array(tmp_path, "labels/left_a.nii.gz").astype(np.uint8))
    np.testing.assert_array_equal(back, np.array([0, 2, 1])[raw_label.astype(int)])


def test_carries_raters_and_what_belongs_to_the_case(raw, tmp_path):
    entry = cut_sample(samples_of(raw)["left_a"], SETTINGS, tmp_path)["entries"][0]
    assert entry == {
        "image": "./images/left_a.nii.gz",
        "label": "./labels/left_a.nii.gz",
        "raters": ["./raters/left_a_r000.nii.gz", "./raters/left_a_r001.nii.gz"],
        "atlas": ["x", "y"],
        "patient": "p0",
    }


def test_centre_of_raters_where_there_is_no_label(raw, tmp_path):
    sample = samples_of(raw)["left_a"]
    record = cut_sample(replace(sample, case=sample.case.without_label()), SETTINGS, tmp_path)
    assert record["centre_from"] == "raters"
    shifted = affine_of()[:3, 1] * -0.5  # the raters are 1 in front and 2 behind, -0.5 on average
    np.testing.assert_allclose(record["centre_mm"] - shifted, centroid_mm(raw / "label/left_a.nii.gz"), atol=1e-3)


def test_padding(raw, tmp_path):
    sample = replace(samples_of(raw)["left_a"], centre=Centre(tuple(affine_of()[:3, 3]), "file"))
    settings = CropSettings((8, 8, 8), (1.0, 1.0, 1.0))
    record = cut_sample(replace(sample, case=sample.case.without_label()), settings, tmp_path)
    image = array(tmp_path, "images/left_a.nii.gz")
    assert record["outside"] == pytest.approx(1 - 0.5**3, abs=0.01)
    assert (image[:4] == array(raw, "image/left_a.nii.gz").min()).all()
    cut_sample(replace(sample, case=sample.case.without_label()), replace(settings, fill=-1000.0), tmp_path)
    assert (array(tmp_path, "images/left_a.nii.gz")[:4] == -1000).all()


LEFT_OUT = {
    "empty label": (replace(SETTINGS, structure=(3,)), None, "its label does not hold the structure"),
    "elsewhere": (SETTINGS, Centre((400.0, 0.0, 0.0), "file"), "the structure lies outside the crop"),
}


@pytest.mark.parametrize(("settings", "centre", "reason"), LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_left_out(raw, tmp_path, settings, centre, reason):
    record = cut_sample(replace(samples_of(raw)["left_a"], centre=centre), settings, tmp_path / "out")
    assert record["left_out"] == reason
    assert not (tmp_path / "out").exists()


def test_lost_part_is_told(raw, tmp_path):
    """A crop of 4 mm around a structure of 5 x 6 x 10 mm."""
    record = cut_sample(samples_of(raw)["left_a"], replace(SETTINGS, size=(8, 8, 8)), tmp_path)
    assert 0.7 < record["structure_lost"] < 0.95
    assert cut_sample(samples_of(raw)["left_a"], SETTINGS, tmp_path)["structure_lost"] == 0


def test_digest_follows_settings_and_files(raw):
    sample = samples_of(raw)["left_a"]
    first = sample_digest(sample, SETTINGS)
    assert sample_digest(samples_of(raw)["left_a"], SETTINGS) == first
    assert sample_digest(sample, replace(SETTINGS, flip_to="left")) != first
    assert sample_digest(replace(sample, centre=Centre((0.0, 0.0, 0.0), "file")), SETTINGS) != first
    write(raw / "rater0" / "left_a.nii.gz", volumes("left", 0)["rater1"], "LAS")
    assert sample_digest(sample, SETTINGS) != first


@pytest.mark.parametrize(("value", "message"), [(0.5, "must hold whole numbers, found 0.5"), (-1, "labels from 0 up")])
def test_refuses_what_is_no_label(raw, tmp_path, value, message):
    label = volumes("left", 0)["label"].astype(np.float32)
    label[0, 0, 0] = value
    write(raw / "label" / "left_a.nii.gz", label, "LAS")
    with pytest.raises(InputError, match=message):
        cut_sample(samples_of(raw)["left_a"], SETTINGS, tmp_path)

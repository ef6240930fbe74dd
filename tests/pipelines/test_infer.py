"""The infer command: masks with the inputs' geometry, whatever their format, and refusals before any is written."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
import yaml
from monai.bundle import ConfigParser
from PIL import Image
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from pipelines.data.dataset import read_dataset
from pipelines.export.bundle_export import export_run
from pipelines.export_bundle import write_zip
from pipelines.infer import main
from pipelines.prediction.loading import InferenceSettings, load_predictor
from tests.pipelines.prediction.dropout_run import with_dropout
from tests.pipelines.prediction.slice_runs import SHAPE, make_sources
from transforms.io.volume import read_volume

OBLIQUE = np.array([[0.0, -1.9, 0.2, 10], [1.8, 0.0, -0.4, -5], [0.3, 0.1, 2.1, 3], [0, 0, 0, 1]])


def infer(bundle, source, output, *options):
    bundles = [str(path) for path in (bundle if isinstance(bundle, list) else [bundle])]
    rest = ["--input", str(source), "--output", str(output), "--device", "cpu", *map(str, options)]
    return main(["--bundle", *bundles, *rest])


def blob(shape=(30, 26, 22)):
    return (np.random.default_rng(0).normal(100, 20, shape) + 50).astype(np.int16)


def nifti(path, array=None, affine=OBLIQUE, qform=1, sform=2):
    array = blob() if array is None else array
    image = nib.Nifti1Image(array, affine)
    image.set_qform(affine, code=qform, strip_shears=True)
    image.set_sform(affine, code=sform)
    if not np.allclose(image.get_qform(), affine, atol=1e-3):
        image.header["qform_code"] = 0
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


def dicom_series(folder, array):
    """Slices along z, 1.5 mm pixels, 2 mm apart."""
    folder.mkdir(parents=True)
    series, study, frame = generate_uid(), generate_uid(), generate_uid()
    for index in range(array.shape[2]):
        header = pydicom.Dataset()
        header.file_meta = pydicom.dataset.FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = CTImageStorage
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = generate_uid()
        header.SeriesInstanceUID, header.StudyInstanceUID, header.FrameOfReferenceUID = series, study, frame
        header.PatientID, header.Modality, header.InstanceNumber = "X", "CT", index + 1
        header.ImagePositionPatient, header.ImageOrientationPatient = [4, 5, 2 * index], [1, 0, 0, 0, 1, 0]
        header.PixelSpacing, header.SliceThickness = [1.5, 1.5], 2
        header.Columns, header.Rows = array.shape[:2]
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 1
        header.PixelData = np.ascontiguousarray(array[:, :, index].T).tobytes()
        header.save_as(folder / f"IM{index:03d}.dcm", enforce_file_format=True)
    return folder


@pytest.fixture(scope="module")
def flat_bundle(smoke_run, tmp_path_factory):
    """A bundle for pictures of one channel, of a network that has learnt nothing."""
    return flat(smoke_run, tmp_path_factory.mktemp("flat"), 1)


def flat(smoke_run, folder, channels):
    run = flat_run(smoke_run, folder / "run", channels)
    export_run(run, run / "bundle", None)
    return run / "bundle"


def flat_run(smoke_run, run, channels):
    (run / "checkpoints").mkdir(parents=True)
    config = yaml.safe_load((smoke_run.run / "config.yaml").read_text())
    changes = {"spatial_dims": 2, "in_channels": channels, "spacing_mm": [1.0, 1.0], "patch_size": [32, 32]}
    config = {**config, **changes}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    shutil.copyfile(smoke_run.run / "run.json", run / "run.json")
    torch.manual_seed(3)
    network = ConfigParser(config).get_parsed_content("network_def")
    torch.save({"parts": {"average": network.state_dict()}}, run / "checkpoints" / "last.pt")
    return run


def rows(folder):
    return list(csv.DictReader((folder / "volumes.csv").read_text().splitlines()))


def test_a_folder_of_scans(smoke_run, tmp_path, capsys):
    assert infer(smoke_run.run, smoke_run.data / "images", tmp_path / "out") == 0
    images = sorted((smoke_run.data / "images").iterdir())
    masks = [path.name for path in sorted((tmp_path / "out").iterdir())]
    assert masks == [*(path.name.replace(".nii.gz", "_seg.nii.gz") for path in images), "volumes.csv"]
    told = capsys.readouterr().out
    assert "5 of 5 images segmented" in told
    for path, row in zip(images, rows(tmp_path / "out"), strict=True):
        mask = nib.load(tmp_path / "out" / path.name.replace(".nii.gz", "_seg.nii.gz"))
        assert mask.get_data_dtype() == np.uint8
        voxels = int((np.asarray(mask.dataobj) == 1).sum())
        assert voxels > 0
        assert (row["case"], row["label"], row["class"]) == (path.name[:-7], "1", "left atrium cavity")
        assert (int(row["voxels"]), float(row["volume_ml"])) == (voxels, pytest.approx(voxels * 8 / 1000))
        assert f"{row['case']}: left atrium cavity {voxels * 8 / 1000:.2f} mL" in told


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(("shape", "codes"), [((37, 29, 23), (1, 1)), ((64, 64, 1), (0, 3)), ((5, 30, 20), (2, 0))])
def test_nifti_headers_come_back_bit_for_bit(smoke_run, tmp_path, shape, codes, suffix):
    affine = np.diag([-1.5, -2.0, 2.5, 1.0]) @ np.eye(4)[[1, 0, 2, 3]]
    source = nifti(tmp_path / f"scan{suffix}", blob(shape), affine, *codes)
    assert infer(smoke_run.bundle, source, tmp_path / "out") == 0
    mask, image = nib.load(tmp_path / "out" / "scan_seg.nii.gz"), nib.load(source)
    assert mask.shape == shape
    for name in ("qform_code", "sform_code", "srow_x", "srow_y", "srow_z", "pixdim", "xyzt_units", "quatern_b"):
        assert mask.header[name].tobytes() == image.header[name].tobytes()


def test_every_format_of_one_image_gives_one_mask(smoke_run, tmp_path):
    array, affine = blob(), np.diag([-1.5, -1.5, 2.0, 1.0])
    affine[:3, 3] = (-4, -5, 0)
    source = tmp_path / "in"
    dicom_series(source / "series", array)
    for folder in ("nifti", "nrrd", "mha"):
        (tmp_path / folder).mkdir()
    nifti(tmp_path / "nifti" / "a.nii.gz", array, affine)
    image = sitk.GetImageFromArray(array.transpose(2, 1, 0))
    image.SetSpacing((1.5, 1.5, 2.0))
    image.SetOrigin((4.0, 5.0, 0.0))
    for kind in ("nrrd", "mha"):
        sitk.WriteImage(image, tmp_path / kind / f"a.{kind}")
    masks = []
    for path in (source, source / "series", tmp_path / "nifti", tmp_path / "nrrd" / "a.nrrd", tmp_path / "mha"):
        output = tmp_path / f"out{len(masks)}"
        assert infer(smoke_run.run, path, output) == 0
        (found,) = output.glob("*_seg.nii.gz")
        masks.append(read_volume(found))
        np.testing.assert_allclose(masks[-1].affine, affine, atol=1e-5)
        np.testing.assert_array_equal(masks[-1].array, masks[0].array)
    assert masks[0].array.any()
    assert (tmp_path / "out0" / "series_seg.nii.gz").is_file()


@pytest.mark.filterwarnings("ignore:axcodes")
def test_pictures_give_pictures(flat_bundle, tmp_path, capsys):
    random = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.tif"):
        Image.fromarray(random.integers(0, 255, (45, 38), dtype=np.uint8)).save(tmp_path / "in" / name)
    assert infer(flat_bundle, tmp_path / "in", tmp_path / "out", "--flips", "0") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_seg.png", "b_seg.png", "volumes.csv"]
    with Image.open(tmp_path / "out" / "a_seg.png") as mask:
        assert (mask.size, mask.mode) == ((38, 45), "L")
        found = np.asarray(mask)
    assert rows(tmp_path / "out")[0]["voxels"] == str(int(found.sum()))
    assert rows(tmp_path / "out")[0]["volume_ml"] == ""
    assert f"a: left atrium cavity {int(found.sum())} pixels" in capsys.readouterr().out


def test_uncertainty_beside_the_masks(smoke_run, tmp_path, capsys):
    """NIfTI with the entropy as it is; the same at every run; gone when the masks are replaced by others."""
    scan = nifti(tmp_path / "a.nii.gz")
    maps = []
    run = with_dropout(smoke_run.run, tmp_path / "run")
    for name in ("one", "two"):
        assert infer(run, scan, tmp_path / name, "--dropout-samples", "2") == 0
        written = sorted(path.name for path in (tmp_path / name).iterdir())
        assert written == ["a_seg.nii.gz", "a_uncertainty.nii.gz", "volumes.csv"]
        maps.append(nib.load(tmp_path / name / "a_uncertainty.nii.gz"))
    assert maps[0].get_data_dtype() == np.float32
    assert maps[0].shape == nib.load(scan).shape
    np.testing.assert_array_equal(maps[0].affine, nib.load(scan).affine)
    values = maps[0].get_fdata()
    assert 0 <= values.min() < values.max() <= 1
    np.testing.assert_array_equal(values, maps[1].get_fdata())
    assert infer(run, scan, tmp_path / "one") == 2
    assert infer(run, scan, tmp_path / "one", "--overwrite") == 0
    assert not (tmp_path / "one" / "a_uncertainty.nii.gz").exists()


def test_uncertainty_is_not_written_over_an_input(smoke_run, tmp_path, capsys):
    scans = tmp_path / "scans"
    scans.mkdir()
    nifti(scans / "a.nii.gz")
    nifti(scans / "a_uncertainty.nii.gz")
    run = with_dropout(smoke_run.run, tmp_path / "run")
    assert infer(run, scans, scans, "--dropout-samples", "2", "--overwrite") == 2
    assert "a_uncertainty.nii.gz: is an input" in capsys.readouterr().err
    assert sorted(path.name for path in scans.iterdir()) == ["a.nii.gz", "a_uncertainty.nii.gz"]


@pytest.mark.filterwarnings("ignore:axcodes")
def test_uncertainty_of_pictures(smoke_run, tmp_path):
    Image.fromarray(blob((40, 50, 1))[..., 0].astype(np.uint8)).save(tmp_path / "eye.png")
    run = with_dropout(flat_run(smoke_run, tmp_path / "flat", 1), tmp_path / "run")
    assert infer(run, tmp_path / "eye.png", tmp_path / "out", "--dropout-samples", "2") == 0
    with Image.open(tmp_path / "out" / "eye_uncertainty.png") as picture:
        assert (picture.mode, picture.size) == ("L", (50, 40))
        assert np.asarray(picture).max() > 0


def test_uncertainty_of_an_exported_bundle(smoke_run, tmp_path, capsys):
    assert infer(smoke_run.bundle, nifti(tmp_path / "a.nii.gz"), tmp_path / "out", "--dropout-samples", "2") == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].startswith("error: --dropout-samples: the network of ")
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore:axcodes")
def test_channels_in_several_files(smoke_run, tmp_path):
    bundle = flat(smoke_run, tmp_path / "flat", 2)
    (tmp_path / "in").mkdir()
    for index in range(2):
        picture = np.random.default_rng(index).integers(0, 255, (33, 36), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "in" / f"eye_{index:04d}.png")
    assert infer(bundle, tmp_path / "in", tmp_path / "out") == 0
    assert (tmp_path / "out" / "eye_seg.png").is_file()


def test_an_ensemble(smoke_run, tmp_path, capsys):
    other = shutil.copytree(smoke_run.bundle, tmp_path / "other")
    config = json.loads((other / "configs" / "inference.json").read_text())
    config["head"] = "level_set"
    (other / "configs" / "inference.json").write_text(json.dumps(config))
    scan = read_dataset(smoke_run.data).test[0].images[0]
    assert infer([smoke_run.run, other], scan, tmp_path / "out") == 0
    predictors = [load_predictor(path, InferenceSettings())[0] for path in (smoke_run.run, other)]
    each = [predictor.predict_probabilities({"image": str(scan)}) for predictor in predictors]
    expected = predictors[0].decide(sum(each) / 2)
    np.testing.assert_array_equal(read_volume(next((tmp_path / "out").glob("*_seg*"))).array, expected)
    assert infer([smoke_run.run, smoke_run.run], scan, tmp_path / "twice") == 2
    assert "is given twice" in capsys.readouterr().err


def test_a_damaged_scan_among_good_ones(smoke_run, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name in ("a", "b", "c"):
        nifti(tmp_path / "in" / f"{name}.nii.gz")
    cut = tmp_path / "in" / "b.nii.gz"
    cut.write_bytes(cut.read_bytes()[:-300])
    assert infer(smoke_run.run, tmp_path / "in", tmp_path / "out") == 2
    captured = capsys.readouterr()
    assert re.match(r"error: .*b\.nii\.gz: ", captured.err)
    assert "2 of 3 images segmented" in captured.out
    expected = ["a_seg.nii.gz", "c_seg.nii.gz", "volumes.csv"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == expected


def test_headers_are_checked_before_anything_is_written(smoke_run, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    nifti(tmp_path / "in" / "a.nii.gz")
    (tmp_path / "in" / "b.nii.gz").write_bytes(b"nothing")
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "in" / "c.png")
    assert infer(smoke_run.run, tmp_path / "in", tmp_path / "out") == 2
    errors = capsys.readouterr().err.splitlines()
    assert [Path(line.split(": ")[1]).name for line in errors] == ["b.nii.gz", "c.png"]
    assert not (tmp_path / "out").exists()


def test_two_inputs_of_one_name(smoke_run, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    nifti(tmp_path / "in" / "a.nii.gz")
    nifti(tmp_path / "in" / "a.nii")
    assert infer(smoke_run.run, tmp_path / "in", tmp_path / "out") == 2
    assert "would be written to a_seg.nii.gz, as a.nii would" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_existing_masks_are_kept(smoke_run, tmp_path, capsys):
    scan = nifti(tmp_path / "a.nii.gz")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a_seg.nii.gz").write_text("mine")
    assert infer(smoke_run.run, scan, tmp_path / "out") == 2
    assert "is there already; choose another folder or pass --overwrite" in capsys.readouterr().err
    assert (tmp_path / "out" / "a_seg.nii.gz").read_text() == "mine"
    assert infer(smoke_run.run, scan, tmp_path / "out", "--overwrite") == 0
    assert nib.load(tmp_path / "out" / "a_seg.nii.gz").shape == blob().shape


def test_an_input_is_never_an_output(smoke_run, tmp_path, capsys):
    nifti(tmp_path / "a.nii.gz")
    nifti(tmp_path / "a_seg.nii.gz")
    before = (tmp_path / "a_seg.nii.gz").read_bytes()
    assert infer(smoke_run.run, tmp_path, tmp_path, "--overwrite") == 2
    assert "a_seg.nii.gz: is an input, and the output for a.nii.gz too" in capsys.readouterr().err
    assert (tmp_path / "a_seg.nii.gz").read_bytes() == before


REFUSED = {
    "no bundle": (["{tmp}/none"], "{tmp}", [], "none: does not exist"),
    "no input": (["{run}"], "{tmp}/none", [], "none: does not exist"),
    "empty folder": (["{run}"], "{tmp}", [], "holds no image"),
    "option": (["{run}"], "{tmp}", ["--overlap", "2"], "--overlap: must be from 0"),
    "flips of another dimension": (["{run}"], "{tmp}", ["--flips", "3"], "--flips: takes each"),
    "no bundle at all": (["{tmp}"], "{run}", [], "is neither a run folder"),
}


@pytest.mark.parametrize(("bundles", "source", "options", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(smoke_run, tmp_path, capsys, bundles, source, options, message):
    places = {"tmp": tmp_path / "empty", "run": smoke_run.run}
    places["tmp"].mkdir()
    filled = [Path(bundle.format(**places)) for bundle in bundles]
    assert infer(filled, source.format(**places), tmp_path / "out", *options) == 2
    error = capsys.readouterr().err
    assert re.search(f"^error: .*{message}", error)
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_bundle_in_a_zip_file(smoke_run, tmp_path, capsys):
    write_zip(smoke_run.bundle, tmp_path / "heart.zip")
    source = nifti(tmp_path / "a.nii.gz")
    for bundle, name in ((smoke_run.bundle, "folder"), (tmp_path / "heart.zip", "zip")):
        assert infer(bundle, source, tmp_path / name) == 0
    masks = [np.asarray(nib.load(tmp_path / name / "a_seg.nii.gz").dataobj) for name in ("folder", "zip")]
    np.testing.assert_array_equal(*masks)
    assert infer(tmp_path / "heart.zip", source, tmp_path / "other", "--trust", "0" * 64) == 2
    assert "error: --trust: " + "0" * 64 + " is of nothing that was given" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    return make_sources(tmp_path_factory.mktemp("slices"))


def test_fusion_with_weights(slices, tmp_path, capsys):
    """Masks and detections are the weighted means of those that give them, with flips as augmentation."""
    names = ["both", "masks", "detector"]
    options = ("--weights", 1, 2, 3, "--flips", "lr")
    scans = slices / "data" / "images"
    assert infer([slices / name for name in names], scans, tmp_path / "out", *options) == 0
    entry, settings = {"image": str(scans / "oct_0001.nii.gz")}, InferenceSettings(flips=("lr",))
    both, masks, detector = (load_predictor(slices / name, settings)[0] for name in names)
    probabilities = (both.predict_probabilities(entry) + 2 * masks.predict_probabilities(entry)) / 3
    expected = (both.predict_presence(entry)[0] + 3 * detector.predict_presence(entry)[0]) / 4
    mask = read_volume(tmp_path / "out" / "oct_0001_seg.nii.gz")
    np.testing.assert_array_equal(mask.array, probabilities.argmax(0).numpy())
    content = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert [case["case_id"] for case in content["cases"]] == ["oct_0001", "oct_0002", "oct_0003"]
    told = content["cases"][0]
    for number, kind in enumerate(content["kinds"]):
        np.testing.assert_allclose(told["slices"][kind]["probability"], expected[number], atol=2e-6)
        assert told["volume"][kind]["probability"] == pytest.approx(expected[number].max(), abs=2e-6)
    assert [(source["name"], source["flips"]) for source in content["sources"]] == [(name, ["lr"]) for name in names]
    assert [source["weight"] for source in content["sources"]] == pytest.approx([1 / 6, 1 / 3, 1 / 2], abs=1e-6)
    assert content["resources"]["seconds_per_volume"] > 0
    table = list(csv.DictReader((tmp_path / "out" / "detections.csv").read_text().splitlines()))
    assert len(table) == 3 * 3 * (1 + SHAPE[2])
    assert {row["truth"] for row in table} == {""}
    assert infer(slices / "masks", scans, tmp_path / "out", "--overwrite") == 0
    assert not list((tmp_path / "out").glob("detections*"))


def test_detections_alone(slices, tmp_path, capsys):
    assert infer(slices / "detector", slices / "data" / "images", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["detections.csv", "detections.json"]
    told = capsys.readouterr().out
    assert "oct_0001: retinal oedema " in told
    assert "3 of 3 images looked at, no masks made" in told
    assert infer(slices / "detector", slices / "data" / "images", tmp_path / "out") == 2
    assert "holds a finished run (detections.json)" in capsys.readouterr().err
    assert infer(slices / "masks", slices / "data" / "images", tmp_path / "out") == 2
    assert not list((tmp_path / "out").glob("*_seg*"))


def test_pictures_of_a_volume_have_millilitres_where_their_spacing_is_known(slices, tmp_path, capsys):
    volume = read_volume(sorted((slices / "data" / "images").iterdir())[0]).array
    folder = tmp_path / "in" / "eye"
    folder.mkdir(parents=True)
    for number in range(volume.shape[2]):
        Image.fromarray(np.ascontiguousarray(volume[:, :, number]).astype(np.uint8)).save(folder / f"{number + 1}.png")
    assert infer(slices / "both", folder, tmp_path / "unknown") == 0
    said = capsys.readouterr().out
    assert " voxels" in said
    assert " mL" not in said
    assert {row["volume_ml"] for row in rows(tmp_path / "unknown")} == {""}
    (folder / "spacing.json").write_text('{"spacing_mm": [0.5, 0.25, 2]}')
    assert infer(slices / "both", folder, tmp_path / "known") == 0
    for row in rows(tmp_path / "known"):
        assert float(row["volume_ml"]) == pytest.approx(int(row["voxels"]) * 0.25 / 1000, abs=1e-6)

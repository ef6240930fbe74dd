"""The infer_dicom command: one series in, three objects out; every refusal is one line that names no patient."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from pipelines.data.dataset import read_dataset
from pipelines.infer import main as infer
from pipelines.infer_dicom import build_parser, main
from pipelines.prediction.loading import InferenceSettings, load_predictor
from tests.pipelines.export.slices_run import make_slices_run
from tests.transforms.io.dicom_phantom import phantom_slice
from transforms.io.dicom_images import write_dicom_series
from transforms.io.dicom_segmentation import read_segmentation
from transforms.io.dicom_series import read_series
from transforms.io.segment_codes import codes_of_metadata
from transforms.io.volume import read_volume

NODE = "dicom://PACS@127.0.0.1:9"


@pytest.fixture(scope="module")
def series(smoke_run, tmp_path_factory):
    """A test case of the phantom cohort as a DICOM series."""
    folder = tmp_path_factory.mktemp("series") / "Roe_Jane"
    case = read_dataset(smoke_run.data).test[0]
    volume = read_volume(case.images[0])
    write_dicom_series(folder, np.round(volume.array), volume.affine, name="Roe_Jane")
    return folder


def run(smoke_run, source, target, *options) -> int:
    words = ["--bundle", str(smoke_run.bundle), "--input", str(source), "--output", str(target), "--device", "cpu"]
    return main([*words, *map(str, options)])


def refused(capsys) -> str:
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: "), said.err
    assert said.err.count("\n") == 1
    assert "Roe" not in said.err
    return said.err


def test_the_segmentation_is_the_mask_that_infer_writes(smoke_run, series, tmp_path, capsys):
    assert run(smoke_run, series, tmp_path / "out") == 0
    said = capsys.readouterr()
    assert "Roe" not in said.out + said.err
    words = ["--bundle", str(smoke_run.bundle), "--input", str(series), "--output", str(tmp_path / "masks")]
    assert infer([*words, "--device", "cpu"]) == 0
    (mask,) = (tmp_path / "masks").glob("*.nii.gz")
    metadata = json.loads((smoke_run.bundle / "configs/metadata.json").read_text())
    source = read_series(series)
    found = read_segmentation(tmp_path / "out" / "segmentation.dcm", source, codes_of_metadata(metadata))
    assert found.any()
    np.testing.assert_array_equal(found, read_volume(mask).array)
    receipt = json.loads((tmp_path / "out" / "receipt.json").read_text())
    millilitres = abs(np.linalg.det(source.geometry.affine[:3, :3])) / 1000
    assert receipt["findings"][0]["volume_ml"] == pytest.approx(found.sum() * millilitres, abs=1e-3)


def test_an_exported_zip_does_the_same(smoke_run, series, tmp_path):
    from pipelines.export_bundle import write_zip

    write_zip(smoke_run.bundle, tmp_path / "bundle.zip")
    words = ["--input", str(series), "--output", str(tmp_path / "out"), "--device", "cpu", "--form", "labelmap"]
    assert main(["--bundle", str(tmp_path / "bundle.zip"), *words]) == 0
    metadata = json.loads((smoke_run.bundle / "configs/metadata.json").read_text())
    found = read_segmentation(tmp_path / "out" / "segmentation.dcm", read_series(series), codes_of_metadata(metadata))
    predictor, _ = load_predictor(smoke_run.bundle, InferenceSettings())
    np.testing.assert_array_equal(found, predictor.predict({"image": str(series)}).labels)


def two_series(folder):
    for number in range(3):
        extra = phantom_slice(number)
        extra.SeriesInstanceUID = "1.2.3.4"
        extra.save_as(folder / f"extra_Roe_{number}.dcm", enforce_file_format=True)


def lacks_a_slice(folder):
    (folder / "0005.dcm").unlink()


def has_a_slice_twice(folder):
    import pydicom

    copy = pydicom.dcmread(folder / "0005.dcm")
    copy.SOPInstanceUID = copy.file_meta.MediaStorageSOPInstanceUID = "1.2.3.9"
    copy.save_as(folder / "Roe_copy.dcm")


def changed(folder, **values):
    import pydicom

    file = folder / "0005.dcm"
    data = pydicom.dcmread(file)
    for keyword, value in values.items():
        if value is None:
            delattr(data, keyword)
        else:
            setattr(data, keyword, value)
    data.save_as(file)


FAULTS = {
    "two series": (two_series, "holds 2"),
    "a missing slice": (lacks_a_slice, "unevenly spaced or one is missing"),
    "a slice twice": (has_a_slice_twice, "several slices at one position"),
    "mixed orientation": (
        lambda folder: changed(folder, ImageOrientationPatient=[0, 1, 0, 1, 0, 0]),
        "oriented differently",
    ),
    "mixed spacing": (lambda folder: changed(folder, PixelSpacing=[1.0, 1.5]), "another PixelSpacing"),
    "no position": (lambda folder: changed(folder, ImagePositionPatient=None), "no usable ImagePositionPatient"),
    "no pixels": (lambda folder: changed(folder, PixelData=None), "without pixels"),
    "truncated pixels": (lambda folder: changed(folder, PixelData=b"\0\0" * 11), "truncated or damaged"),
    "no frame of reference": (lambda folder: changed_all(folder, "FrameOfReferenceUID"), "has no FrameOfReferenceUID"),
    "no file": (lambda folder: [file.unlink() for file in folder.iterdir()], "holds no DICOM images"),
    "gantry tilt": (lambda folder: tilt(folder), "gantry tilt"),
}


def changed_all(folder, keyword):
    import pydicom

    for file in folder.iterdir():
        data = pydicom.dcmread(file)
        delattr(data, keyword)
        data.save_as(file)


def tilt(folder):
    import pydicom

    for number, file in enumerate(sorted(folder.iterdir())):
        data = pydicom.dcmread(file)
        x, y, z = (float(value) for value in data.ImagePositionPatient)
        data.ImagePositionPatient = [x, y + 0.5 * number, z]
        data.save_as(file)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_series_that_is_no_volume_is_refused_in_one_line(smoke_run, series, tmp_path, capsys, fault):
    folder = tmp_path / "Roe_Jane"
    shutil.copytree(series, folder)
    change, reason = FAULTS[fault]
    change(folder)
    assert run(smoke_run, folder, tmp_path / "out") == 2
    told = refused(capsys)
    assert told.startswith("error: --input: ")
    assert reason in told
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--output", NODE], "--receipt: must name a file"),
        (["--output", NODE, "--receipt", "nowhere/receipt.json"], "--receipt: cannot be written"),
        (["--input", NODE], "--input: holds many patients"),
        (["--input", "nowhere"], "--input: is no folder"),
        (["--input", "http://user:secret@host/dicom-web", "--study-uid", "1.2"], "in a file, never in an address"),
        (["--output", "ftp://host/path"], "is no address of an archive"),
        (["--study-uid", "one"], "is no UID"),
        (["--description", "["], "is no regular expression"),
        (["--move-port", "0"], "--move-port: must be a port"),
        (["--credentials", "nowhere.txt"], "nowhere.txt: cannot be read"),
        (["--ca-file", "nowhere.pem", "--client-key", "key.pem"], "key"),
        (["--answer-s", "-1"], "--answer-s: must be"),
        (["--uid-root", "1.02.3"], "UID root"),
        (["--bundle", "nowhere"], "nowhere: does not exist"),
        (["--device", "gpu"], "--device"),
        (["--trust", "abc"], "--trust"),
    ],
)
def test_options_that_cannot_be_right(smoke_run, series, tmp_path, capsys, options, told):
    assert run(smoke_run, series, tmp_path / "out", *options) == 2
    assert told in refused(capsys)


def test_finished_results_are_not_written_over(smoke_run, series, tmp_path, capsys):
    output = tmp_path / "out"
    output.mkdir()
    (output / "receipt.json").write_text("{}")
    assert run(smoke_run, series, output) == 2
    assert "--overwrite" in refused(capsys)
    assert (output / "receipt.json").read_text() == "{}"


def test_a_series_of_another_modality_needs_to_be_asked_for(smoke_run, series, tmp_path, capsys):
    folder = tmp_path / "ct"
    volume = read_volume(series)
    write_dicom_series(folder, volume.array, volume.affine, name="ct", modality="CT")
    assert run(smoke_run, folder, tmp_path / "out") == 2
    assert "--modality CT takes it" in refused(capsys)
    assert run(smoke_run, folder, tmp_path / "out", "--modality", "CT") == 0


def test_every_option_is_explained(capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["--help"])
    said = capsys.readouterr().out
    for word in ("--receipt", "--study-uid", "--credentials", "--ca-file", "--trust", "not for diagnosis"):
        assert word in said


def test_help_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys, pipelines.infer_dicom as command; command.build_parser();"
        "print([name for name in ('torch', 'monai', 'pydicom', 'highdicom', 'pynetdicom') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_an_oct_series_and_an_exported_network_of_slices(tmp_path, capsys):
    """B-scans, upright and in the order of their places, whatever the files are called: the mask of the volume
    itself, whose first axis is along the B-scans' rows."""
    from pipelines.data.phantoms import make_case
    from pipelines.export.bundle_export import export_run

    phantom = make_case("oct", 0, shape=(48, 64, 9))
    export_run(make_slices_run(tmp_path / "run"), tmp_path / "bundle", None)
    array, affine = phantom.image.swapaxes(0, 1), phantom.affine[:, [1, 0, 2, 3]]
    files = write_dicom_series(tmp_path / "series", array, affine, name="Roe_Jane", modality="OPT")
    for number, file in enumerate(files):
        file.rename(file.with_name(f"{(7 * number) % 9:04d}_bscan.dcm"))
    volume = read_volume(tmp_path / "series")
    np.testing.assert_array_equal(volume.array, array)
    words = ["--bundle", str(tmp_path / "bundle"), "--input", str(tmp_path / "series"), "--device", "cpu"]
    assert main([*words, "--output", str(tmp_path / "out"), "--modality", "OPT"]) == 0
    assert "Roe" not in "".join(capsys.readouterr())
    metadata = json.loads((tmp_path / "bundle" / "configs" / "metadata.json").read_text())
    source = read_series(tmp_path / "series")
    found = read_segmentation(tmp_path / "out" / "segmentation.dcm", source, codes_of_metadata(metadata))
    # Independent of the command and of the reader: the exported network on the array itself.
    network = torch.jit.load(tmp_path / "bundle" / "models" / "model.ts")
    with torch.inference_mode():
        image = (torch.from_numpy(array.astype(np.float32))[None, None] - 40.0) / 30.0
        expected = network(image)[0].argmax(dim=0).numpy()
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(found, expected)

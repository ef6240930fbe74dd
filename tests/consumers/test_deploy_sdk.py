"""An exported bundle in an application of the MONAI Deploy App SDK: the mask of ``infer``, voxel for voxel."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from pipelines.infer import main
from tests.consumers.environments import Environment, make_environment
from tests.data_sets import FOLDER, needs_data

pytestmark = pytest.mark.slow

APPLICATION = Path(__file__).with_name("deploy_sdk_app.py")
TURN = np.deg2rad(12)
ALONG, DOWN = np.array([np.cos(TURN), np.sin(TURN), 0.0]), np.array([0.0, 0.0, -1.0])


@pytest.fixture(scope="module")
def bundle(smoke_run, tmp_path_factory):
    return shutil.copytree(smoke_run.bundle, tmp_path_factory.mktemp("bundles") / "heart_mr_segmentation")


@pytest.fixture(scope="module")
def sdk(bundle, tmp_path_factory) -> Environment:
    """The SDK beside what the bundle's metadata asks for; torch first, or pip takes one for CUDA."""
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    pins = [f"{name}=={version}" for name, version in metadata["required_packages_version"].items()]
    steps = [
        [f"torch=={metadata['pytorch_version']}"],
        ["monai-deploy-app-sdk==4.0.0"],
        [f"monai=={metadata['monai_version']}", *pins, "pydicom", "highdicom"],
    ]
    return make_environment("deploy", steps, tmp_path_factory.mktemp("environments"))


@pytest.fixture(scope="module")
def series(smoke_run, tmp_path_factory):
    """A phantom as an oblique MR series, whose slices are thinner than they are apart."""
    folder = tmp_path_factory.mktemp("series")
    scan = np.asarray(nib.load(sorted((smoke_run.data / "images").iterdir())[0]).dataobj, dtype=np.float64)
    pixels = np.ascontiguousarray((scan - scan.min()) / np.ptp(scan) * 1000).astype(np.uint16)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for number in range(pixels.shape[2]):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
        data.SOPClassUID, data.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
        data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex = "Phantom", "P1", "", ""
        data.StudyDate, data.StudyTime, data.StudyID, data.AccessionNumber = "20260102", "030405", "1", ""
        data.SeriesDescription, data.StudyDescription, data.Manufacturer = "phantom", "phantom", "none"
        data.Modality, data.SeriesNumber, data.InstanceNumber = "MR", 1, number + 1
        data.Rows, data.Columns, data.SamplesPerPixel = pixels.shape[1], pixels.shape[0], 1
        data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME2", 0
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.PixelSpacing, data.SliceThickness = [2.0, 2.0], 1.5
        data.ImageOrientationPatient = [round(float(value), 8) for value in (*ALONG, *DOWN)]
        position = np.array([10.0, -20.0, 30.0]) + number * 2.5 * np.cross(ALONG, DOWN)
        data.ImagePositionPatient = [round(float(value), 6) for value in position]
        data.PixelData = pixels[:, :, number].T.tobytes()
        data.save_as(folder / f"IM{number:03}.dcm", enforce_file_format=True)
    return folder


def differing(sdk: Environment, bundle: Path, series: Path, folder: Path) -> tuple[int, int]:
    """Segment a series there and here; give the voxels of another label, and how many have a label here."""
    file = folder / "mask.npz"
    done = sdk.run([APPLICATION, bundle / "models" / "model.ts", series, file], folder)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    theirs = np.load(file)
    arguments = ["--bundle", str(bundle), "--input", str(series), "--output", str(folder / "ours")]
    assert main([*arguments, "--device", "cpu"]) == 0
    (path,) = (folder / "ours").glob("*.nii.gz")
    ours = nib.load(path)
    # Each side has its own order of axes and slices: voxels are compared that lie at the same place in the patient.
    step = np.linalg.inv(ours.affine) @ theirs["affine"]
    indices = np.indices(theirs["mask"].shape).reshape(3, -1)
    places = step[:3, :3] @ indices + step[:3, 3:]
    np.testing.assert_allclose(places, np.rint(places), atol=1e-2)
    here = np.asarray(ours.dataobj)
    assert here.size == theirs["mask"].size
    there = np.rint(places).astype(int)
    assert (there >= 0).all()
    return int((here[tuple(there)] != theirs["mask"].ravel()).sum()), int(np.count_nonzero(here))


def test_nothing_of_ours_is_there(sdk, tmp_path):
    assert "No module named 'pipelines'" in sdk.run(["-c", "import pipelines"], tmp_path).stderr


def test_a_phantom_series(sdk, bundle, series, tmp_path):
    wrong, found = differing(sdk, bundle, series, tmp_path)
    assert wrong == 0
    assert found > 100


@needs_data("brain_mr_dicom")
def test_a_real_series(sdk, bundle, tmp_path):
    wrong, found = differing(sdk, bundle, FOLDER / "brain_mr_dicom" / "images" / "Study3" / "11-T1post-18670", tmp_path)
    assert wrong == 0
    assert found > 100

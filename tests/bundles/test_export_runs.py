"""An exported bundle under MONAI's own commands: it runs without this project and gives the masks of ``infer``."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, load, verify_net_in_out
from monai.bundle.properties import InferProperties

from pipelines.export.bundle_export import export_run, read_run
from pipelines.export.bundle_logging import logging_faults
from pipelines.export.stock_run import run_stock
from pipelines.export.weight_forms import ONNX, allowed_difference
from pipelines.infer import main

TURN = np.deg2rad(11)
TURNED = np.array([[np.cos(TURN), -np.sin(TURN), 0], [np.sin(TURN), np.cos(TURN), 0], [0, 0, 1]])
# Voxel axes to patient axes: as stored by most scanners, mirrored, permuted, oblique, odd, and a single slice.
GRIDS = {
    "ras": (np.diag([2.0, 2.0, 2.0]), (40, 36, 32)),
    "lps": (np.diag([-2.0, -2.0, 2.0]), (37, 29, 23)),
    "permuted": (np.array([[0, 0, -2.2], [-1.8, 0, 0], [0, 2.5, 0]]), (30, 24, 41)),
    "oblique": (TURNED @ np.diag([-1.7, -2.1, 3.0]), (33, 35, 19)),
    "slice": (np.diag([-1.5, -1.5, 8.0]), (64, 64, 1)),
    "small": (np.diag([-2.5, 2.5, 2.5]), (9, 11, 5)),
}


@pytest.fixture(scope="module")
def images(smoke_run, tmp_path_factory):
    """A scan of every kind of grid."""
    folder = tmp_path_factory.mktemp("images")
    scan = np.asarray(nib.load(next((smoke_run.data / "images").iterdir())).dataobj, dtype=np.float32)
    for name, (axes, shape) in GRIDS.items():
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = axes, (12.5, -30, 7)
        steps = [np.linspace(0, side - 1, size).astype(int) for side, size in zip(scan.shape, shape, strict=True)]
        image = nib.Nifti1Image(scan[np.ix_(*steps)].astype(np.int16), affine)
        image.set_sform(affine, code=1)
        image.set_qform(affine, code=1)
        nib.save(image, folder / f"{name}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def ours(smoke_run, images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ours")
    assert (
        main(["--bundle", str(smoke_run.run), "--input", str(images), "--output", str(folder), "--device", "cpu"]) == 0
    )
    return folder


@pytest.fixture(scope="module")
def theirs(smoke_run, images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("theirs") / "masks"
    run_stock(smoke_run.bundle, images, folder)
    return folder


def test_a_mask_for_every_image(ours, theirs):
    assert sorted(path.name for path in theirs.iterdir()) == sorted(path.name for path in ours.glob("*.nii.gz"))


@pytest.mark.parametrize("name", GRIDS)
def test_the_masks_of_infer(images, ours, theirs, name):
    image = nib.load(images / f"{name}.nii.gz")
    masks = [nib.load(folder / f"{name}_seg.nii.gz") for folder in (ours, theirs)]
    # MONAI's SaveImage drops the third axis of a single slice; infer keeps it.
    shapes = image.shape, image.shape[:2] if image.shape[2] == 1 else image.shape
    for mask, shape in zip(masks, shapes, strict=True):
        assert mask.shape == shape
        assert mask.get_data_dtype() == np.uint8
        np.testing.assert_allclose(mask.affine, image.affine, atol=1e-5)
    mine, stock = (np.asarray(mask.dataobj) for mask in masks)
    np.testing.assert_array_equal(mine, stock.reshape(mine.shape))
    assert mine.max() <= 1


def test_the_comparison_is_worth_something(ours):
    shares = [np.asarray(nib.load(path).dataobj).mean() for path in ours.glob("*.nii.gz")]
    assert sum(0.02 < share < 0.98 for share in shares) >= 3


@pytest.fixture
def bundle(smoke_run, tmp_path):
    return shutil.copytree(smoke_run.bundle, tmp_path / "heart_mr_segmentation")


def test_monai_finds_every_property(bundle):
    workflow = ConfigWorkflow(
        config_file=str(bundle / "configs" / "inference.json"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="inference",
        bundle_root=str(bundle),
        device="$torch.device('cpu')",
        dataset_dir=str(bundle),
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    for name, entry in InferProperties.items():
        if entry["required"]:
            assert getattr(workflow, name) is not None


def test_monai_loads_the_network(bundle):
    options = {"bundle_dir": str(bundle.parent), "workflow_type": "inference", "device": "cpu"}
    scripted = load(bundle.name, load_ts_module=True, **options)
    network = (scripted[0] if isinstance(scripted, tuple) else scripted).eval()
    with torch.inference_mode():
        probabilities = network(torch.randn(1, 1, 20, 33, 17))
    assert probabilities.shape == (1, 2, 20, 33, 17)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(1, 20, 33, 17))


def test_monai_loads_weights_into_the_network_of_the_configuration(smoke_run, bundle, tmp_path, monkeypatch):
    """From any folder, in the way of the model zoo's bundles."""
    monkeypatch.chdir(tmp_path)
    network = load(
        bundle.name,
        bundle_dir=str(bundle.parent),
        workflow_type="inference",
        device="cpu",
    ).eval()
    source = read_run(smoke_run.run).predictor
    image = torch.randn(2, 1, 32, 48, 16)
    with torch.inference_mode():
        torch.testing.assert_close(network(image), source(image), rtol=0, atol=1e-5)


def test_monai_exports_it_again(bundle, tmp_path):
    """What the model zoo does with every bundle."""
    ckpt_export(
        net_id="network_def",
        filepath=str(tmp_path / "again.ts"),
        ckpt_file=str(bundle / "models" / "model.pt"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        config_file=str(bundle / "configs" / "inference.json"),
        bundle_root=str(bundle),
        device="cpu",
    )
    extra = {"inference.json": ""}
    again, first = torch.jit.load(tmp_path / "again.ts", _extra_files=extra), torch.jit.load(bundle / "models/model.ts")
    image = torch.randn(1, 1, 32, 48, 16)
    with torch.inference_mode():
        torch.testing.assert_close(again.eval()(image), first.eval()(image), rtol=0, atol=1e-6)
    assert json.loads(extra["inference.json"])["network"].startswith("$torch.jit.load")


@pytest.mark.parametrize("file", ["inference.json", "evaluate.json"])
def test_what_monai_label_and_the_deploy_sdk_ask_of_a_configuration(bundle, file):
    """Spacingd takes every `image_...` key for metadata and dies of MONAI Label's `image_path`, a text."""
    config = json.loads((bundle / "configs" / file).read_text())
    steps = config["preprocessing"]["transforms"]
    targets = [step["_target_"] for step in steps]
    (deletion,) = (index for index, step in enumerate(steps) if step["_target_"] == "DeleteItemsd")
    assert steps[deletion]["keys"] == "image_path"
    assert targets[0] == "LoadImaged"
    assert deletion < targets.index("Spacingd")
    keys = {key for step in steps if step is not steps[deletion] for key in np.atleast_1d(step["keys"])}
    keys |= {key for step in config["postprocessing"]["transforms"] for key in np.atleast_1d(step["keys"])}
    assert keys <= {"image", "label", "pred"}
    assert "'image_" not in config["datalist"]
    assert {"bundle_root", "device", "network_def", "preprocessing", "postprocessing", "inferer"} <= set(config)
    assert not any("@datalist" in json.dumps(config[part]) for part in ("preprocessing", "postprocessing", "inferer"))


def test_monai_label_data_pass_the_preprocessing(bundle, images):
    """With the key that MONAI Label adds to every case."""
    parser = ConfigParser(json.loads((bundle / "configs" / "inference.json").read_text()))
    path = str(images / "oblique.nii.gz")
    prepared = parser.get_parsed_content("preprocessing")({"image": path, "image_path": path})
    assert "image_path" not in prepared
    assert prepared["image"].shape[0] == 1


def test_monai_takes_the_logging_configuration(bundle):
    assert logging_faults((bundle / "configs" / "logging.conf").read_text()) == []


@pytest.mark.slow
def test_onnxruntime_alone(smoke_run, tmp_path):
    """The exported bundle's ONNX file, in a process without torch, MONAI and this project."""
    export_run(smoke_run.run, tmp_path / "b", None, [ONNX])
    image = torch.randn(2, 1, 21, 34, 18)
    np.save(tmp_path / "image.npy", image.numpy())
    code = (
        "import sys, numpy, onnxruntime\n"
        "session = onnxruntime.InferenceSession('b/models/model.onnx', providers=['CPUExecutionProvider'])\n"
        "numpy.save('pred.npy', session.run(['pred'], {'image': numpy.load('image.npy')})[0])\n"
        "assert not {'torch', 'monai', 'networks'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, check=True, timeout=300)
    source = read_run(smoke_run.run).predictor
    with torch.inference_mode():
        expected = source(image)
    found = torch.from_numpy(np.load(tmp_path / "pred.npy"))
    assert float((found - expected).abs().max()) <= allowed_difference(ONNX, source, [image])


def test_monai_checks_what_goes_in_and_out(bundle):
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(bundle / "configs" / "metadata.json"),
        config_file=str(bundle / "configs" / "inference.json"),
        n=2,
        bundle_root=str(bundle),
        device="cpu",
    )
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert metadata["network_data_format"]["outputs"]["pred"]["num_channels"] == 2


@pytest.mark.slow
def test_from_a_list_of_images(smoke_run, images, ours, tmp_path):
    """What MONAI's own documentation does: the data list is replaced, images lie anywhere."""
    (tmp_path / "images").mkdir()
    shutil.copyfile(images / "oblique.nii.gz", tmp_path / "images" / "one.nii.gz")
    run_stock(smoke_run.bundle, tmp_path / "images", tmp_path / "masks")
    found = np.asarray(nib.load(tmp_path / "masks" / "one_seg.nii.gz").dataobj)
    np.testing.assert_array_equal(found, np.asarray(nib.load(ours / "oblique_seg.nii.gz").dataobj))

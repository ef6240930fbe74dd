"""An exported bundle where there is torch, MONAI, what its metadata asks for, and nothing of this project."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from pipelines.export.bundle_export import export_run
from pipelines.infer import main
from tests.consumers.environments import Environment, make_environment
from tests.pipelines.export.slices_run import make_slices_run
from tests.pipelines.tiny_edema import make_tiny_oct

pytestmark = pytest.mark.slow

LOAD = """
import sys, torch
from monai.bundle import load
network = load(sys.argv[1], bundle_dir=sys.argv[2], workflow_type=sys.argv[3], device="cpu").eval()
with torch.inference_mode():
    torch.save(network(torch.load(sys.argv[4], weights_only=True)).clone(), sys.argv[5])
"""


@pytest.fixture(scope="module")
def bundle(smoke_run, tmp_path_factory):
    """The bundle alone, away from the run that it came from."""
    return shutil.copytree(smoke_run.bundle, tmp_path_factory.mktemp("bundles") / "heart_mr_segmentation")


@pytest.fixture(scope="module")
def stock(bundle, tmp_path_factory) -> Environment:
    """The environment that the bundle's metadata describes."""
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    pins = [f"{name}=={version}" for name, version in metadata["required_packages_version"].items()]
    steps = [
        [f"torch=={metadata['pytorch_version']}"],
        [f"monai=={metadata['monai_version']}", f"numpy=={metadata['numpy_version']}", *pins],
    ]
    return make_environment("stock", steps, tmp_path_factory.mktemp("environments"))


@pytest.fixture(scope="module")
def images(smoke_run):
    return smoke_run.data / "images"


@pytest.mark.parametrize("package", ["networks", "transforms", "pipelines", "bundles"])
def test_nothing_of_ours_is_there(stock, tmp_path, package):
    done = stock.run(["-c", f"import {package}"], tmp_path)
    assert f"No module named '{package}'" in done.stderr


def test_monai_bundle_run_gives_the_masks_of_infer(stock, bundle, images, tmp_path):
    compare_masks(stock, bundle, images, tmp_path)


def test_of_a_bundle_that_looks_at_slices_too(stock, tmp_path):
    """Volumes whose axes lie otherwise than those of the training are among them."""
    export_run(make_slices_run(tmp_path / "run", axcodes="PLI"), tmp_path / "oct_segmentation", None)
    images = make_tiny_oct(tmp_path / "data") / "images"
    compare_masks(stock, tmp_path / "oct_segmentation", images, tmp_path)


def compare_masks(stock: Environment, bundle: Path, images: Path, folder: Path) -> None:
    """Segment there and here, and compare voxel by voxel."""
    config = bundle / "configs" / "inference.json"
    options = {"config_file": config, "bundle_root": bundle, "dataset_dir": images, "output_dir": folder / "theirs"}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    done = stock.run(["-m", "monai.bundle", "run", *words, "--device", "$torch.device('cpu')"], folder)
    assert done.returncode == 0, done.stderr[-3000:]
    arguments = ["--bundle", str(bundle), "--input", str(images), "--output", str(folder / "ours")]
    assert main([*arguments, "--device", "cpu"]) == 0
    masks = sorted((folder / "ours").glob("*.nii.gz"))
    assert len(masks) == len(list(images.iterdir())) >= 2
    for mask in masks:
        ours, theirs = nib.load(mask), nib.load(folder / "theirs" / mask.name)
        np.testing.assert_array_equal(np.asarray(ours.dataobj), np.asarray(theirs.dataobj))
        np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-5)
    assert any(0 < np.asarray(nib.load(mask).dataobj).mean() < 3 for mask in masks)


def load_with_monai(stock, bundle, folder, workflow_type):
    """Load and run the network from another folder than the bundle's: its configuration must hold from anywhere."""
    noise = torch.randn(2, 1, 32, 48, 16)
    torch.save(noise, folder / "noise.pt")
    arguments = [bundle.name, bundle.parent, workflow_type, folder / "noise.pt", folder / "given.pt"]
    return noise, stock.run(["-c", LOAD, *arguments], folder)


def test_monai_bundle_load_gives_the_network(stock, bundle, tmp_path):
    noise, done = load_with_monai(stock, bundle, tmp_path, "inference")
    assert done.returncode == 0, done.stderr[-3000:]
    with torch.inference_mode():
        expected = torch.jit.load(bundle / "models" / "model.ts")(noise)
    torch.testing.assert_close(torch.load(tmp_path / "given.pt", weights_only=True), expected, rtol=0, atol=1e-5)


def test_the_training_asks_for_this_project(stock, bundle, tmp_path):
    _, done = load_with_monai(stock, bundle, tmp_path, "train")
    assert "Cannot locate class or function path: 'pipelines." in done.stderr

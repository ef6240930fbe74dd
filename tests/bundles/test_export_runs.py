"""An exported bundle under MONAI's own commands: it runs without this project and gives the masks of ``infer``."""

from __future__ import annotations

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow, load, verify_net_in_out
from monai.bundle.properties import InferProperties

from pipelines.export.stock_run import run_stock
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

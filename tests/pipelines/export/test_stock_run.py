"""The exported bundle and stock MONAI, in a process without this project."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

from pipelines.export import stock_run
from pipelines.export.bundle_export import export_run
from pipelines.export.stock_run import MaskComparison, compare_with_stock, run_stock
from tests.pipelines.export.slices_run import make_slices_run


def test_stock_monai_gives_our_mask(smoke_run):
    found = compare_with_stock(smoke_run.run, smoke_run.bundle)
    assert found.differing == 0
    assert 0 < found.foreground < found.voxels


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{}, {"slice_size": [24, 32], "slice_axis": 0}, {"spatial_dims": 2}, {"axcodes": "PLI"}], ids=str
)
def test_stock_monai_gives_our_mask_of_slices(tmp_path, settings):
    run = make_slices_run(tmp_path / "run", **settings)
    export_run(run, tmp_path / "bundle", None)
    found = compare_with_stock(run, tmp_path / "bundle")
    assert found.differing == 0
    assert 0 < found.foreground < found.voxels


def test_the_process_cannot_import_this_project(smoke_run, tmp_path, monkeypatch):
    """MONAI's part is left out here: what matters is what Python does before it."""
    probe = tmp_path / "python"
    probe.write_text(
        "#!/bin/sh\nfor name in networks transforms pipelines bundles; do\n"
        f'  {sys.executable} -c "import $name" 2>> {tmp_path}/said && exit 0\ndone\n'
        "echo all absent; exit 3\n"
    )
    probe.chmod(0o755)
    monkeypatch.setattr(stock_run.sys, "executable", str(probe))
    with pytest.raises(RuntimeError, match=r"does not run with MONAI alone \(status 3\):\nall absent"):
        run_stock(smoke_run.bundle, tmp_path, tmp_path / "out")
    said = (tmp_path / "said").read_text().splitlines()
    absent = [line for line in said if line.startswith("ModuleNotFoundError")]
    packages = ("networks", "transforms", "pipelines", "bundles")
    assert absent == [f"ModuleNotFoundError: {name} is not installed here" for name in packages]


@pytest.mark.parametrize("masks", [0, 2])
def test_as_many_masks_as_images(smoke_run, monkeypatch, masks):
    def leave(bundle, images, output, channels):
        output.mkdir()
        for index in range(masks):
            shutil.copyfile(next(images.iterdir()), output / f"{index}.nii.gz")

    monkeypatch.setattr(stock_run, "run_stock", leave)
    with pytest.raises(RuntimeError, match=f"left {masks} masks for one image"):
        compare_with_stock(smoke_run.run, smoke_run.bundle)


def test_differing_voxels_are_counted(smoke_run, monkeypatch):
    def copy_image(bundle, images, output, channels):
        output.mkdir()
        shutil.copyfile(next(images.iterdir()), output / "a.nii.gz")

    monkeypatch.setattr(stock_run, "run_stock", copy_image)
    found = compare_with_stock(smoke_run.run, smoke_run.bundle)
    assert isinstance(found, MaskComparison)
    assert found.differing > 0.9 * found.voxels


@pytest.mark.slow
def test_a_bundle_that_needs_this_project(smoke_run, tmp_path):
    bundle = shutil.copytree(smoke_run.bundle, tmp_path / "bundle")
    file = bundle / "configs" / "inference.json"
    config = json.loads(file.read_text())
    config["initialize"] = ["$__import__('pipelines')"]
    file.write_text(json.dumps(config))
    with pytest.raises(RuntimeError, match=r"does not run with MONAI alone[\s\S]*__import__"):
        run_stock(bundle, smoke_run.data / "images", tmp_path / "out")

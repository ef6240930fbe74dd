"""The metadata of an export: what the network takes and gives, for any number of classes and axes."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import pytest

from pipelines.export.metadata import bundle_metadata
from pipelines.export.metadata_rules import metadata_faults

VERSIONS = {
    "monai": "1.6.1",
    "torch": "2.13.0+cpu",
    "numpy": "2.4.6",
    "nibabel": "5.4.2",
    "pytorch-ignite": "0.5.5",
    "scipy": "1.17.1",
}


def described(dims=3, channels=1, names=("organ",), settings=None, **data):
    config = {"spatial_dims": dims, "in_channels": channels, "num_classes": len(names), **(settings or {})}
    class_names = {str(label): name for label, name in enumerate(names, start=1)}
    record = {"versions": VERSIONS, "class_names": class_names, "data": data}
    return bundle_metadata(config, record, "organ_mr")


@pytest.mark.parametrize(
    ("dims", "axis", "shape"),
    [(3, -1, ["16*n", "16*n", "n"]), (3, 1, ["16*n", "n", "16*n"]), (2, -1, ["16*n", "16*n"])],
)
def test_a_network_of_slices(dims, axis, shape):
    """Any number of slices, and images as a whole: no windows."""
    config = {"head": "slices", "neighbours": 1, "slice_axis": axis, "detects": True}
    metadata = described(dims, names=("REA", "SRF"), settings=config)
    assert metadata_faults(metadata) == []
    formats = metadata["network_data_format"]
    for tensor in (formats["inputs"]["image"], formats["outputs"]["pred"]):
        assert (tensor["spatial_shape"], tensor["is_patch_data"]) == (shape, False)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("names", [("organ",), ("one", "two", "three")])
def test_tensors(dims, channels, names):
    metadata = described(dims, channels, names, modality=["MRI"])
    assert metadata_faults(metadata) == []
    image = metadata["network_data_format"]["inputs"]["image"]
    pred = metadata["network_data_format"]["outputs"]["pred"]
    assert image["num_channels"] == channels
    assert len(image["spatial_shape"]) == len(pred["spatial_shape"]) == dims
    assert pred["num_channels"] == len(names) + 1
    assert [pred["channel_def"][str(label)] for label in range(len(names) + 1)] == ["background", *names]


def test_what_it_says():
    metadata = described(name="hearts", modality=["MRI"])
    assert metadata["name"] == "organ_mr"
    assert metadata["data_source"] == "hearts"
    assert metadata["task"] == "Segmentation of organ"
    assert metadata["pytorch_version"] == "2.13.0"
    assert "not for diagnosis" in metadata["intended_use"]
    assert "not for diagnosis" in metadata["description"]


def test_what_running_it_takes():
    """Beside MONAI, torch and numpy, which have entries of their own; scikit-image keeps the largest components."""
    packages = described()["required_packages_version"]
    assert list(packages) == ["nibabel", "pytorch-ignite", "scipy", "scikit-image", "fire"]
    assert packages["nibabel"] == VERSIONS["nibabel"]
    assert packages["fire"] == version("fire")


def test_a_package_that_is_not_installed_here_is_left_out(monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("pipelines.export.metadata.version", absent)
    assert list(described()["required_packages_version"]) == ["nibabel", "pytorch-ignite", "scipy"]


def test_the_first_change():
    metadata = described(name="hearts")
    assert metadata["changelog"][metadata["version"]].startswith("exported from a training on hearts")
    assert all(isinstance(reference, str) for reference in metadata["references"])


def test_a_data_set_that_says_little():
    metadata = described()
    assert metadata_faults(metadata) == []
    assert metadata["network_data_format"]["inputs"]["image"]["modality"] == "image"

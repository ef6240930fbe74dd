"""``metadata.json`` of an exported bundle, by MONAI's schema of 2024-07-25."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pipelines.console import NOT_FOR_DIAGNOSIS
from pipelines.export.method_words import description, references
from pipelines.prediction.class_predictor import SLICES, head_of
from transforms.io.segment_codes import codes_as_json, segment_codes

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
VERSION = "0.1.0"
# What running the configurations takes beside MONAI, torch and numpy: ignite for the engines, nibabel to read, scipy
# and scikit-image for transforms and metrics, fire for MONAI's command line.
REQUIRED_PACKAGES = ("nibabel", "pytorch-ignite", "scipy", "scikit-image", "fire")


def bundle_metadata(config: Mapping[str, Any], record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Describe what the bundle's network takes and gives, and what it was made with.

    Args:
        config: the run's configuration.
        record: content of the run's ``run.json``.
        name: display name.
    """
    versions = record["versions"]
    data_name = record["data"].get("name", "a data set")
    modality = ", ".join(record["data"].get("modality", [])) or "image"
    classes = {"0": "background", **record["class_names"]}
    codes = segment_codes(
        {int(label): name for label, name in record["class_names"].items()}, config.get("label_codes", {})
    )
    axes = ["16*n"] * int(config["spatial_dims"])
    in_slices = head_of(config) == SLICES
    if in_slices and len(axes) == 3:
        axes[int(config["slice_axis"])] = "n"
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "changelog": {VERSION: _origin(record)},
        "monai_version": versions["monai"],
        "pytorch_version": versions["torch"].split("+")[0],
        "numpy_version": versions["numpy"],
        "required_packages_version": _required_packages(versions),
        "name": name,
        "task": f"Segmentation of {', '.join(record['class_names'].values())}",
        "description": f"{description(config)} trained on {data_name}. {NOT_FOR_DIAGNOSIS}",
        "authors": "Concord contributors and whoever trained this model",
        "copyright": "Of the weights: whoever trained this model, within the terms of the training data",
        "intended_use": f"{NOT_FOR_DIAGNOSIS} {_use(config, record, modality)}",
        "references": references(config),
        "data_source": str(record["data"].get("name", "")),
        "data_type": "nibabel",
        "image_classes": f"{config['in_channels']} channel, {modality}, z-normalised",
        "label_classes": ", ".join(f"{label}: {text}" for label, text in classes.items()),
        "pred_classes": "class probabilities, background first",
        "label_codes": codes_as_json(codes),
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "magnitude",
                    "modality": modality,
                    "num_channels": int(config["in_channels"]),
                    "spatial_shape": axes,
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": not in_slices,
                    "channel_def": {str(index): "image" for index in range(int(config["in_channels"]))},
                }
            },
            "outputs": {
                "pred": {
                    "type": "image",
                    "format": "segmentation",
                    "num_channels": int(config["num_classes"]) + 1,
                    "spatial_shape": axes,
                    "dtype": "float32",
                    "value_range": [0, 1],
                    "is_patch_data": not in_slices,
                    "channel_def": classes,
                }
            },
        },
    }


def _required_packages(recorded: Mapping[str, str]) -> dict[str, str]:
    """Give the versions that the run has recorded, else those that are installed where the bundle is made."""
    found = {}
    for name in REQUIRED_PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = recorded[name] if name in recorded else version(name)
    return found


def _origin(record: Mapping[str, Any]) -> str:
    """Say what the bundle was exported from."""
    data, iterations, seed = record["data"].get("name", "a data set"), record.get("iterations"), record.get("seed")
    return f"exported from a training on {data}, {iterations} iterations, seed {seed}"


def _use(config: Mapping[str, Any], record: Mapping[str, Any], modality: str) -> str:
    names = ", ".join(record["class_names"].values())
    return f"Segments {names} in {config['spatial_dims']}D {modality} like that of its training data."

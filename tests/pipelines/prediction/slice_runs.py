"""Run folders of networks that look at slices of phantoms and have learnt nothing, and a data set of such phantoms."""

from __future__ import annotations

import json

import torch
import yaml
from monai.bundle import ConfigParser

from pipelines.data.phantoms import make_cohort

KINDS = {1: "retinal oedema", 2: "subretinal fluid", 3: "pigment epithelial detachment"}
SHAPE = (32, 48, 9)
UNET = {
    "_target_": "networks.nets.DilatedUNetPlusPlus",
    "spatial_dims": 2,
    "in_channels": 3,
    "out_channels": 4,
    "presence_channels": 3,
    "filters": 2,
    "depth": 2,
    "dilations": [1, 2],
}
DETECTOR = {"_target_": "networks.nets.LesionDetector", "in_channels": 3, "presence_channels": 3, "side": 32}


def slice_config(network, **changes):
    return {
        "keys": ["image"],
        "head": "slices",
        "spatial_dims": 3,
        "in_channels": 1,
        "num_classes": 3,
        "neighbours": 1,
        "slice_axis": -1,
        "slices_at_once": 4,
        "network_def": network,
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {
                    "_target_": "LoadImaged",
                    "keys": "@keys",
                    "reader": "transforms.io.volume_reader.VolumeReader",
                    "ensure_channel_first": True,
                    "allow_missing_keys": True,
                },
                {"_target_": "NormalizeIntensityd", "keys": "image", "subtrahend": 40.0, "divisor": 25.0},
            ],
        },
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {
                    "_target_": "Invertd",
                    "keys": "pred",
                    "transform": "@preprocessing",
                    "orig_keys": "image",
                    "nearest_interp": False,
                    "to_tensor": True,
                },
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            ],
        },
        **changes,
    }


def write_run(folder, seed, network=None, **changes):
    """Write what inference needs of a run, with weights drawn from ``seed``; give the folder."""
    config = slice_config(network or UNET, **changes)
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    record = {"class_names": {str(key): name for key, name in KINDS.items()}, "data": {"name": "others", "cases": {}}}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "splits.json").write_text("{}")
    torch.manual_seed(seed)
    made = ConfigParser(config).get_parsed_content("network_def")
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0, 0.5)
    torch.save({"parts": {"average": made.state_dict()}}, folder / "checkpoints" / "last.pt")
    return folder


def make_data(folder, shape=SHAPE):
    """Three cases, the last two of them for testing."""
    make_cohort("oct", folder, 3, test=2, validation=0, shape=shape, seed=3)
    return folder


def make_sources(folder):
    """Volumes (``data``), runs that segment slices (``both`` detects too, ``masks`` does not) and a ``detector``."""
    make_data(folder / "data")
    write_run(folder / "both", 1)
    write_run(folder / "masks", 2, {**UNET, "presence_channels": 0})
    write_run(folder / "detector", 3, DETECTOR)
    return folder

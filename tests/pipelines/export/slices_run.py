"""A run folder whose network looks at slices and their neighbours, as if it had been trained on an OCT cohort."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml

from networks.nets import DilatedUNetPlusPlus, LesionDetector
from pipelines.workflow import config_files, find_bundle

CLASS_NAMES = {"1": "retinal oedema", "2": "subretinal fluid", "3": "pigment epithelial detachment"}
SETTINGS = {"filters": 2, "depth": 2, "dilations": [1, 2], "intensity_mean": 40.0, "intensity_std": 30.0}
VERSIONS = {"monai": "1.6.1", "torch": "2.13.0+cpu", "numpy": "2.4.6", "nibabel": "5.4.2"}


def make_slices_run(folder: Path, stages: tuple[str, ...] = ("common", "train", "nested"), **settings: Any) -> Path:
    """Write a run folder of the bundle ``retinal_oedema`` with a network after some steps of training on noise.

    Args:
        folder: the new run folder.
        stages: files of the bundle, later ones winning.
        settings: of the configuration, beside ``SETTINGS``.
    """
    config = slices_config(stages, **settings)
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    record = {
        "class_names": CLASS_NAMES,
        "data": {"name": "phantoms", "modality": ["OCT"], "cases": {}},
        "fingerprint": {"data": "0" * 64},
        "versions": VERSIONS,
        "seed": 0,
        "iterations": 8,
        "wall_seconds": 1,
        "device": "cpu",
    }
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    network = trained_detector(config) if "detector" in stages else trained(config)
    parts = {"network": network.state_dict(), "average": network.state_dict()}
    torch.save({"parts": parts}, folder / "checkpoints" / "last.pt")
    return folder


def slices_config(stages: tuple[str, ...] = ("common", "train", "nested"), **settings: Any) -> dict[str, Any]:
    """Give a run's configuration."""
    config: dict[str, Any] = {}
    for file in config_files(find_bundle("retinal_oedema"), stages):
        config |= yaml.safe_load(file.read_text(encoding="utf-8"))
    return config | SETTINGS | settings


def trained(config: dict[str, Any]) -> DilatedUNetPlusPlus:
    """Train to tell levels of noise apart, for a few steps, so that masks hold every class."""
    torch.manual_seed(3)
    channels = config["in_channels"] * (2 * config["neighbours"] + 1)
    options = {name: config[name] for name in ("filters", "depth", "nested", "dilations")}
    kinds = config["num_classes"]
    network = DilatedUNetPlusPlus(
        2, channels, kinds + 1, presence_channels=kinds if config["detects"] else 0, **options
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(8):
        image = 3 * torch.nn.functional.avg_pool2d(torch.randn(4, channels, 32, 32), 5, 1, 2)
        target = torch.bucketize(image[:, channels // 2].contiguous(), torch.tensor([0.0, 0.4, 0.8][:kinds]))
        outputs = network(image)
        loss = torch.nn.functional.cross_entropy(outputs["mask"], target)
        if config["detects"]:
            loss = loss + outputs["presence"].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def trained_detector(config: dict[str, Any]) -> LesionDetector:
    """Give a network that segments nothing."""
    return LesionDetector(config["in_channels"] * (2 * config["neighbours"] + 1), config["num_classes"]).eval()

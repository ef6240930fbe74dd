"""A run folder whose network has several named heads, as if it had been trained on them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
import yaml

from networks.nets import MultiTaskUNet

HEADS = {
    "vessel": {"kind": "mask", "out_channels": 1},
    "distance": {"kind": "distance", "out_channels": 1, "minimum_subtracted": True},
    "sdf": {"kind": "level_set", "out_channels": 1},
}
OPTIONS = {"spatial_dims": 3, "in_channels": 1, "heads": HEADS, "filters": 2, "depth": 2, "decoders": "separate"}


def make_multi_task_run(source: Path, folder: Path, head: str = "vessel", **options: Any) -> Path:
    """Copy the smoke run, and put another network into it, after some steps of training on noise.

    Args:
        source: the smoke run.
        folder: the new run folder.
        head: what decides.
        options: of ``MultiTaskUNet``, beside ``OPTIONS``.
    """
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("bundle", "tensorboard"))
    chosen = OPTIONS | {"dropout": 0.3} | options
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["network_def"] = {"_target_": "networks.nets.MultiTaskUNet", **chosen}
    for name in ("consistency", "labeled_per_batch", "unlabeled_per_batch"):
        del config[name]
    config |= {"head": head, "k": 20.0, "batch_size": 3}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    checkpoint = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)
    checkpoint["parts"]["average"] = trained(chosen).state_dict()
    torch.save(checkpoint, folder / "checkpoints" / "last.pt")
    (folder / "checkpoints" / "best.pt").unlink(missing_ok=True)
    return folder


def trained(options: dict[str, Any]) -> MultiTaskUNet:
    """Train the dense heads to find where noise is above zero, for a few steps."""
    torch.manual_seed(3)
    network = MultiTaskUNet(**options)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(6):
        image = torch.randn(2, 1, *[16, 16, 16][: options["spatial_dims"]])
        inside = (image > 0).float()
        outputs = network(image)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(outputs["vessel"], inside)
        loss = loss + (outputs["sdf"] + 2 * inside - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()

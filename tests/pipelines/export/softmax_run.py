"""A run folder whose network gives plain logits, as if it had been trained on noisy labels."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
import yaml

from networks.nets import LRASPPMobileNet

OPTIONS = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2, "variant": "published_3d", "norm": "batch"}


def make_softmax_run(source: Path, folder: Path, **options: object) -> Path:
    """Copy the smoke run, and put another network into it, with norms that have seen data.

    Args:
        source: the smoke run.
        folder: the new run folder.
        options: of ``LRASPPMobileNet``, beside ``OPTIONS``.
    """
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("bundle", "tensorboard"))
    chosen = OPTIONS | options
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["network_def"] = {"_target_": "networks.nets.LRASPPMobileNet", **chosen}
    config["train"]["trainer"] = {"_target_": "pipelines.engines.DataParameterTrainer"}
    for name in ("k", "head", "consistency", "labeled_per_batch", "unlabeled_per_batch"):
        del config[name]
    config |= {"head": "softmax", "batch_size": 3}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    torch.manual_seed(3)
    network = LRASPPMobileNet(**chosen)
    for _ in range(3):
        network(torch.randn(2, 1, 32, 32, 16))
    with torch.inference_mode():  # as many voxels of either class
        logits = network.eval()(torch.randn(2, 1, 32, 32, 16))
        network.head.gated_logits.bias[1] += (logits[:, 0] - logits[:, 1]).median()
    checkpoint = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)
    checkpoint["parts"]["average"] = network.state_dict()
    torch.save(checkpoint, folder / "checkpoints" / "last.pt")
    (folder / "checkpoints" / "best.pt").unlink(missing_ok=True)
    return folder

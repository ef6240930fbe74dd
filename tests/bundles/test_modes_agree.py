"""What is exported scores in evaluation mode what it scores in training mode, at high rates too.

With batch norm and a high rate, running statistics trail behind the weights: a network that is good on its training
patches can be useless on whole scans.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from networks.layers.class_probabilities import foreground_probabilities
from pipelines.data.drawn_dataset import collate_two_streams
from pipelines.workflow import BUNDLES, config_files, parse_overrides
from tests.pipelines.tiny_training import SETTINGS, make_tiny_cohort, quiet

HIGH_RATE = {
    "network_def::filters": "4",
    "patch_size": "[32, 32, 16]",
    "iterations": "120",
    "epoch_length": "120",
    "learning_rate": "0.03",
    "recalibration_batches": "0",
    "lr_scheduler::warmup_steps": "2",
    "lr_scheduler::t_total": "100000",  # the rate stays high to the end
    "validation_every": "1000",
}


def trained(data: Path, run: Path) -> Any:
    """Train without any recalibration and give the workflow that did."""
    from monai.bundle import ConfigWorkflow

    files = [str(file) for file in config_files(BUNDLES / "left_atrium_dtc", ["common", "train", "quick", "smoke"])]
    settings = parse_overrides([f"{name}={value}" for name, value in (SETTINGS | HIGH_RATE).items()])
    places = {"dataset_dir": str(data), "output_dir": str(run), "device": "$torch.device('cpu')"}
    workflow = ConfigWorkflow(files, logging_file=False, workflow_type="train", **places, **settings)
    workflow.initialize()
    workflow.run()
    return workflow


@torch.no_grad()
def patch_dice(network: nn.Module, batches: list[dict[str, torch.Tensor]], *, training: bool) -> float:
    """Dice of the mask head on labelled patches, with batch norm in one mode or the other and dropout off."""
    network.eval()
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.train(training)
            module.track_running_stats = not training  # look, do not touch
    overlap = total = 0.0
    for batch in batches:
        label = batch["label"] > 0
        mask = foreground_probabilities(network(batch["image"]).mask[: len(label)]) > 0.5
        overlap += 2 * float((mask & label).sum())
        total += float(mask.sum() + label.sum())
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.track_running_stats = True
    network.eval()
    return overlap / total


@pytest.mark.slow
def test_the_averaged_network_scores_alike_in_both_modes(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = make_tiny_cohort(tmp_path / "data", cases=7, labeled=3, validation=0, unlabeled=3, test=1)
    with quiet():
        workflow = trained(data, tmp_path / "run")
        follower, dataset, sampler, recalibration = (
            workflow.parser.get_parsed_content(name)
            for name in ("average", "train::dataset", "train::sampler", "recalibration")
        )
        average = follower.average
        batches = [collate_two_streams([dataset[draw] for draw in sampler.batch(number)]) for number in range(40, 52)]
        in_training = patch_dice(average, batches, training=True)
        recalibration.batches = 12
        recalibration.recompute()
        recalibrated = patch_dice(average, batches, training=False)
    assert in_training > 0.5
    assert recalibrated == pytest.approx(in_training, abs=0.05)

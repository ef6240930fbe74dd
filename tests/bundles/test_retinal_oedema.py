"""The bundle for retinal oedema trains through either door with one result, goes on bit for bit, and has the published
settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.engines import MultiTaskTrainer
from pipelines.train_edema import METHODS
from pipelines.workflow import BUNDLES, config_files
from tests.bundles.killed_training import on_call
from tests.bundles.test_bundles import run_workflow
from tests.pipelines.tiny_edema import BUNDLE, SETTINGS, command_line, make_tiny_oct, train
from tests.pipelines.tiny_training import digests, quiet, rows

SHORT = {"iterations": "2"}
FITTED = {"intensity_mean": "60.0", "intensity_std": "30.0"}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return make_tiny_oct(tmp_path_factory.mktemp("oct") / "data")


def last(run: Path) -> dict[str, str]:
    return digests(run / "checkpoints" / "last.pt")


def test_monai_runs_the_same_files_to_the_same_weights(data, tmp_path):
    assert train(command_line(data, tmp_path / "door", settings=SHORT | FITTED)) == 0
    files = config_files(BUNDLES / BUNDLE, ["common", "train", "quick", "smoke", "dilated"])
    assert run_workflow(files, data, tmp_path / "monai", SETTINGS | SHORT | FITTED) == []
    assert last(tmp_path / "door") == last(tmp_path / "monai")
    assert rows(tmp_path / "door") == rows(tmp_path / "monai")


# In the middle of an epoch, with a loss for each exit and batches in parts; and at the end of one, by steps.
@pytest.mark.parametrize(
    ("at", "settings"),
    [
        (4, {"supervision": "exits", "accumulation": "2", "balance": "1.0"}),
        (5, {"schedule": "step", "step_epochs": "1", "ema_decay": "0.0"}),
    ],
)
def test_a_run_that_failed_goes_on_as_if_it_had_not(data, tmp_path, at, settings):
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    assert train(command_line(data, straight, settings=settings)) == 0

    def fail():
        raise ZeroDivisionError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MultiTaskTrainer, "_iteration", MultiTaskTrainer._iteration)
        on_call(MultiTaskTrainer, "_iteration", at, fail)
        assert train(command_line(data, broken, settings=settings)) == 1
    assert train(["--output", str(broken), "--device", "cpu", "--resume"]) == 0
    assert last(broken) == last(straight)
    assert rows(broken) == rows(straight)
    rates = [float(row["learning_rate"]) for row in rows(straight) if row["loss"]]
    assert rates[0] == 0.006
    assert rates[2] == pytest.approx(0.0006 if "schedule" in settings else 0.006 * (2 / 3) ** 0.9)


def workflow_of(data: Path, run: Path, method: str = "dilated", **settings: Any) -> Any:
    from monai.bundle import ConfigWorkflow

    files = [str(file) for file in config_files(BUNDLES / BUNDLE, ["common", "train", *METHODS[method]])]
    return ConfigWorkflow(
        files, str(Path(files[0]).with_name("metadata.json")), False, workflow_type="train",
        device="$torch.device('cpu')", dataset_dir=str(data), output_dir=str(run), workers=0,
        intensity_mean=60.0, intensity_std=30.0, **settings,
    )  # fmt: skip


def test_the_published_settings_make_every_part(data, tmp_path):
    with quiet():
        workflow = workflow_of(data, tmp_path / "run")
        network, trainer, schedule, dataset = (
            workflow.parser.get_parsed_content(part)
            for part in ("network", "train::trainer", "schedule_handler", "train::dataset")
        )
    assert sum(value.numel() for value in network.parameters()) == 5_315_395
    assert (trainer.iterations, trainer.state.epoch_length) == (200, 2)  # 100 epochs of 24 slices, 16 at a time
    (group,) = trainer.optimizer.param_groups
    assert (group["lr"], group["betas"], group["weight_decay"]) == (1e-3, (0.9, 0.99), 1e-4)
    assert (schedule.schedule, schedule.power, schedule.epochs) == ("poly", 0.9, 100)
    assert list(trainer.losses) == ["mask", "presence"]
    cross_entropy, overlap = trainer.losses["mask"].losses
    assert cross_entropy.weights.tolist() == [1, 5, 10, 20]
    assert (type(overlap).__name__, overlap.gamma) == ("ExponentialLogarithmicDiceLoss", 0.5)
    assert trainer.combination.weights() == {"mask": 1.0, "presence": 1.0}
    assert trainer.targets == {"mask": "label", "presence": "presence"}
    assert len(dataset) == 24
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("single", 2_466_151 - 771),  # without the 1x1 convolution that tells what a slice holds
        ("detection", 2_466_151),
        ("nested", 2_953_027),
        ("explog", 2_953_027),
    ],
)
def test_the_methods_are_the_published_networks(data, tmp_path, method, parameters):
    with quiet():
        workflow = workflow_of(data, tmp_path / "run", method)
        network, batch, schedule, loss = (
            workflow.parser.get_parsed_content(part) for part in ("network", "batch_size", "schedule", "overlap_loss")
        )
    assert sum(value.numel() for value in network.parameters()) == parameters
    nested = method in ("nested", "explog")
    assert (batch, schedule) == ((16, "poly") if nested else (32, "step"))
    expected = "ExponentialLogarithmicDiceLoss" if method == "explog" else "ForegroundDiceLoss"
    assert type(loss).__name__ == expected


def test_options_change_the_losses(data, tmp_path):
    with quiet():
        exits = workflow_of(data, tmp_path / "run", supervision="exits", presence_weight=0.5, mask_weight=2.0)
        losses = exits.parser.get_parsed_content("losses")
        assert list(losses) == ["mask_1", "mask_2", "mask_3", "mask_4", "presence"]
        weights = exits.parser.get_parsed_content("combination").weights()
        assert weights == {**{f"mask_{exit_}": 0.5 for exit_ in range(1, 5)}, "presence": 0.5}
        trained = exits.parser.get_parsed_content("train::trainer")
        assert trained.targets["mask_3"] == "label"
        for classes, expected in ((1, [1, 5]), (5, [1, 5, 10, 20, 20, 20])):
            other = workflow_of(data, tmp_path / "run", num_classes=classes)
            assert other.parser.get_parsed_content("class_weights") == expected


def test_a_sample_is_a_slice_with_its_neighbours(data, tmp_path):
    from pipelines.data.two_stream_sampler import Draw
    from transforms.io.volume import read_volume

    with quiet():
        workflow = workflow_of(data, tmp_path / "run", slice_size=[24, 32])
        dataset = workflow.parser.get_parsed_content("train::dataset")
        sample = dataset[Draw(3, 0, 0)]
        entry = workflow.parser.get_parsed_content("cohort").labeled[0]
    volume = (read_volume(entry["image"]).array - 60.0) / 30.0
    label = read_volume(entry["label"]).array
    found = np.asarray(sample["image"])
    stack = np.moveaxis(volume[..., 2:5], -1, 0)
    turned = not np.allclose(found, stack, atol=1e-4)
    np.testing.assert_allclose(found, stack[..., ::-1] if turned else stack, atol=1e-4)
    np.testing.assert_array_equal(np.asarray(sample["label"])[0], label[..., 3][:, ::-1] if turned else label[..., 3])
    there = [float((label[..., 3] == kind).any()) for kind in (1, 2, 3)]
    assert sample["presence"].tolist() == there


def test_every_image_is_as_monai_asks(data, tmp_path):
    with quiet():
        workflow = workflow_of(data, tmp_path / "run")
        missing = [
            identity
            for name, prop in workflow.properties.items()
            if prop["required"] and (identity := prop["id"]) not in workflow.parser and name != "version"
        ]
    assert not missing


def test_volumes_cut_along_another_axis_are_resized_in_their_slices(tmp_path):
    """Preprocessing keeps the number of slices, whichever axis they follow."""
    data = make_tiny_oct(tmp_path / "data")
    for axis, expected in ((-1, (16, 20, 8)), (0, (24, 16, 20)), (1, (16, 32, 20))):
        with quiet():
            workflow = workflow_of(data, tmp_path / "run", slice_size=[16, 20], slice_axis=axis)
            step = workflow.parser.get_parsed_content("preprocessing")
            entry = workflow.parser.get_parsed_content("cohort").labeled[0]
            found = step(dict(entry))
        assert found["image"].shape == (1, *expected)
        assert set(torch.unique(found["label"]).tolist()) <= {0, 1, 2, 3}

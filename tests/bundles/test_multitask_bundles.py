"""The bundles for several tasks train through every door with one result, go on bit for bit, and leave as bundles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.engines import MultiTaskTrainer
from pipelines.workflow import BUNDLES, config_files
from tests.bundles.killed_training import on_call
from tests.bundles.test_bundles import run_workflow
from tests.pipelines.tiny_multitask import BUNDLE, COHORTS, SETTINGS, command_line, make_tiny_vessels, train
from tests.pipelines.tiny_training import digests, quiet, rows

SHORT = {"iterations": "2"}


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("cohorts")
    return {name: make_tiny_vessels(folder / name, kind) for name, kind in COHORTS.items()}


def last(run: Path) -> dict[str, str]:
    return digests(run / "checkpoints" / "last.pt")


@pytest.mark.parametrize("name", sorted(COHORTS))
def test_monai_runs_the_same_files_to_the_same_weights(cohorts, tmp_path, name):
    assert train(command_line(cohorts[name], tmp_path / "door", "--bundle", name, settings=SHORT)) == 0
    files = config_files(BUNDLES / name, ["common", "train", "quick", "smoke"])
    assert run_workflow(files, cohorts[name], tmp_path / "monai", SETTINGS | SHORT) == []
    assert last(tmp_path / "door") == last(tmp_path / "monai")
    assert rows(tmp_path / "door") == rows(tmp_path / "monai")


# In the middle of an epoch and at the end of one; with the schedule by validation that is the bundle's own.
@pytest.mark.parametrize(("method", "at", "overlays"), [("alpha", 4, ["quick", "smoke"]), ("uncertainty", 5, [])])
def test_a_run_that_failed_goes_on_as_if_it_had_not(cohorts, tmp_path, method, at, overlays):
    def arguments(run: Path) -> list[str]:
        settings = {"plateau_patience": "0", "validation_every": "1"} if not overlays else {}
        return command_line(cohorts[BUNDLE], run, "--method", method, overlays=overlays, settings=settings)

    straight, broken = tmp_path / "straight", tmp_path / "broken"
    assert train(arguments(straight)) == 0

    def fail():
        raise ZeroDivisionError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MultiTaskTrainer, "_iteration", MultiTaskTrainer._iteration)
        on_call(MultiTaskTrainer, "_iteration", at, fail)
        assert train(arguments(broken)) == 1
    assert train(["--output", str(broken), "--device", "cpu", "--resume"]) == 0
    found = last(broken)
    assert found == last(straight)
    assert any(place.startswith("/combination/") for place in found)
    assert rows(broken) == rows(straight)


def workflow_of(name: str, data: Path, run: Path, **settings):
    from monai.bundle import ConfigWorkflow

    files = [str(file) for file in config_files(BUNDLES / name, ["common", "train"])]
    return ConfigWorkflow(
        files, str(Path(files[0]).with_name("metadata.json")), False, workflow_type="train",
        device="$torch.device('cpu')", dataset_dir=str(data), output_dir=str(run), workers=0, **settings,
    )  # fmt: skip


@pytest.mark.parametrize("name", sorted(COHORTS))
def test_the_published_settings_make_every_part(cohorts, tmp_path, name):
    with quiet():
        workflow = workflow_of(name, cohorts[name], tmp_path / "run")
        network, trainer, schedule, dataset = (
            workflow.parser.get_parsed_content(part)
            for part in ("network", "train::trainer", "lr_scheduler", "train::dataset")
        )
    # one channel: the published count; each further one adds 32 kernels of 3 x 3
    channels = 3 if name == "fundus_multitask" else 1
    assert sum(value.numel() for value in network.parameters()) == 10_811_298 + (channels - 1) * 32 * 9
    assert trainer.iterations == 150  # an epoch is one batch of 4 images
    assert (trainer.losses["mask"].pos_weight, type(trainer.optimizer).__name__) == (8.0, "Adam")
    assert [group["lr"] for group in trainer.optimizer.param_groups] == [1e-4, 1e-2]
    assert schedule.scheduler.mode == "max"  # of the validation Dice
    case = dataset.cases[0]
    assert case["image"].shape == (channels, 512, 512)
    assert case["label"].shape == case["distance"].shape == (1, 512, 512)
    assert set(np.unique(case["label"])) == {0, 1}
    assert ("fov" in case) == (name == "fundus_multitask")
    assert not (tmp_path / "run").exists()


def test_a_sample_holds_the_distance_to_the_vessels_it_shows(cohorts, tmp_path):
    """Flipped and turned by right angles the map is that of the turned mask; no distance falls behind its vessel."""
    from pipelines.data.two_stream_sampler import Draw
    from transforms import VesselDistanceMap

    with quiet():
        whole = {"image_size": None, "patch_size": [-1, -1]}
        workflow = workflow_of("fundus_multitask", cohorts["fundus_multitask"], tmp_path / "run", **whole)
        steps = workflow.parser.get_parsed_content("train::dataset").augmentation.transforms
        for step in steps:
            if type(step).__name__ == "RandRotated":
                step.prob = 0.0
        dataset = workflow.parser.get_parsed_content("train::dataset")
        samples = [dataset[Draw(place % 4, 0, place)] for place in range(8)]
    for sample in samples:
        expected = VesselDistanceMap(spacing=1.0, max_distance=32.0, normalize="clip")(sample["label"])
        assert torch.equal(sample["distance"].as_tensor(), expected.as_tensor())
        assert set(np.unique(sample["fov"])) <= {0, 1, 255}
    assert not torch.equal(samples[0]["label"], samples[4]["label"])


def test_beyond_a_small_image_there_is_no_vessel_of_distance_zero(cohorts, tmp_path):
    from pipelines.data.two_stream_sampler import Draw

    with quiet():
        larger = {"image_size": None, "patch_size": [96, 96]}
        workflow = workflow_of("octa_multitask", cohorts["octa_multitask"], tmp_path / "run", **larger)
        dataset = workflow.parser.get_parsed_content("train::dataset")
        dataset.augmentation.transforms = dataset.augmentation.transforms[:1]
        sample = dataset[Draw(0, 0, 0)]
    assert sample["distance"].shape == (1, 96, 96)
    assert torch.equal(sample["distance"] == 0, sample["label"] > 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(COHORTS))
def test_a_training_concludes_with_a_bundle_that_passes_its_checks(cohorts, tmp_path, name):
    """Images are resized on the way in and masks on the way out, which an exported bundle does with MONAI alone."""
    from pipelines.export.bundle_checks import check_files, check_weights
    from pipelines.export.stock_run import compare_with_stock
    from pipelines.prediction.loading import InferenceSettings, load_predictor

    run = tmp_path / "run"
    settings = {**SHORT, "image_size": "[32, 32]", "patch_size": "[32, 32]"}
    assert train(command_line(cohorts[name], run, "--bundle", name, settings=settings), conclude=True) == 0
    with quiet():
        report = check_files(run / "bundle")
        check_weights(run / "bundle", report)
    assert [str(finding.refusal()) for finding in report.faults] == []
    content = json.loads((run / "bundle" / "configs" / "inference.json").read_text())
    with quiet():
        found = compare_with_stock(run, run / "bundle")
    assert found.differing == 0
    assert 0 < found.foreground < found.voxels
    picture = {"image": str(next((cohorts[name] / "images").glob("*.png")))}
    with quiet():
        predictors = [load_predictor(source, InferenceSettings())[0] for source in (run, run / "bundle")]
        masks = [predictor.predict(picture).labels for predictor in predictors]
    np.testing.assert_array_equal(*masks)
    (resize,) = [step for step in content["preprocessing"]["transforms"] if step["_target_"] == "Resized"]
    assert (resize["keys"], resize["mode"]) == ("image", "bilinear")

"""The bundles for noisy labels train through every door with one result, and go on bit for bit after a fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.engines import DataParameterTrainer
from pipelines.export.bundle_checks import check_files, check_weights
from pipelines.workflow import BUNDLES, config_files
from tests.bundles.killed_training import on_call
from tests.bundles.test_bundles import run_workflow
from tests.pipelines.data.noisy_cohort import make_noisy_cohort
from tests.pipelines.tiny_staple import BUNDLE, COHORTS, SETTINGS, VOLUME, command_line, train
from tests.pipelines.tiny_training import digests, quiet, rows

# Both networks are the published ones: a few iterations tell whether they fit the rest.
SHORT = {"iterations": "2"}


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("cohorts")
    return {name: make_noisy_cohort(folder / name, **cohort) for name, cohort in COHORTS.items()}


def last(run: Path) -> dict[str, str]:
    return digests(run / "checkpoints" / "last.pt")


def tables(run: Path) -> list[str]:
    return [(run / name).read_text() for name in ("data_parameters.csv", "data_parameter_quality.csv")]


@pytest.mark.parametrize("name", sorted(COHORTS))
def test_monai_runs_the_same_files_to_the_same_weights(cohorts, tmp_path, name):
    settings = {**(VOLUME if name == "tumour_deep_staple" else {}), **SHORT}
    assert train(command_line(cohorts[name], tmp_path / "door", "--bundle", name, settings=settings)) == 0
    files = config_files(BUNDLES / name, ["common", "train", "quick", "smoke"])
    assert run_workflow(files, cohorts[name], tmp_path / "monai", SETTINGS | settings) == []
    found = last(tmp_path / "door")
    assert found == last(tmp_path / "monai")
    assert any(place.startswith("/parameter_optimizer") for place in found)
    assert rows(tmp_path / "door") == rows(tmp_path / "monai")
    assert tables(tmp_path / "door") == tables(tmp_path / "monai")


@pytest.mark.parametrize("mode", ["out-of-line", "temperature"])
def test_a_run_that_failed_goes_on_as_if_it_had_not(cohorts, tmp_path, mode):
    settings = {"iterations": "5", "use_class_parameters": str(mode == "temperature").lower()}
    arguments = ["--mode", mode, "--disturb", "0.3"]
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    assert train(command_line(cohorts[BUNDLE], straight, *arguments, settings=settings)) == 0

    def fail():
        raise ZeroDivisionError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DataParameterTrainer, "_iteration", DataParameterTrainer._iteration)
        on_call(DataParameterTrainer, "_iteration", 4, fail)
        assert train(command_line(cohorts[BUNDLE], broken, *arguments, settings=settings)) == 1
    assert train(["--output", str(broken), "--device", "cpu", "--resume"]) == 0
    found = last(broken)
    assert found == last(straight)
    assert any(place.startswith("/data_parameters") for place in found)
    assert rows(broken) == rows(straight)
    assert tables(broken) == tables(straight)


@pytest.mark.parametrize("name", sorted(COHORTS))
def test_the_published_settings_make_every_part(cohorts, tmp_path, name):
    """Without overlays: the networks that see their samples enlarged, the published optimisers and schedules."""
    from pipelines.workflow import parse_overrides

    with quiet():
        from monai.bundle import ConfigWorkflow

        files = [str(file) for file in config_files(BUNDLES / name, ["common", "train"])]
        chosen = {**SETTINGS, **(VOLUME if name == "tumour_deep_staple" else {})}
        settings = parse_overrides([f"{key}={value}" for key, value in chosen.items()])
        places = {"dataset_dir": str(cohorts[name]), "output_dir": str(tmp_path / "run")}
        workflow = ConfigWorkflow(
            files, str(Path(files[0]).with_name("metadata.json")), False, workflow_type="train",
            device="$torch.device('cpu')", **places, **settings,
        )  # fmt: skip
        network, trainer, scheduler = (
            workflow.parser.get_parsed_content(part) for part in ("network", "train::trainer", "lr_scheduler")
        )
    assert type(network).__name__ == "UpscaledNetwork"
    assert network.factor == (1.5 if name == "tumour_deep_staple" else 2.0)
    assert type(network.network).__name__ == "LRASPPMobileNet"
    assert trainer.mode == "out-of-line"
    assert type(scheduler).__name__ == ("StepLR" if name == "tumour_deep_staple" else "CosineAnnealingWarmRestarts")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(COHORTS))
def test_a_training_concludes_with_a_bundle_that_passes_its_checks(cohorts, tmp_path, name):
    run = tmp_path / "run"
    settings = {**(VOLUME if name == "tumour_deep_staple" else {}), **SHORT}
    assert train(command_line(cohorts[name], run, "--bundle", name, settings=settings), conclude=True) == 0
    with quiet():
        report = check_files(run / "bundle")
        check_weights(run / "bundle", report)
    assert [str(finding.refusal()) for finding in report.faults] == []
    assert "Trust in each label" in (run / "report.html").read_text()
    assert (run / "summary.json").is_file()


@pytest.mark.slow
def test_parameters_find_careless_raters(tmp_path):
    """On phantoms whose raters differ, a short training ranks the labels by their true Dice."""
    data = make_noisy_cohort(tmp_path / "data", labeled=10, shape=(50, 45), spacing_mm=[2.0])
    settings = {"spacing_mm": "[2, 2]", "patch_size": "[48, 48]", "iterations": "150", "epoch_length": "25"}
    settings |= {"batch_size": "10", "validation_every": "1000"}
    assert train(command_line(data, tmp_path / "run", overlays=["quick"], settings=settings)) == 0
    from pipelines.handlers.data_parameter_log import read_quality

    assert float(read_quality(tmp_path / "run" / "data_parameter_quality.csv")[-1]["spearman"]) > 0.5

import dataclasses

import numpy as np
import pytest

from pipelines.consensus import case_consensus
from pipelines.consensus.case_consensus import CaseFiles, CaseTask, build_case
from pipelines.consensus.methods import ConsensusOptions
from tests.pipelines.consensus.tiny_raters import PARAMETERS, load, save, truth, write_raters
from transforms.io.input_error import InputError
from transforms.staple import Staple


@pytest.fixture
def task(tmp_path):
    raters = tuple(write_raters(tmp_path))
    reference = save(tmp_path / "expert.nii.gz", truth())
    files = {
        method: CaseFiles(
            label=tmp_path / method / "label.nii.gz",
            uncertainty=tmp_path / method / "uncertainty.nii.gz",
            probability=tmp_path / method / "probability.nii.gz" if method == "average" else None,
            record=tmp_path / method / "record.json",
        )
        for method in ("staple", "average", "data-parameters")
    }
    return CaseTask("c0", raters, ("a", "b", "c", "d"), PARAMETERS, reference, (0, 1, 2), files)


def test_maps_and_record(task):
    records = build_case(task, ConsensusOptions())
    raters = np.stack([load(path) for path in task.raters])
    np.testing.assert_array_equal(load(task.files["staple"].label), Staple()(raters)[0])
    for label in (1, 2):
        soft = load(task.files["average"].probability.with_name(f"probability_{label}.nii.gz"))
        assert soft.dtype == np.float32
        np.testing.assert_allclose(soft, (raters == label).mean(axis=0))
    shares = np.stack([(raters == label).mean(axis=0) for label in (0, 1, 2)])
    entropy = -(shares * np.log2(np.maximum(shares, 1e-30))).sum(axis=0)
    np.testing.assert_allclose(load(task.files["average"].uncertainty), entropy, atol=1e-6)
    # The first rater is the truth, and has more than half of the weight.
    assert records["data-parameters"]["dice"] == {"1": 1.0, "2": 1.0}
    assert records["staple"]["iterations"] > 1
    rows = records["data-parameters"]["raters"]
    assert [(row["rater"], row["label"]) for row in rows[:3]] == [("a", 1), ("a", 2), ("b", 1)]
    assert rows[0]["true_dice"] == rows[0]["sensitivity"] == 1
    assert rows[0]["weight"] == pytest.approx(np.exp(2.0) / np.exp(PARAMETERS).sum())


def test_a_done_case_is_not_done_again(task, monkeypatch):
    first = build_case(task, ConsensusOptions())
    monkeypatch.setattr(case_consensus, "collect_patterns", None)
    assert build_case(task, ConsensusOptions()) == first


@pytest.mark.parametrize("what", ["options", "a rater", "parameters", "a lost map", "a torn record"])
def test_a_case_is_done_again_when_something_is_different(task, what):
    build_case(task, ConsensusOptions())
    before = {method: files.record.stat().st_mtime_ns for method, files in task.files.items()}
    options, changed = ConsensusOptions(), set(task.files)
    if what == "options":
        options = ConsensusOptions(restricted=True)
    elif what == "a rater":
        save(task.raters[1], np.zeros_like(truth()))
    elif what == "parameters":
        task, changed = dataclasses.replace(task, parameters=PARAMETERS[::-1]), {"data-parameters"}
    elif what == "a lost map":
        task.files["average"].probability.with_name("probability_2.nii.gz").unlink()
        changed = {"average"}
    else:
        task.files["staple"].record.write_text('{"finger')
        changed = {"staple"}
    build_case(task, options)
    after = {method: files.record.stat().st_mtime_ns for method, files in task.files.items()}
    assert {method for method in task.files if before[method] != after[method]} == changed


def test_empty_and_single_raters_are_defined(task):
    empty = save(task.raters[0], np.zeros_like(truth()))
    alone = dataclasses.replace(task, raters=(empty,), names=("a",), parameters=(0.3,))
    records = build_case(alone, ConsensusOptions())
    for method, files in task.files.items():
        assert not load(files.label).any()
        assert not load(files.uncertainty).any()
        assert records[method]["mean_dice"] == 0
    assert not load(task.files["average"].probability).any()


def test_prior_that_does_not_fit(task):
    with pytest.raises(InputError, match="--prior: case c0: prior is for the labels 0 to 1"):
        build_case(task, ConsensusOptions(prior=(0.5, 0.5)))

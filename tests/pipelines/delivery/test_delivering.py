"""From the series to the receipt, with a model that is a rule and archives that fail in every way."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pydicom
import pytest

from pipelines.delivery import delivering
from pipelines.delivery.delivering import Stopwatch, deliver
from pipelines.delivery.job import Job
from pipelines.delivery.model_identity import ModelIdentity
from pipelines.pacs.address import parse_address
from pipelines.pacs.series_rules import SeriesRules
from pipelines.prediction.loading import ModelFacts
from pipelines.prediction.segmenter import Prediction
from tests.pipelines.delivery.test_sending import FakeArchive
from tests.transforms.io.dicom_phantom import CODES, two_segments, write_phantom
from transforms.io.dicom_segmentation import read_segmentation
from transforms.io.dicom_series import read_series
from transforms.io.input_error import InputError

PACS = "dicom://PACS@127.0.0.1:104"


class Rule:
    """Finds what the tests expect, or nothing."""

    empty = False

    def predict(self, entry):
        labels = two_segments(read_series(entry["image"]).geometry.shape)
        return Prediction(np.zeros_like(labels) if self.empty else labels, 0.1)


@pytest.fixture
def rule(monkeypatch):
    segmenter = Rule()
    facts = ModelFacts("rule", {1: "a", 4: "b"}, 1, 3, (1.0, 1.0, 3.0), {}, {"device": "cpu", "head": "mask"})
    model = ModelIdentity("rule", "1.0.0", "cd" * 32, CODES, ("MR",))
    monkeypatch.setattr(delivering, "load_ensemble", lambda *arguments: (segmenter, facts))
    monkeypatch.setattr(delivering, "model_identity", lambda *arguments: model)
    return segmenter


@pytest.fixture
def series(tmp_path):
    write_phantom(tmp_path / "series")
    return tmp_path / "series"


def job(source, target, receipt, **options) -> Job:
    settings = argparse.Namespace(device="cpu")
    return Job(
        (source,), parse_address(str(source)), parse_address(str(target)), SeriesRules(), receipt, settings, **options
    )


def sent_to(archive, monkeypatch):
    monkeypatch.setattr(Job, "open", lambda self, address: archive)
    archive.close = lambda: None
    return archive


def test_results_in_a_folder(rule, series, tmp_path, capsys):
    output = tmp_path / "out"
    assert deliver(job(series, output, output / "receipt.json")) == 0
    names = ["overlay.dcm", "overlay.png", "receipt.json", "report.dcm", "segmentation.dcm"]
    assert sorted(file.name for file in output.iterdir()) == names
    source = read_series(series)
    found = read_segmentation(output / "segmentation.dcm", source, CODES)
    np.testing.assert_array_equal(found, two_segments(source.geometry.shape))
    receipt = json.loads((output / "receipt.json").read_text())
    assert receipt["state"] == "stored"
    assert all(each["verified"] for each in receipt["objects"])
    said = capsys.readouterr()
    assert "left atrium" in said.out
    for word in ("Roe", "Jane", "MRN", str(series)):
        assert word not in said.out + said.err


def test_nothing_found_is_said_and_stored(rule, series, tmp_path, capsys):
    rule.empty = True
    output = tmp_path / "out"
    assert deliver(job(series, output, output / "receipt.json", form="LABELMAP")) == 0
    assert "left atrium: no finding" in capsys.readouterr().out
    assert not read_segmentation(output / "segmentation.dcm", read_series(series), CODES).any()


def test_an_archive_that_took_everything(rule, series, tmp_path, monkeypatch):
    archive = sent_to(FakeArchive(), monkeypatch)
    receipt = tmp_path / "receipt.json"
    assert deliver(job(series, PACS, receipt)) == 0
    assert len(archive.has) == 3
    assert deliver(job(series, PACS, receipt)) == 0
    assert len(archive.sent) == 3, "a repeat sends nothing again"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["receipt.json", "series"]


@pytest.mark.parametrize("fault", [{"takes": 1}, {"takes": 0}, {"down_at": 1}, {"down_at": 3}, {"forgets": 1}])
def test_what_was_not_taken_is_kept_and_sent_by_a_repeat(rule, series, tmp_path, monkeypatch, fault):
    archive = sent_to(FakeArchive(**fault), monkeypatch)
    receipt = tmp_path / "receipt.json"
    with pytest.raises(InputError, match=r"are not there; all are kept in .*receipt_unsent"):
        deliver(job(series, PACS, receipt))
    told = json.loads(receipt.read_text())
    assert told["state"] == "kept"
    assert told["fault"]
    kept = tmp_path / "receipt_unsent"
    made = {each["kind"]: each["sop_instance_uid"] for each in told["objects"]}
    for kind, uid in made.items():
        assert pydicom.dcmread(kept / f"{kind}.dcm").SOPInstanceUID == uid
    archive.takes, archive.down_at, archive.forgets = 99, 99, 0
    assert deliver(job(series, PACS, receipt)) == 0
    assert sorted(archive.has) == sorted(made.values())
    assert not kept.exists()
    assert json.loads(receipt.read_text())["state"] == "stored"


def test_another_modality_is_refused_before_anything_is_computed(rule, tmp_path, monkeypatch):
    def of_another_kind(number, data):
        data.Modality = "CT"

    write_phantom(tmp_path / "series", of_another_kind)
    monkeypatch.setattr(rule, "predict", lambda entry: pytest.fail("was computed"))
    with pytest.raises(InputError, match="--input: is CT, and rule was trained on MR"):
        deliver(job(tmp_path / "series", tmp_path / "out", tmp_path / "receipt.json"))
    assert not (tmp_path / "out").exists()


def test_an_own_root_is_used_and_a_bad_one_refused_first(rule, series, tmp_path):
    deliver(job(series, tmp_path / "out", tmp_path / "receipt.json", uid_root="1.2.826.0.1.99"))
    assert pydicom.dcmread(tmp_path / "out" / "report.dcm").SOPInstanceUID.startswith("1.2.826.0.1.99.")
    with pytest.raises(InputError, match="UID root"):
        deliver(job(series, tmp_path / "out2", tmp_path / "receipt.json", uid_root="1.02"))


def test_stages_are_measured_even_when_they_fail():
    watch = Stopwatch()
    with pytest.raises(RuntimeError), watch.stage("store"):
        raise RuntimeError
    assert watch.seconds["store"] >= 0

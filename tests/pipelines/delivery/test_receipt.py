"""A receipt tells what was made and what became of it, and nothing of the patient."""

from __future__ import annotations

import json

import pytest

from pipelines.console import NOT_FOR_DIAGNOSIS
from pipelines.delivery.receipt import KEPT, STORED, build_receipt, series_digest, write_receipt
from tests.pipelines.delivery.test_sending import made
from tests.transforms.io.dicom_phantom import SERIES, STUDY, identity, write_phantom
from transforms.io.dicom_report import SegmentVolume

VOLUMES = [SegmentVolume(1, "left atrium", 12, 0.01234567), SegmentVolume(2, "scar", 0, 0.0)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return identity(write_phantom(tmp_path_factory.mktemp("series")))


def receipt(model, **changes):
    given = {"state": STORED, "seconds": {"store": 1.23456}, "versions": {"torch": "2"}, **changes}
    objects = {kind: made(f"2.25.{number}") for number, kind in enumerate(("segmentation", "report"), 1)}
    for each in objects.values():
        each.SeriesInstanceUID = "2.25.9"
    return build_receipt(model, VOLUMES, objects, **given)


def test_what_it_says(model):
    told = receipt(model)
    assert told["statement"] == NOT_FOR_DIAGNOSIS
    assert [finding["volume_ml"] for finding in told["findings"]] == [0.0123, 0.0]
    assert [finding["finding"] for finding in told["findings"]] == [True, False]
    assert [each["verified"] for each in told["objects"]] == [True, True]
    assert told["seconds"] == {"store": 1.235}
    assert told["model"] == {"name": "tiny", "version": "1.2", "sha256": "ab" * 32}


def test_nothing_of_the_patient_is_in_it(model):
    text = json.dumps(receipt(model))
    for word in ("Roe", "Jane", "MRN-77", "20240102", SERIES, STUDY):
        assert word not in text
    assert series_digest(SERIES) in text


def test_what_is_kept_is_not_called_verified(model):
    told = receipt(model, state=KEPT, missing=["2.25.2"], fault="PACS: does not answer")
    assert (told["state"], told["fault"]) == ("kept", "PACS: does not answer")
    assert [each["verified"] for each in told["objects"]] == [False, False]
    assert [each["verified"] for each in receipt(model, missing=["2.25.2"])["objects"]] == [True, False]


def test_it_is_written_as_json(model, tmp_path):
    write_receipt(tmp_path / "receipt.json", receipt(model))
    assert json.loads((tmp_path / "receipt.json").read_text())["state"] == "stored"

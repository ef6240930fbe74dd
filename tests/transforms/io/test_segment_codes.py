"""Codes go by the name of a class, never by its number; what the table does not know is never called something else."""

from __future__ import annotations

import json

import pytest
import yaml

from pipelines.workflow import BUNDLES
from transforms.io.segment_codes import Code, codes_as_json, codes_of_metadata, segment_codes

ATRIUM = {
    "left atrium cavity": {
        "category": {"value": "91723000", "scheme": "SCT", "meaning": "Anatomical Structure"},
        "type": {"value": "82471001", "scheme": "SCT", "meaning": "Left atrium"},
    }
}


def test_a_known_name_gets_its_code_whatever_its_label_and_case():
    (code,) = segment_codes({3: " Left Atrium Cavity "}, ATRIUM)
    assert code.label == 3
    assert code.type == Code("82471001", "SCT", "Left atrium")
    assert code.category.value == "91723000"


def test_another_name_under_the_same_label_does_not_become_an_atrium():
    (code,) = segment_codes({1: "prostate"}, ATRIUM)
    assert code.type.scheme == "99CONCORD"
    assert code.type.meaning == "prostate"
    assert code.category == Code("85756007", "SCT", "Tissue")


def test_a_private_code_is_the_same_for_the_same_name_and_differs_for_others():
    first, second = segment_codes({1: "Prostate", 2: "bladder"}, {})
    assert segment_codes({7: "prostate"}, {})[0].type.value == first.type.value
    assert first.type.value != second.type.value
    assert 1 <= len(first.type.value) <= 16


@pytest.mark.parametrize("name", ["x" * 100, ""])
def test_names_that_dicom_cannot_hold_still_get_a_meaning(name):
    (code,) = segment_codes({1: name}, {})
    assert 1 <= len(code.type.meaning) <= 64


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"type": {"value": "1", "scheme": "SCT"}},
        {"type": {"value": "1" * 17, "scheme": "SCT", "meaning": "x"}},
        {"type": {"value": "1", "scheme": "", "meaning": "x"}},
        {"type": {"value": 1, "scheme": "SCT", "meaning": "x"}},
        {"type": "Left atrium"},
    ],
)
def test_what_is_no_code_is_refused_by_name(entry):
    with pytest.raises(ValueError, match="label_codes of 'heart'"):
        segment_codes({1: "heart"}, {"heart": entry})


def test_metadata_bring_the_codes_back():
    codes = segment_codes({1: "left atrium cavity", 2: "scar"}, ATRIUM)
    channels = {"0": "background", "1": "left atrium cavity", "2": "scar"}
    metadata = {
        "network_data_format": {"outputs": {"pred": {"channel_def": channels}}},
        "label_codes": codes_as_json(codes),
    }
    assert codes_of_metadata(json.loads(json.dumps(metadata))) == codes
    del metadata["label_codes"]
    assert [code.type.scheme for code in codes_of_metadata(metadata)] == ["99CONCORD", "99CONCORD"]


def test_every_code_of_the_bundles_is_one_that_pydicom_knows_by_that_meaning():
    from pydicom.sr.codedict import codes

    known = {(code.value, code.meaning) for code in (getattr(codes.SCT, name) for name in codes.SCT.dir())}
    seen = 0
    for file in BUNDLES.glob("*/configs/common.yaml"):
        for name, entry in yaml.safe_load(file.read_text(encoding="utf-8"))["label_codes"].items():
            for part in (entry["category"], entry["type"], *entry.get("modifiers", ())):
                assert part["scheme"] == "SCT"
                assert (part["value"], part["meaning"]) in known, (file, name)
                seen += 1
    assert seen >= 8

"""What is present, as files and as scores."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from pipelines.console import NOT_FOR_DIAGNOSIS
from pipelines.prediction.detections import CSV_FILE, JSON_FILE, DetectionRecord, resources, sources_of
from pipelines.prediction.loading import ModelFacts

KINDS = {0: "background", 1: "REA", 2: "SRF"}
PRESENCE = np.array([[0.1, 0.5, 0.25], [0.0, 0.125, 0.75]], np.float32)
TRUTH = np.array([[0, 1, -1], [0, 0, 0]])
SOURCES = [{"name": "a", "weight": 0.25}, {"name": "b", "weight": 0.75}]


def written(record, folder):
    record.write(folder, SOURCES, {"seconds_per_volume": 1.5})
    rows = list(csv.DictReader((folder / CSV_FILE).read_text().splitlines()))
    return json.loads((folder / JSON_FILE).read_text()), rows


def test_without_truth(tmp_path):
    record = DetectionRecord(KINDS)
    record.add("case", PRESENCE, 2.0)
    content, rows = written(record, tmp_path)
    assert content["intended_use"] == NOT_FOR_DIAGNOSIS
    assert (content["threshold"], content["kinds"], content["sources"]) == (0.5, ["REA", "SRF"], SOURCES)
    (case,) = content["cases"]
    assert case["seconds"] == 2
    assert case["volume"] == {
        "REA": {"probability": 0.5, "present": True},
        "SRF": {"probability": 0.75, "present": True},
    }
    assert case["slices"]["REA"] == {"probability": [0.1, 0.5, 0.25], "present": [False, True, False]}
    assert len(rows) == 2 * (1 + 3)
    assert rows[0] == {
        "case_id": "case",
        "slice_index": "",
        "kind": "REA",
        "probability": "0.5",
        "present": "1",
        "truth": "",
    }
    assert [(row["slice_index"], row["kind"], row["probability"]) for row in rows[-2:]] == [
        ("2", "REA", "0.25"),
        ("2", "SRF", "0.75"),
    ]
    assert record.scores() is None
    assert record.told() == ["case: REA 0.50, SRF 0.75"]
    assert not list(tmp_path.glob(".*"))


def test_with_truth(tmp_path):
    record = DetectionRecord(KINDS)
    record.add("case", PRESENCE, 2.0, TRUTH)
    record.add("other", PRESENCE, 4.0, TRUTH, np.array([-1, 0]))
    content, rows = written(record, tmp_path)
    first, second = content["cases"]
    assert first["slices"]["REA"]["truth"] == [False, True, None]
    assert [case["volume"]["REA"]["truth"] for case in (first, second)] == [True, None]
    assert [row["truth"] for row in rows[:8]] == ["1", "0", "0", "0", "1", "0", "", "0"]
    scores = record.scores()
    assert scores["slices"]["kinds"]["REA"]["auc"] == 1
    assert scores["slices"]["kinds"]["SRF"]["auc"] is None
    assert scores["volumes"]["kinds"]["REA"]["unknown"] == 1
    assert "detection" in record.definitions()
    assert record.seconds() == [2.0, 4.0]


def test_single_images(tmp_path):
    record = DetectionRecord(KINDS, threshold=0.75)
    record.add("eye", PRESENCE[:, 2], 1.0, np.array([1, 1]))
    content, rows = written(record, tmp_path)
    assert "slices" not in content["cases"][0]
    assert [(row["slice_index"], row["present"], row["truth"]) for row in rows] == [("", "0", "1"), ("", "1", "1")]


def test_another_number_of_kinds():
    with pytest.raises(ValueError, match="3 kinds were detected, but the classes are REA, SRF"):
        DetectionRecord(KINDS).add("case", np.zeros((3, 2)), 1.0)


def test_sources():
    one = ModelFacts("a", {1: "x"}, 1, 3, (1.0,) * 3, {}, {"head": "slices"})
    assert sources_of(one) == [{"name": "a", "weight": 1.0, "head": "slices"}]
    both = ModelFacts("a + b", {1: "x"}, 1, 3, (1.0,) * 3, {}, {"ensemble": SOURCES}, members=(one, one))
    assert sources_of(both) == SOURCES


def test_resources():
    found = resources([1.0, 2.0])
    assert (found["seconds_per_volume"], found["volumes"]) == (1.5, 2)
    assert found["peak_host_mib"] > 10
    assert resources([])["seconds_per_volume"] is None

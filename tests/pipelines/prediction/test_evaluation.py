"""Cases are segmented, measured against their labels, and their masks are written where they belong."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.metrics.case_report import CaseReport
from pipelines.metrics.case_scores import CaseScores
from pipelines.metrics.overlap import count_overlap
from pipelines.prediction.evaluation import (
    NSD_TOLERANCE_MM,
    Evaluation,
    add_case,
    detect_cases,
    evaluate_cases,
    first_image,
    mask_suffix,
    true_presence,
)
from pipelines.prediction.segmenter import Prediction
from transforms.io.input_error import InputError

CLASSES = {1: "one", 2: "two"}
AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


class Given:
    """Gives one label map for every case."""

    def __init__(self, labels):
        self.labels = labels

    def predict(self, entry):
        return Prediction(self.labels, 1.25)

    def predict_level_set(self, entry):
        return None


class Sure(Given):
    """Gives probabilities too: 0.8 for what it holds to be right, the rest shared by the others."""

    def predict_with_probabilities(self, entry):
        right = torch.from_numpy(self.labels == np.arange(3)[:, None, None, None])
        probabilities = torch.where(right, 0.8, 0.1)
        return Prediction(probabilities.argmax(0).numpy(), 2.5), probabilities


class Detecting(Given):
    """Tells what is present too."""

    gives_mask = tells_presence = looks_at_slices = True
    slice_axis = 2

    def __init__(self, labels, presence):
        super().__init__(labels)
        self.presence = presence

    def predict(self, entry):
        return Prediction(self.labels, 1.25, presence=self.presence)

    def predict_presence(self, entry):
        return self.presence, 0.75


def reference():
    array = np.zeros((8, 9, 7), np.uint8)
    array[1:5, 2:6, 1:4], array[5:7, 2:6, 1:4] = 1, 2
    return array


@pytest.fixture
def entry(tmp_path):
    for name, array in (("image", np.ones((8, 9, 7), np.float32)), ("label", reference())):
        nib.save(nib.Nifti1Image(array, AFFINE), tmp_path / f"{name}.nii.gz")
    return {"image": str(tmp_path / "image.nii.gz"), "label": str(tmp_path / "label.nii.gz"), "case_id": "case 1"}


def test_scores_and_masks(entry, tmp_path):
    found = reference()
    found[4] = 0
    report = CaseReport(CLASSES, NSD_TOLERANCE_MM)
    evaluate_cases([entry], Given(found), report, CLASSES, tmp_path / "masks")
    case = report.summary()["cases"][0]
    assert case["case_id"] == "case 1"
    assert case["seconds"] == 1.25
    assert case["classes"]["one"]["dice"] == pytest.approx(2 * 36 / (36 + 48))
    assert case["classes"]["two"]["dice"] == 1
    mask = nib.load(tmp_path / "masks" / "case 1.nii.gz")
    np.testing.assert_array_equal(np.asarray(mask.dataobj), found)
    np.testing.assert_array_equal(mask.affine, AFFINE)


def test_no_masks_unless_asked_for(entry, tmp_path):
    evaluate_cases([entry], Given(reference()), CaseReport(CLASSES, NSD_TOLERANCE_MM), CLASSES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.nii.gz", "label.nii.gz"]


def report_of(scores):
    return CaseReport(CLASSES, NSD_TOLERANCE_MM, more_metrics=scores.metrics, more_definitions=scores.definitions())


def test_more_scores(entry):
    scores = CaseScores(("pixels", "ranking", "topology"))
    found = reference()
    found[4] = 0
    report = report_of(scores)
    evaluate_cases([entry], Sure(found), report, CLASSES, scores=scores)
    case = report.summary()["cases"][0]
    assert case["seconds"] == 2.5
    assert list(case["classes"]["one"]) == [*report.metrics, "state"]
    assert case["classes"]["one"]["recall"] == pytest.approx(36 / 48)
    assert case["classes"]["one"]["roc_auc"] == pytest.approx((36 + 0.5 * 12) / 48)
    assert case["classes"]["two"]["cldice"] == 1
    assert report.aggregate()["mean"]["roc_auc"]["n"] == 1
    assert report.summary()["pooled"]["one"]["recall"] == case["classes"]["one"]["recall"]
    assert report.summary()["pooled"]["two"]["kappa"] == 1


# The first class is in the slices 1 to 3 of seven, the second too.
TRUTH = np.array([[0, 1, 1, 1, 0, 0, 0]] * 2)
PRESENCE = np.array([[0.1, 0.9, 0.8, 0.7, 0.2, 0.3, 0.1], [0.6, 0.5, 0.4, 0.9, 0.1, 0.2, 0.3]])


def test_networks_of_slices_have_more_scores(entry):
    report = CaseReport(CLASSES, NSD_TOLERANCE_MM)
    found = evaluate_cases([entry], Detecting(reference(), PRESENCE), report, CLASSES)
    summary = report.summary()
    assert len(found) == 1
    kinds = summary["detection"]["slices"]["kinds"]
    assert (kinds["one"]["positives"], kinds["one"]["negatives"]) == (3, 4)
    # Of the second class 10 of the 12 pairs are in order: 0.5 and 0.4 lie below 0.6.
    assert (kinds["one"]["auc"], kinds["two"]["auc"]) == (1, pytest.approx(10 / 12))
    assert summary["detection"]["volumes"]["kinds"]["one"]["auc"] is None
    assert summary["volume_dice"]["dice"] == 1
    assert summary["resources"]["seconds_per_volume"] == 1.25
    assert summary["resources"]["peak_host_mib"] > 10
    assert {"detection", "volume_dice"} <= set(summary["definitions"])


def test_other_segmenters_have_none_of_these(entry):
    report = CaseReport(CLASSES, NSD_TOLERANCE_MM)
    assert evaluate_cases([entry], Given(reference()), report, CLASSES) is None
    assert report.sections == {}


def test_detections_alone(entry):
    found = detect_cases([entry], Detecting(None, PRESENCE), CLASSES)
    assert found.scores()["slices"]["kinds"]["two"]["auc"] == pytest.approx(10 / 12)
    assert found.seconds() == [0.75]


def test_truth_from_the_data_list(entry):
    """What the label leaves open is taken from the list; without both nothing is known."""
    listed = {**entry, "presence": ["two"]}
    without = {key: value for key, value in listed.items() if key != "label"}
    slices, whole = true_presence(listed, CLASSES, PRESENCE, 2)
    np.testing.assert_array_equal(slices, TRUTH)
    np.testing.assert_array_equal(whole, [1, 1])
    slices, whole = true_presence(without, CLASSES, PRESENCE, 2)
    np.testing.assert_array_equal(slices, [[0] * 7, [-1] * 7])
    np.testing.assert_array_equal(whole, [0, 1])
    assert true_presence({"image": entry["image"]}, CLASSES, PRESENCE, 2) == (None, None)
    slices, whole = true_presence(without, CLASSES, PRESENCE[:, 0], None)
    np.testing.assert_array_equal(slices, [0, 1])
    np.testing.assert_array_equal(whole, [0, 1])


def test_masks_alone_have_no_probabilities(entry):
    scores = CaseScores(("ranking", "calibration"))
    with pytest.raises(InputError, match="--scores: ranking and calibration need the probabilities"):
        evaluate_cases([entry], Given(reference()), report_of(scores), CLASSES, scores=scores)


def test_fields_of_view(entry, tmp_path):
    """The prediction is wrong below the field of view alone."""
    inside = np.zeros((8, 9, 7), np.uint8)
    inside[3:] = 255
    nib.save(nib.Nifti1Image(inside, AFFINE), tmp_path / "fov.nii.gz")
    found = reference()
    found[:3] = 2
    cases = {
        "none": (entry, CaseScores(("pixels",))),
        "not asked": ({**entry, "fov": str(tmp_path / "fov.nii.gz")}, CaseScores(("pixels",), field_of_view=False)),
        "within": ({**entry, "fov": str(tmp_path / "fov.nii.gz")}, CaseScores(("pixels",))),
    }
    told = {}
    for name, (case, scores) in cases.items():
        report = report_of(scores)
        evaluate_cases([case], Given(found), report, CLASSES, scores=scores)
        told[name] = report.summary()
    assert told["none"]["aggregate"] == told["not asked"]["aggregate"]
    whole, within = (told[name]["cases"][0]["classes"] for name in ("none", "within"))
    assert whole["two"]["dice"] == pytest.approx(count_overlap(found == 2, reference() == 2).dice)
    assert all(within[name]["dice"] == within[name]["accuracy"] == 1 for name in ("one", "two"))
    assert whole["two"]["accuracy"] == pytest.approx(1 - 3 * 9 * 7 / (8 * 9 * 7))
    assert ["field_of_view" in told[name]["definitions"] for name in cases] == [False, False, True]
    assert "1 of 1 cases" in told["within"]["definitions"]["field_of_view"]
    nib.save(nib.Nifti1Image(inside[1:], AFFINE), tmp_path / "fov.nii.gz")
    with pytest.raises(InputError, match=r"fov.nii.gz: has shape \(7, 9, 7\), but the prediction has \(8, 9, 7\)"):
        evaluate_cases([cases["within"][0]], Given(found), CaseReport(CLASSES, 1.0), CLASSES)


def test_what_cannot_be_measured(entry):
    report = CaseReport(CLASSES, NSD_TOLERANCE_MM)
    with pytest.raises(InputError, match=r"has shape \(8, 9, 7\), but the prediction has \(8, 9, 6\)"):
        add_case(report, entry, reference()[..., :-1], CLASSES, 0)
    with pytest.raises(InputError, match="has no label to be measured against"):
        add_case(report, {"image": entry["image"], "case_id": "1"}, reference(), CLASSES, 0)
    assert len(report) == 0


@pytest.mark.parametrize(
    ("image", "suffix"),
    [("a.nii.gz", ".nii.gz"), ("a.mha", ".nii.gz"), ("series", ".nii.gz"), ("a.PNG", ".png"), ("a.tif", ".png")],
)
def test_suffix_of_a_mask(image, suffix):
    assert mask_suffix({"image": image}) == suffix
    assert mask_suffix({"image": [image, "other.nrrd"]}) == suffix
    assert first_image({"image": [image, "other.nrrd"]}).name == image


def test_pictures_give_pictures(tmp_path):
    labels = np.zeros((5, 6), np.uint8)
    labels[1:3, 2:5] = 1
    for name in ("image", "label"):
        Image.fromarray(labels).save(tmp_path / f"{name}.png")
    entry = {"image": str(tmp_path / "image.png"), "label": str(tmp_path / "label.png"), "case_id": "p"}
    evaluate_cases([entry], Given(labels), CaseReport({1: "a"}, NSD_TOLERANCE_MM), {1: "a"}, tmp_path / "masks")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "masks" / "p.png")), labels)


def test_as_a_configuration_runs_it(entry, tmp_path, capsys):
    listing = {"name": "x", "modality": ["MR"], "labels": {"0": "background", "1": "one", "2": "two"}}
    listing["test"] = listing["training"] = [{"image": "image.nii.gz", "label": "label.nii.gz"}]
    (tmp_path / "dataset.json").write_text(json.dumps(listing))
    Evaluation([entry], tmp_path, "test", tmp_path / "scores", Given(reference())).run()
    summary = json.loads((tmp_path / "scores" / "summary.json").read_text())
    assert summary["split"] == "test"
    assert summary["aggregate"]["mean"]["dice"]["mean"] == 1
    assert "mean over classes" in capsys.readouterr().out

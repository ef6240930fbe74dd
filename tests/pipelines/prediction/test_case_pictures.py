"""Pictures of the best, median and worst case, each once."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from pipelines.metrics.case_report import CaseReport
from pipelines.prediction.case_pictures import case_pictures
from pipelines.prediction.evaluation import NSD_TOLERANCE_MM, evaluate_cases
from pipelines.prediction.segmenter import Prediction


class Shifted:
    """Finds the label, moved by as many voxels as the case id says."""

    def __init__(self, label):
        self.label = label

    def predict(self, entry):
        return Prediction(np.roll(self.label, int(entry["case_id"]), 0), 0.0)

    def predict_level_set(self, entry):
        return 0.5 - self.predict(entry).labels[None].astype(float)


def evaluated(folder, case_ids, empty=False):
    label = np.zeros((16, 12, 8), np.uint8)
    label[3:7, 4:8, 2:5] = not empty
    entries = []
    nib.save(nib.Nifti1Image((100 * label + 1).astype(np.float32), np.eye(4)), folder / "image.nii")
    nib.save(nib.Nifti1Image(label, np.eye(4)), folder / "label.nii")
    for case_id in case_ids:
        entries.append({"image": str(folder / "image.nii"), "label": str(folder / "label.nii"), "case_id": case_id})
    report = CaseReport({1: "organ"}, NSD_TOLERANCE_MM)
    evaluate_cases(entries, Shifted(label), report, {1: "organ"})
    return Shifted(label), entries, report.summary()


@pytest.mark.parametrize(
    ("case_ids", "files"),
    [
        (["3", "0", "1"], ["best_0.png", "median_1.png", "worst_3.png"]),
        (["2", "0"], ["best_0.png", "median_2.png"]),
        (["4"], ["best_4.png"]),
    ],
)
def test_cases_are_chosen_by_dice(tmp_path, case_ids, files, monkeypatch):
    if len(case_ids) > 1:
        monkeypatch.setattr("pipelines.figures.overlays.case_png", lambda image, **parts: b"\x89PNG")
    segmenter, entries, summary = evaluated(tmp_path, case_ids)
    pictures = case_pictures(tmp_path / "pictures", segmenter, entries, summary)
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == files
    assert [picture.title.split(":")[0] for picture in pictures] == [name.split("_")[0] for name in files]
    for picture in pictures:
        assert picture.png.startswith(b"\x89PNG")
        assert "Dice" in picture.caption


def test_cases_without_a_dice_have_no_picture(tmp_path):
    segmenter, entries, summary = evaluated(tmp_path, ["0"], empty=True)
    assert case_pictures(tmp_path / "pictures", segmenter, entries, summary) == []

"""The form for 3D Slicer's MONAIAuto3DSeg: what its script loads, our network in it, and what it cannot serve."""

from __future__ import annotations

import csv
import json

import pytest
import torch
import yaml
from monai.bundle import ConfigParser

from pipelines.export import slicer_form
from pipelines.export.slicer_form import check_slicer_form, write_slicer_form
from pipelines.prediction.loading import InferenceSettings, load_predictor
from transforms.io.input_error import InputError


@pytest.fixture(scope="module")
def parts(smoke_run):
    config = {**yaml.safe_load((smoke_run.run / "config.yaml").read_text()), "head": "mask"}
    predictor, _ = load_predictor(smoke_run.run, InferenceSettings(head="mask"))
    return predictor.network, config, json.loads((smoke_run.bundle / "configs" / "metadata.json").read_text())


@pytest.fixture(scope="module")
def written(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("slicer") / "heart"
    return folder, write_slicer_form(folder, *parts)


def test_the_network_as_the_script_builds_it(parts, written):
    folder, difference = written
    assert difference <= 1e-5
    content = torch.load(folder / "model.pt", weights_only=True)  # what torch does where nothing else is said
    network = ConfigParser(content["config"]["network"]).get_parsed_content().eval()
    network.load_state_dict(content["state_dict"], strict=True)
    image = torch.randn(1, 1, *content["config"]["roi_size"])
    with torch.inference_mode():
        torch.testing.assert_close(torch.softmax(network(image), 1), parts[0](image), rtol=0, atol=1e-5)
    assert content["config"]["resample_resolution"] == [2.5, 2.5, 2.5]
    assert (content["config"]["orientation_ras"], content["config"]["sigmoid"]) == (True, False)
    assert "kits" not in content["config"]["bundle_root"]


def test_labels_have_their_codes(written):
    with (written[0] / "labels.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["LabelValue"], row["Name"]) == ("1", "left atrium cavity")
    assert row["SegmentedPropertyTypeCodeSequence.CodingSchemeDesignator"] == "SCT"
    assert row["SegmentedPropertyTypeCodeSequence.CodeValue"] == "82471001"
    assert row["SegmentedPropertyCategoryCodeSequence.CodeMeaning"] == "Anatomical Structure"
    assert row["AnatomicRegionSequence.CodeValue"] == ""


def test_what_was_not_done_is_said(written):
    told = (written[0] / "README.md").read_text()
    assert "It has not been run inside 3D Slicer" in told
    assert "not for diagnosis" in told


REFUSED = {
    "planar": ({"spatial_dims": 2}, "is for volumes; the run has spatial_dims 2"),
    "channels": ({"in_channels": 4}, "is for images of one channel; the run has in_channels 4"),
    "head": ({"head": "mean"}, "is for the mask head's probabilities; the run has head mean"),
    "ct": (
        {"preprocessing": {"transforms": [{"_target_": "ScaleIntensityRanged"}]}},
        "has no preprocessing like the run's ScaleIntensityRanged",
    ),
    "raw": ({"preprocessing": {"transforms": [{"_target_": "Spacingd"}]}}, "normalises intensities last"),
}


@pytest.mark.parametrize(("changes", "told"), REFUSED.values(), ids=REFUSED.keys())
def test_what_it_cannot_serve(parts, changes, told):
    check_slicer_form(parts[1])
    with pytest.raises(InputError, match=f"--to slicer-auto3dseg: {told}"):
        check_slicer_form({**parts[1], **changes})


def test_another_network_is_a_fault(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(slicer_form, "largest_difference", lambda *arguments: 0.5)
    with pytest.raises(RuntimeError, match=r"for 3D Slicer differs from the trained one by 0\.5"):
        write_slicer_form(tmp_path / "form", *parts)

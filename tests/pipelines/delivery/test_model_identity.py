"""A result names its model by what the model is, not by where its folder lies; other modalities are refused."""

from __future__ import annotations

import json
import shutil

import pytest

from pipelines.delivery.model_identity import ModelIdentity, model_identity
from pipelines.export_bundle import write_zip
from pipelines.prediction.loading import ModelFacts
from pipelines.trust.fingerprint import bundle_sha256, file_sha256
from transforms.io.input_error import InputError

FACTS = ModelFacts("x", {1: "left atrium cavity"}, 1, 3, (1.0, 1.0, 1.0), {}, {})


def test_a_bundle_is_named_by_its_metadata_and_hashed_by_its_content(smoke_run, tmp_path):
    copy = tmp_path / "elsewhere"
    shutil.copytree(smoke_run.bundle, copy)
    first, second = model_identity([smoke_run.bundle], FACTS), model_identity([copy], FACTS)
    assert first == second
    assert first.sha256 == bundle_sha256(copy)
    metadata = json.loads((copy / "configs/metadata.json").read_text())
    assert (first.name, first.version) == (metadata["name"], metadata["version"])
    assert first.codes[0].type.value == "82471001"
    assert first.modalities == ("MR",)


def test_a_run_and_a_checkpoint_are_models_too(smoke_run):
    run = model_identity([smoke_run.run], FACTS)
    checkpoint = smoke_run.run / "checkpoints" / "last.pt"
    part = model_identity([checkpoint], FACTS)
    assert run.version == part.version == "run"
    assert part.sha256 == file_sha256(checkpoint) != run.sha256
    assert run.codes == part.codes
    assert run.codes[0].type.value == "82471001"
    assert run.modalities == part.modalities == ("MR",)


def test_a_zip_file_is_looked_into(smoke_run, tmp_path):
    archive = tmp_path / "bundle.zip"
    write_zip(smoke_run.bundle, archive)
    assert model_identity([archive], FACTS) == model_identity([smoke_run.bundle], FACTS)


def test_several_have_a_hash_of_their_own(smoke_run):
    both = model_identity([smoke_run.bundle, smoke_run.run], FACTS)
    turned = model_identity([smoke_run.run, smoke_run.bundle], FACTS)
    assert " + " in both.name
    assert len({both.sha256, turned.sha256, model_identity([smoke_run.bundle], FACTS).sha256}) == 3


def test_codes_that_are_none_are_refused(smoke_run, tmp_path):
    copy = tmp_path / "bundle"
    shutil.copytree(smoke_run.bundle, copy)
    file = copy / "configs" / "metadata.json"
    metadata = json.loads(file.read_text())
    metadata["label_codes"]["1"]["type"]["value"] = ""
    file.write_text(json.dumps(metadata))
    with pytest.raises(InputError, match="label codes"):
        model_identity([copy], FACTS)


@pytest.mark.parametrize(
    ("trained", "found", "asked", "fine"),
    [
        (("MR",), "MR", None, True),
        (("MR",), "CT", None, False),
        (("MR",), "CT", "CT", True),
        (("MR",), "CT", "PT", False),
        ((), "CT", None, True),
        (("CT", "MR"), "CT", None, True),
    ],
)
def test_another_modality_must_be_asked_for(trained, found, asked, fine):
    model = ModelIdentity("atrium", "1", "ab", (), trained)
    if fine:
        model.require_modality(found, asked)
    else:
        with pytest.raises(InputError, match="--input: is CT, and atrium was trained on MR; --modality CT takes it"):
            model.require_modality(found, asked)


@pytest.mark.parametrize(
    ("told", "codes"), [("MRI", ["MR"]), ("MRI, CT", ["CT", "MR"]), ("T1", []), ("MRI, T1", []), (3, []), (None, [])]
)
def test_what_people_call_modalities(smoke_run, tmp_path, told, codes):
    copy = tmp_path / "bundle"
    shutil.copytree(smoke_run.bundle, copy)
    file = copy / "configs" / "metadata.json"
    metadata = json.loads(file.read_text())
    metadata["network_data_format"]["inputs"]["image"]["modality"] = told
    file.write_text(json.dumps(metadata))
    assert list(model_identity([copy], FACTS).modalities) == codes

"""Bundles of others, brought into our form: facts, readers, weights, and the order of the postprocessing."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.inferers import SimpleInferer, SlidingWindowInferer
from monai.networks.nets import UNet
from monai.transforms import Activationsd, AsDiscreted, Compose, Invertd, NormalizeIntensityd, Spacing, Spacingd

from pipelines.data.dataset import read_dataset
from pipelines.prediction.bundle_parts import (
    PICTURE_AXES,
    READER,
    ActivatedInferer,
    class_names,
    fill_network,
    grid_facts,
    in_our_order,
    with_our_reader,
)
from pipelines.prediction.loading import InferenceSettings, load_predictor
from pipelines.trust.fingerprint import bundle_sha256
from tests.pipelines.trust.attacks import METADATA, ZOO
from transforms.io.input_error import InputError

BUNDLE = Path("bundle")


def make_network():
    torch.manual_seed(3)
    options = {name: value for name, value in ZOO["network_def"].items() if name != "_target_"}
    return UNet(**options)


@pytest.fixture
def zoo(tmp_path):
    """A bundle as the model zoo has them."""
    bundle = tmp_path / "spleen"
    (bundle / "configs").mkdir(parents=True)
    (bundle / "models").mkdir()
    config = copy.deepcopy(ZOO)
    config["preprocessing"]["transforms"][3]["pixdim"] = [3.0, 3.0, 3.0]
    (bundle / "configs" / "inference.json").write_text(json.dumps(config))
    (bundle / "configs" / "metadata.json").write_text(json.dumps(METADATA))
    torch.save(make_network().state_dict(), bundle / "models" / "model.pt")
    return bundle


def test_a_bundle_of_the_model_zoo_segments(smoke_run, zoo):
    entry = read_dataset(smoke_run.data).test[0].entry()
    predictor, facts = load_predictor(zoo, InferenceSettings())
    assert facts.class_names == {1: "spleen"}
    assert (facts.in_channels, facts.spatial_dims, facts.spacing_mm) == (1, 3, (3.0, 3.0, 3.0))
    assert facts.run is None
    probabilities = predictor.predict_probabilities(entry)
    # Its weights are in the network, and softmax comes before the way back to the image's grid.
    torch.testing.assert_close(predictor.network.state_dict(), make_network().eval().state_dict())
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-4)
    assert predictor.decide(probabilities).shape == tuple(probabilities.shape[1:])


def test_weights_of_another_network(zoo):
    torch.save(torch.nn.Conv3d(1, 1, 1).state_dict(), zoo / "models" / "model.pt")
    with pytest.raises(InputError, match=r"model\.pt: lacks the tensor"):
        load_predictor(zoo, InferenceSettings())
    (zoo / "models" / "model.pt").unlink()
    with pytest.raises(InputError, match=r"model\.pt: is missing, so the network has no weights"):
        load_predictor(zoo, InferenceSettings())


def test_trusted_bundles_run_their_own_scripts(zoo):
    (zoo / "scripts").mkdir()
    (zoo / "scripts" / "__init__.py").write_text("")
    (zoo / "scripts" / "own_net.py").write_text(
        "from monai.networks.nets import UNet\n\n\nclass Own(UNet):\n    pass\n"
    )
    file = zoo / "configs" / "inference.json"
    file.write_text(file.read_text().replace('"UNet"', '"scripts.own_net.Own"'))
    digest = bundle_sha256(zoo)
    with pytest.raises(InputError, match=r"network_def: names 'scripts\.own_net\.Own', which is not allowed"):
        load_predictor(zoo, InferenceSettings())
    with pytest.raises(InputError, match="network_def: names"):
        load_predictor(zoo, InferenceSettings(), ["0" * 64])
    predictor, facts = load_predictor(zoo, InferenceSettings(), [digest])
    assert type(predictor.network).__name__ == "Own"
    assert facts.sha256 == digest == bundle_sha256(zoo)


def test_every_reader_becomes_ours():
    config = {"a": [{"_target_": "monai.transforms.LoadImaged", "reader": "X"}, {"_target_": "LoadImage"}, {"b": 1}]}
    first, second, third = with_our_reader(config)["a"]
    assert first["reader"] == second["reader"] == READER
    assert third == {"b": 1}


@pytest.mark.parametrize(
    ("steps", "place"),
    [
        ([{"_target_": "LoadImaged", "keys": ["image"], "ensure_channel_first": True}, {"_target_": "Resized"}], 1),
        ([{"_target_": "LoadImaged", "keys": ["image"]}, {"_target_": "EnsureChannelFirstd", "keys": ["image"]}], 2),
    ],
)
def test_pictures_come_as_monai_reads_them(steps, place):
    given = with_our_reader({"preprocessing": {"_target_": "Compose", "transforms": steps}})
    transforms = given["preprocessing"]["transforms"]
    assert transforms[place] == {"_target_": PICTURE_AXES, "keys": ["image"], "allow_missing_keys": True}
    assert len(transforms) == len(steps) + 1


def test_pictures_of_a_bundle_that_names_our_reader_stay_as_it_gives_them():
    steps = [{"_target_": "LoadImaged", "keys": ["image"], "ensure_channel_first": True, "reader": READER}]
    assert with_our_reader(steps) == steps


@pytest.mark.parametrize(
    "metadata",
    [{}, {"network_data_format": []}, {"network_data_format": {"outputs": {"pred": {"channel_def": {"a": "b"}}}}}],
)
def test_classes_that_are_not_told(metadata):
    with pytest.raises(InputError, match="does not tell the classes"):
        class_names(metadata, BUNDLE)


def parts(*preprocessing, inferer=None):
    return {
        "preprocessing": Compose(preprocessing),
        "inferer": inferer or SimpleInferer(),
        "postprocessing": Compose([]),
    }


SPACINGS = {
    "none": ([NormalizeIntensityd("image")], (math.inf,) * 3),
    "dictionary": ([Spacingd("image", (1.0, 2.0, 3.0))], (1.0, 2.0, 3.0)),
    "array": ([Spacing((1.0, 2.0, 3.0))], (1.0, 2.0, 3.0)),
    "one for all": ([Spacingd("image", 2.0)], (2.0, 2.0, 2.0)),
    "some as they are": ([Spacingd("image", (1.0, 1.0, -1.0))], (1.0, 1.0, math.inf)),
}


@pytest.mark.parametrize(("steps", "spacing"), SPACINGS.values(), ids=SPACINGS.keys())
def test_the_grid_of_another_bundle(steps, spacing):
    assert grid_facts({}, METADATA, parts(*steps), BUNDLE) == (1, 3, spacing)


def test_the_window_tells_the_dimensions():
    flat = {"network_data_format": {"inputs": {"image": {"num_channels": 3}}}}
    made = parts(inferer=SlidingWindowInferer((32, 32)))
    assert grid_facts({}, flat, made, BUNDLE) == (3, 2, (math.inf, math.inf))
    with pytest.raises(InputError, match="does not tell the channels and dimensions"):
        grid_facts({}, flat, parts(), BUNDLE)
    with pytest.raises(InputError, match="4 dimensions, which is not supported"):
        grid_facts({"in_channels": 1, "patch_size": [1] * 4, "spacing_mm": [1] * 4}, {}, made, BUNDLE)


def test_what_a_bundle_says_itself_comes_first():
    config = {"in_channels": 2, "patch_size": [8, 8], "spacing_mm": [0.5, 0.25]}
    assert grid_facts(config, METADATA, parts(), BUNDLE) == (2, 2, (0.5, 0.25))


def test_networks_of_whole_images_have_no_window():
    config = {"in_channels": 1, "spatial_dims": 2}
    assert grid_facts(config, {}, parts(inferer=SimpleInferer()), BUNDLE) == (1, 2, (math.inf, math.inf))


def test_networks_that_are_none(tmp_path):
    with pytest.raises(InputError, match="its network_def makes no network"):
        fill_network("a string", tmp_path)


def test_steps_before_the_way_back_follow_the_inferer():
    preprocessing = Compose([])
    invert = Invertd("pred", transform=preprocessing, orig_keys="image")
    steps = [Activationsd("pred", softmax=True), invert, AsDiscreted("pred", argmax=True)]
    made = {"preprocessing": preprocessing, "inferer": SimpleInferer(), "postprocessing": Compose(steps)}
    ordered = in_our_order(made, BUNDLE)
    assert list(ordered["postprocessing"].transforms) == steps[1:]
    inputs = torch.randn(2, 3, 4, 4)
    network = torch.nn.Conv2d(3, 5, 1)
    torch.testing.assert_close(ordered["inferer"](inputs, network), network(inputs).softmax(1))


def test_what_is_in_our_order_stays():
    preprocessing = Compose([])
    made = {
        "preprocessing": preprocessing,
        "inferer": SimpleInferer(),
        "postprocessing": Compose([Invertd("pred", transform=preprocessing, orig_keys="image")]),
    }
    assert in_our_order(made, BUNDLE) == made


@pytest.mark.parametrize("postprocessing", [Compose([AsDiscreted("pred", argmax=True)]), "no list"])
def test_no_way_back(postprocessing):
    with pytest.raises(InputError, match="has no Invertd"):
        in_our_order({"preprocessing": Compose([]), "postprocessing": postprocessing}, BUNDLE)


def test_an_inferer_without_steps():
    inputs = torch.randn(1, 1, 4, 4)
    network = torch.nn.Conv2d(1, 2, 1)
    torch.testing.assert_close(ActivatedInferer(SimpleInferer(), [])(inputs, network), network(inputs))

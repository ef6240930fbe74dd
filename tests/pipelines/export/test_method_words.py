"""What a configuration says of its network and training."""

from __future__ import annotations

import pytest

from pipelines.export.method_words import (
    ATTENTION_U_NET,
    D_LINK_NET,
    DATA_PARAMETERS,
    DUAL_TASK,
    EXPONENTIAL_LOGARITHMIC,
    KENDALL,
    MOBILENET_V2,
    MOBILENET_V3,
    SAXENA,
    U_NET,
    U_NET_PLUS_PLUS,
    V_NET,
    batch_words,
    capitalised,
    description,
    network_words,
    references,
    training_words,
)

DUAL = {"head": "mask", "k": 1500.0, "network_def": {"_target_": "networks.nets.DualTaskVNet"}}
LARGE = {"head": "softmax", "spatial_dims": 2, "network_def": {"_target_": "networks.nets.LRASPPMobileNet"}}
LIGHT = {
    "spatial_dims": 3,
    "variant": "published_3d",
    "network_def": {"_target_": "networks.nets.LRASPPMobileNet", "variant": "@variant"},
}
NOISY = {"train": {"trainer": {"_target_": "pipelines.engines.DataParameterTrainer"}}}
HEADS = {
    "vessel": {"kind": "mask", "out_channels": 1},
    "distance": {"kind": "distance", "out_channels": 1},
    "ill": {"kind": "classification", "out_channels": 2},
}
MULTI = {
    "head": "vessel",
    "spatial_dims": 2,
    "network_def": {"_target_": "networks.nets.MultiTaskUNet", "heads": HEADS},
}
APART = {"network_def": {**MULTI["network_def"], "decoders": "separate", "attention": True}}
ONE = {
    "network_def": {"_target_": "networks.nets.MultiTaskUNet", "heads": "@heads"},
    "heads": {"vessel": HEADS["vessel"]},
}
OCT = {
    "head": "slices",
    "spatial_dims": 3,
    "neighbours": 2,
    "detects": True,
    "nested": True,
    "dilations": [1, 2],
    "network_def": {
        "_target_": "networks.nets.DilatedUNetPlusPlus",
        "nested": "@nested",
        "dilations": "@dilations",
    },
    "overlap_loss": "@explog_loss",
    "explog_loss": {"_target_": "networks.losses.ExponentialLogarithmicDiceLoss"},
    "dice_loss": {"_target_": "networks.losses.ForegroundDiceLoss"},
}
UNET = {"network_def": {"_target_": "monai.networks.nets.UNet"}}

NETWORKS = {
    "dual": (DUAL, "a V-Net with two heads, mask and signed distance map", "Dual-task network", [DUAL_TASK, V_NET]),
    "large": (
        LARGE,
        "MobileNetV3-Large with the Lite R-ASPP head in 2D",
        "MobileNetV3-Large with the Lite R-ASPP head in 2D",
        [MOBILENET_V3],
    ),
    "multi": (
        MULTI,
        "a U-Net in 2D with the heads vessel, distance and ill",
        "A U-Net in 2D with the heads vessel, distance and ill",
        [U_NET],
    ),
    "apart": (
        MULTI | APART,
        "an attention U-Net in 2D with the heads vessel, distance and ill, on several decoders",
        "An attention U-Net in 2D with the heads vessel, distance and ill, on several decoders",
        [U_NET, ATTENTION_U_NET],
    ),
    "one head": (MULTI | ONE, "a U-Net in 2D with the head vessel", "A U-Net in 2D with the head vessel", [U_NET]),
    "heads elsewhere": (
        MULTI | {"network_def": {"_target_": "networks.nets.MultiTaskUNet", "heads": "$f()"}},
        "a U-Net in 2D",
        "A U-Net in 2D",
        [U_NET],
    ),
    "slices": (
        OCT,
        "a dilated U-Net++ in 2D on slices with 2 neighbours on either side",
        "A dilated U-Net++ in 2D on slices with 2 neighbours on either side",
        [U_NET_PLUS_PLUS, D_LINK_NET, EXPONENTIAL_LOGARITHMIC],
    ),
    "single slices": (
        OCT | {"spatial_dims": 2, "nested": False, "dilations": [], "overlap_loss": "@dice_loss"},
        "a U-Net in 2D on slices",
        "A U-Net in 2D on slices",
        [U_NET],
    ),
    "other": (UNET, "a network of the class `UNet`", "A network of the class `UNet`", []),
    "expression": ({"network_def": "$f()"}, "a network of its own making", "A network of its own making", []),
    "none": ({}, "a network of its own making", "A network of its own making", []),
}


@pytest.mark.parametrize(("config", "words", "begins", "papers"), NETWORKS.values(), ids=NETWORKS.keys())
def test_networks(config, words, begins, papers):
    assert network_words(config) == words
    assert description(config) == begins
    assert references(config) == papers


def test_a_variant_by_reference():
    assert network_words(LIGHT).startswith("DeepSTAPLE's light mobile network")
    assert {MOBILENET_V2, MOBILENET_V3, DATA_PARAMETERS} <= set(references(LIGHT))
    assert "LRASPPMobileNet" in network_words({**LIGHT, "variant": "another"})


METHODS = {
    "dtc": ({"consistency": {"_target_": "x.HeadsAgree"}}, "by dual-task consistency (Luo et al., AAAI 2021)"),
    "teacher": ({"consistency": {"_target_": "x.TeacherAgrees"}}, "with a mean teacher"),
    "supervised": ({"consistency": None}, "from labelled scans alone"),
    "noisy": (NOISY, "on noisy labels, with one data parameter for each, learnt beside the network (Weihsbach et al."),
    "in-line": ({**NOISY, "mode": "in-line"}, "on noisy labels, each weighted by a data parameter (Weihsbach et al."),
    "temperature": ({**NOISY, "mode": "temperature"}, "on noisy labels, with a temperature for each (Saxena et al."),
    "alike": ({**NOISY, "mode": "none"}, "on noisy labels, all of which count alike"),
    "no trainer of noisy labels": ({"mode": "in-line"}, "from labelled scans alone"),
    "slices": (OCT, "from labelled images alone, slice by slice, on masks and what each slice holds"),
    "masks of slices": ({**OCT, "detects": False}, "from labelled images alone, slice by slice, on masks"),
    "overlay": ({"train": "@other"}, "from labelled scans alone"),
}


@pytest.mark.parametrize(("config", "told"), METHODS.values(), ids=METHODS.keys())
def test_training(config, told):
    assert training_words(config).startswith(told)


def test_an_enlarged_network():
    """Within what enlarges its images, the network is what it is."""
    wrapped = {"_target_": "networks.nets.UpscaledNetwork", "factor": "@upscale", "network": LIGHT["network_def"]}
    config = {**LIGHT, "network_def": wrapped, "upscale": 1.5}
    assert network_words(config) == f"{network_words(LIGHT)}, on images enlarged 1.5 times"
    assert network_words({**config, "upscale": 1.0}) == network_words(LIGHT)
    assert references(config) == references(LIGHT)


def test_papers_by_mode():
    assert references({**LARGE, **NOISY, "mode": "temperature"}) == [SAXENA, MOBILENET_V3]
    assert references({**LARGE, **NOISY, "mode": "none"}) == [MOBILENET_V3]


def test_papers_are_cited_once():
    assert references({**LARGE, **NOISY}) == [DATA_PARAMETERS, MOBILENET_V3]
    assert references({**LIGHT, **NOISY}).count(DATA_PARAMETERS) == 1


def test_batches():
    assert batch_words({"labeled_per_batch": 2, "unlabeled_per_batch": 1}) == "2 labelled, 1 unlabelled windows"
    assert batch_words({"batch_size": 8}) == "8 windows"
    assert batch_words({}) == "? windows"
    assert batch_words({**OCT, "batch_size": 16}) == "16 slices"
    assert batch_words({**OCT, "batch_size": "$16 if @nested else 32"}) == "slices"


def test_capitals():
    assert capitalised("a V-Net") == "A V-Net"


TASKS = {**MULTI, "losses": {"vessel": {}, "distance": {}}}


@pytest.mark.parametrize(
    ("combination", "told"),
    [
        ("UncertaintyWeightedSum", "weighted by uncertainties that are learnt (Kendall et al., CVPR 2018)"),
        ("AlphaLoss", "weighted by the ratio of their losses in the epoch before"),
        ("WeightedSum", "with fixed weights"),
    ],
)
def test_training_on_several_tasks(combination, told):
    config = {**TASKS, "combination_def": {"_target_": f"networks.losses.{combination}"}}
    assert training_words(config) == f"from labelled images alone, on the tasks vessel and distance, {told}"
    assert (KENDALL in references(config)) == (combination == "UncertaintyWeightedSum")


def test_training_of_a_multi_task_network_on_one_task_is_told_as_any_other():
    config = {**TASKS, "losses": {"vessel": {}}, "combination_def": {"_target_": "networks.losses.WeightedSum"}}
    assert training_words(config) == "from labelled scans alone"

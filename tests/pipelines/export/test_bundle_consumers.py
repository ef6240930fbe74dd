"""What has broken a bundle under MONAI Label or the Deploy App SDK is found."""

from __future__ import annotations

from copy import deepcopy

import pytest

from pipelines.export.bundle_consumers import deploy_faults, label_faults, load_faults
from tests.pipelines.export.tiny_bundle import INFERENCE, METADATA


def test_the_good_bundle():
    assert label_faults(INFERENCE) == []
    assert load_faults(INFERENCE) == []
    assert deploy_faults(INFERENCE, METADATA) == []


@pytest.mark.parametrize(
    "network", ["$torch.jit.load(@bundle_root + '/models/model.ts')", "@other", {"_target_": "Net", "file": "$@other"}]
)
def test_a_network_that_is_in_a_file_of_the_bundle(network):
    config = INFERENCE | {"network_def": network, "other": "$@bundle_root + '/x'"}
    assert [identity for identity, _ in load_faults(config)] == ["network_def"]


@pytest.mark.parametrize(
    "datalist", ["$[{'image': n, 'image_id': n} for n in @names]", "$[{'label_name': 'x'}]", "$list(({'image_2': 1},))"]
)
def test_data_keys_that_look_like_metadata(datalist):
    assert [identity for identity, _ in label_faults(INFERENCE | {"datalist": datalist})] == ["datalist"]


def changed(part, edit):
    config = deepcopy(INFERENCE)
    edit(config[part]["transforms"])
    return config


@pytest.mark.parametrize("argument", ["keys", "names", "output_keys"])
def test_transforms_that_make_such_keys(argument):
    config = changed("preprocessing", lambda all: all.append({"_target_": "CopyItemsd", argument: ["image_raw"]}))
    assert [identity for identity, _ in label_faults(config)] == ["preprocessing::transforms::4"]


@pytest.mark.parametrize("name", ["image_meta_dict", "label_transforms"])
def test_monais_own_keys(name):
    config = changed("preprocessing", lambda all: all.append({"_target_": "ToTensord", "keys": name}))
    assert label_faults(config) == []


def test_the_path_that_monai_label_adds_is_deleted_in_time():
    missing = changed("preprocessing", lambda all: all.pop(1))
    late = changed("preprocessing", lambda all: all.append(all.pop(1)))
    for config in (missing, late):
        assert [identity for identity, _ in label_faults(config)] == ["preprocessing::transforms::2"]
    assert label_faults(changed("preprocessing", lambda all: (all.pop(1), all.pop(2)))) == []


@pytest.mark.parametrize("part", ["preprocessing", "postprocessing", "inferer", "device"])
def test_parts_that_the_sdk_takes(part):
    config = {name: value for name, value in INFERENCE.items() if name != part}
    assert part in [identity for identity, _ in deploy_faults(config, METADATA)]


def test_a_loader_that_makes_the_channel():
    config = changed("preprocessing", lambda all: (all.pop(2), all[0].update(ensure_channel_first=True)))
    assert [identity for identity, _ in deploy_faults(config, METADATA)] == ["preprocessing::transforms::0"]


def test_a_mask_is_an_image():
    metadata = deepcopy(METADATA)
    metadata["network_data_format"]["outputs"]["pred"]["type"] = "probabilities"
    assert [identity for identity, _ in deploy_faults(INFERENCE, metadata)] == [
        "_meta_::network_data_format::outputs::pred::type"
    ]


@pytest.mark.parametrize(
    "edit",
    [
        lambda all: all.pop(1),
        lambda all: all[1].update(to_onehot=2),
        lambda all: all.append({"_target_": "AsDiscreted", "keys": "pred", "to_onehot": 2}),
    ],
)
def test_several_channels_are_left(edit):
    assert [identity for identity, _ in deploy_faults(changed("postprocessing", edit), METADATA)] == ["postprocessing"]


@pytest.mark.parametrize("value", ["@datalist", "$len(@dataset)", "@indirect"])
def test_transforms_that_need_a_data_set(value):
    config = changed("preprocessing", lambda all: all.append({"_target_": "Lambdad", "func": value}))
    config["indirect"] = {"deep": "$@dataset.data"}
    reached = deploy_faults(config, METADATA)
    assert {identity for identity, _ in reached} == {"preprocessing", "postprocessing"}
    assert all("is not there when a single image is given" in reason for _, reason in reached)

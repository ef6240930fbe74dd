"""Keys: members are strings."""

import json

import pytest
from monai.utils.enums import CommonKeys

from pipelines.keys import Keys

NAMES = ["image", "plain", "label", "pred", "sdf", "distance", "fov", "presence", "case_id"]
NAMES += ["slice_index", "instance_index"]


def test_names():
    assert [key.value for key in Keys] == NAMES


@pytest.mark.parametrize("key", list(Keys))
def test_a_key_is_its_string(key):
    assert key == key.value
    assert str(key) == f"{key}" == key.value
    assert {key.value: 1}[key] == 1
    assert json.loads(json.dumps({key: key})) == {key.value: key.value}


@pytest.mark.parametrize("name", ["IMAGE", "LABEL", "PRED"])
def test_shared_keys_are_those_of_monai(name):
    assert Keys[name] == CommonKeys[name]


@pytest.mark.parametrize("key", list(Keys))
def test_no_key_looks_like_metadata_of_an_image(key):
    assert not key.value.startswith(("image_", "label_"))

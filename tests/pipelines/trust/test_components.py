"""Components: which names, which special keys, which arguments."""

from __future__ import annotations

import pytest

from pipelines.trust.components import judge_component

HELD = {"reader": "NibabelReader", "hop": "@reader", "loop": "@loop", "ckpt": "$@bundle_root + '/models/model.pt'"}

INFERENCE = [
    {"_target_": "Spacingd", "keys": "image", "pixdim": [1, 1, 1]},
    {"_target_": "monai.transforms.Compose", "_disabled_": "$not @x", "_requires_": "@y", "_desc_": "z"},
    {"_target_": "LoadImaged", "keys": "image", "reader": "@reader", "image_only": True},
    {"_target_": "LoadImaged", "keys": "image", "reader": "%hop"},
    {"_target_": "LoadImage", "reader": ["ITKReader", "transforms.io.volume_reader.VolumeReader"]},
    {"_target_": "LoadImage", "reader": None},
    {"_target_": "FlexibleUNet", "in_channels": 1, "pretrained": False},
    {"_target_": "networks.nets.DualTaskVNet", "filters": 4},
    {"_target_": "transforms.SignedDistanceMapd", "keys": "label"},
    {"_target_": "torch.nn.Softmax", "dim": 1, "_mode_": "callable"},
    {"_target_": "torch.jit.load", "f": "$@bundle_root + '/models/model.ts'"},
    {"_target_": "torch.load", "f": "@ckpt", "weights_only": True},
]
WORKFLOW = [
    {"_target_": "SaveImaged", "keys": "pred", "output_dir": "/tmp"},
    {"_target_": "SaveImaged", "keys": "pred", "writer": "ITKWriter"},
    {"_target_": "CheckpointLoader", "load_path": "@ckpt", "load_dict": {}, "strict_shape": False},
    {"_target_": "SupervisedEvaluator"},
    {"_target_": "monai.data.DataLoader"},
    {"_target_": "torch.optim.Adam"},
]


@pytest.mark.parametrize("node", INFERENCE, ids=str)
def test_parts_of_inference(node):
    for for_inference in (True, False):
        assert judge_component(node, HELD.get, for_inference=for_inference) is None


@pytest.mark.parametrize("node", WORKFLOW, ids=str)
def test_parts_of_a_workflow_are_none_of_inference(node):
    assert judge_component(node, HELD.get, for_inference=False) is None
    assert judge_component(node, HELD.get, for_inference=True) is not None


REFUSED = [
    ({"_target_": "os.system"}, "names 'os.system'"),
    ({"_target_": "???"}, "no plain dotted name"),
    ({"_target_": 5}, "no plain dotted name"),
    ({"_target_": ["Compose"]}, "no plain dotted name"),
    ({"_target_": ""}, "no plain dotted name"),
    ({"_target_": "Сompose"}, "no plain dotted name"),  # its first letter is Cyrillic
    ({"_target_": "monai.transforms.compose.Compose.__init__"}, "names"),
    ({"_target_": "Compose", "_mode_": "@mode"}, "_mode_"),
    ({"_target_": "Compose", "_mode_": ["debug"]}, "_mode_"),
    ({"_target_": "Compose", "_other_": 1}, "key '_other_'"),
    ({"_target_": "LoadImage", "reader": "@missing"}, "reader"),
    ({"_target_": "LoadImage", "reader": "@loop"}, "reader"),
    ({"_target_": "LoadImage", "reader": {"_target_": "Compose"}}, "reader"),
    ({"_target_": "LoadImage", "reader": 3}, "reader"),
    ({"_target_": "FlexibleUNet", "pretrained": "@x"}, "pretrained"),
    ({"_target_": "FlexibleUNet", "pretrained": 0}, "pretrained"),
    ({"_target_": "torch.load", "f": "@ckpt"}, "weights_only"),
    ({"_target_": "torch.load", "f": "@ckpt", "weights_only": True, "pickle_module": "@x"}, "pickle_module"),
    ({"_target_": "torch.jit.load", "f": "@reader"}, "not plainly"),
    ({"_target_": "torch.jit.load"}, "not plainly"),
    ({"_target_": "CheckpointLoader", "load_path": "@ckpt", "extra": 1}, "extra"),
]


@pytest.mark.parametrize(("node", "reason"), REFUSED, ids=str)
def test_what_is_refused(node, reason):
    found = judge_component(node, HELD.get, for_inference=False)
    assert found is not None
    assert reason in found

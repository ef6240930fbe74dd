from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from pipelines.workflow import (
    BUNDLES,
    check_ids,
    config_files,
    find_bundle,
    parse_overrides,
    quiet_monai,
    refuse_shadowed_packages,
    run_stage,
)
from transforms.io.input_error import InputError

FILES = [BUNDLES / "left_atrium_dtc" / "configs" / f"{stage}.yaml" for stage in ("common", "train")]


def test_a_bundle_is_found_by_name_and_by_path(tmp_path: Path) -> None:
    assert find_bundle("left_atrium_dtc") == BUNDLES / "left_atrium_dtc"
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "common.yaml").touch()
    assert find_bundle(str(tmp_path)) == tmp_path


def test_what_is_missing_is_refused_with_what_there_is() -> None:
    with pytest.raises(InputError, match="did you mean left_atrium_dtc"):
        find_bundle("left_atrium")
    with pytest.raises(InputError, match="quick"):
        config_files(BUNDLES / "left_atrium_dtc", ["common", "quik"])


@pytest.mark.parametrize(
    ("setting", "name", "value"),
    [
        ("learning_rate=1e-3", "learning_rate", 0.001),
        ("patch_size=[32, 32, 16]", "patch_size", [32, 32, 16]),
        ("network_def#filters=4", "network_def::filters", 4),
        ("labeled=null", "labeled", None),
        ("head=mean", "head", "mean"),
    ],
)
def test_settings_are_yaml(setting: str, name: str, value: Any) -> None:
    assert parse_overrides([setting]) == {name: value}


@pytest.mark.parametrize("setting", ["learning_rate", "=3", "patch_size=[1, 2"])
def test_settings_of_another_form_are_refused(setting: str) -> None:
    with pytest.raises(InputError, match="--set"):
        parse_overrides([setting])


@pytest.mark.parametrize(
    "name", ["learning_rate", "network_def::filters", "network_def::residual", "optimizer::nesterov"]
)
def test_ids_and_parameters_of_components_may_be_set(name: str) -> None:
    check_ids(FILES, {name: 1})


@pytest.mark.parametrize(
    ("name", "near"), [("lerning_rate", "learning_rate"), ("network_def::filter", "network_def::filters")]
)
def test_an_unknown_id_names_the_nearest(name: str, near: str) -> None:
    with pytest.raises(InputError, match=f"unknown id {name}; did you mean {near}"):
        check_ids(FILES, {name: 1})


def test_a_folder_of_the_same_name_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_shadowed_packages()
    intruder = ModuleType("networks")
    intruder.__file__ = "/elsewhere/networks/__init__.py"
    monkeypatch.setitem(sys.modules, "networks", intruder)
    with pytest.raises(InputError, match="/elsewhere/networks"):
        refuse_shadowed_packages()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            "run: ['$@broken']\nbroken:\n"
            "  {_target_: networks.nets.DualTaskVNet, spatial_dims: 4, in_channels: 1, out_channels: 1}",
            "spatial_dims must be 2 or 3",
        ),
        (
            "run: ['$@cases']\ncases: {_target_: pipelines.data.datalists.images_in, folder: /does/not/exist}",
            "is no folder",
        ),
    ],
)
def test_a_refusal_comes_through_what_monai_wraps_around_it(tmp_path: Path, text: str, match: str) -> None:
    file = tmp_path / "common.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=match):
        run_stage([file], {}, "train")


def test_a_stage_runs_with_its_overrides(tmp_path: Path) -> None:
    file = tmp_path / "common.yaml"
    write = {"_target_": "transforms.io.atomic.write_text_atomic", "path": str(tmp_path / "said"), "text": "@word"}
    file.write_text(json.dumps({"word": "one", "run": [write]}))
    run_stage([file], {"word": "two"}, "train")
    assert (tmp_path / "said").read_text() == "two"


def test_an_orientation_that_is_undone_in_2d_warns_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from monai.data import MetaTensor
    from monai.transforms import Orientation

    orientation = Orientation("RA", labels=None)
    turned = orientation(MetaTensor(torch.zeros(1, 4, 5), affine=torch.diag(torch.tensor([-1.0, 1, 1, 1]))))
    monkeypatch.setattr(sys, "warnoptions", [])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        orientation.inverse(turned.clone())
        assert "axcodes" in str(told[0].message)
        told.clear()
        quiet_monai()
        orientation.inverse(turned)
    assert not told


FAILING = """
import os
import sys
from pathlib import Path

import torch

from pipelines.workflow import run_stage
from transforms.io.input_error import InputError


class Fails(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index > 1:
            raise {fault}
        return torch.zeros(1)


def loop(loader):
    for _ in loader:
        pass


run_stage([Path(sys.argv[1])], {{}}, "train")
"""


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("KeyError('fov')", "RuntimeError: "),
        ("InputError('a.png', 'is damaged')", "InputError: a.png: is damaged"),
        ("SystemExit(os.kill(os.getpid(), 9))", "InputError: workers: a process that prepares batches has died"),
    ],
)
def test_a_fault_in_a_process_that_prepares_batches_is_told_and_ends_the_run(
    tmp_path: Path, fault: str, told: str
) -> None:
    """Such a process is deaf to SIGTERM, with which Python would end it before it ends itself."""
    (tmp_path / "failing.py").write_text(FAILING.format(fault=fault))
    file = tmp_path / "configs" / "train.yaml"
    file.parent.mkdir()
    loader = {
        "_target_": "torch.utils.data.DataLoader",
        "dataset": {"_target_": "__main__.Fails"},
        "num_workers": 1,
        "worker_init_fn": {
            "_target_": "pipelines.data.drawn_dataset.leave_signals_to_parent",
            "_mode_": "callable",
        },
    }
    own = {"loader": loader, "loop": {"_target_": "__main__.loop", "_mode_": "callable"}, "run": ["$@loop(@loader)"]}
    file.write_text(json.dumps({**own, "initialize": []}))
    command = [sys.executable, str(tmp_path / "failing.py"), str(file)]
    environment = {**os.environ, "PYTHONPATH": str(BUNDLES.parent)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    last = [line for line in done.stderr.splitlines() if re.match(r"[\w.]*Error: ", line)][-1]
    assert told in last, done.stderr
    assert done.returncode == 1

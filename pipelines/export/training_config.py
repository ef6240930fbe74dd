"""The training configurations of an exported bundle: the run's own, as MONAI runs it where Concord is installed."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import bundles

PLACES = {"bundle_root": ".", "dataset_dir": "/workspace/data", "output_dir": "$@bundle_root + '/run'"}
DEVICE = "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')"
ONE_PROCESS = {"resume": False, "overwrite": False, "rank": 0, "world_size": 1}
# The same for every bundle of ours, which a test proves.
MULTI_GPU_FILE = Path(bundles.__file__).resolve().parent / "left_atrium_dtc" / "configs" / "multi_gpu_train.yaml"

# MONAI's filter takes only logging's own classes and literal arguments (and the standard streams).
LOGGING_CONF = """[loggers]
keys=root

[handlers]
keys=console

[formatters]
keys=full

[logger_root]
level=INFO
handlers=console

[handler_console]
class=StreamHandler
level=INFO
formatter=full
args=(sys.stdout,)

[formatter_full]
format=%(asctime)s - %(name)s - %(levelname)s - %(message)s
"""


def training_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Give ``configs/train.json``: the whole configuration of a run, with neutral places in place of the user's.

    With the same data, seed and device it trains the same network again. What the user sets: ``dataset_dir``,
    ``output_dir`` (the run folder), ``device``, and any id else.

    Args:
        config: the run's configuration.
    """
    portable = copy.deepcopy(dict(config))
    portable |= {name: value for name, value in (PLACES | ONE_PROCESS).items() if name in portable}
    if isinstance(portable.get("device"), str):
        portable["device"] = DEVICE
    validate = portable.get("validate", {})
    if "evaluator" in validate and "handlers" not in validate:
        # The model zoo asks every training for the list, if only for others to append to.
        validate["handlers"] = []
        validate["evaluator"]["val_handlers"] = "@validate::handlers"
    return portable


def multi_gpu_config() -> dict[str, Any]:
    """Give ``configs/multi_gpu_train.json``, which ``torchrun`` takes after ``train.json``."""
    return dict(yaml.safe_load(MULTI_GPU_FILE.read_text(encoding="utf-8")))

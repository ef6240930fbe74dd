"""What a training sees is a function of (seed, stream, position) alone: nothing remembers what was drawn before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.data.drawn_dataset import DrawnDataset
from pipelines.data.two_stream_sampler import Draw
from pipelines.workflow import BUNDLES, config_files
from tests.pipelines.tiny_training import make_tiny_cohort, quiet

CASES = [
    ("left_atrium_dtc", ("quick",), "atrium"),
    ("left_atrium_dtc", ("quick", "planar"), "atrium2d"),
    ("left_atrium_dtc", (), "atrium"),
    ("hippocampus_dtc", (), "two_class"),
    ("pancreas_dtc", ("quick",), "ct_organ"),
]


def training_dataset(bundle: str, overlays: tuple[str, ...], data: Path) -> DrawnDataset:
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config([str(file) for file in config_files(BUNDLES / bundle, ["common", "train", *overlays])])
    dims = 2 if "planar" in overlays else 3
    parser.update({"dataset_dir": str(data), "spacing_mm": [2.0] * dims, "patch_size": [16] * dims})
    found: Any = parser.get_parsed_content("train::dataset")
    return found


@pytest.mark.parametrize(("bundle", "overlays", "kind"), CASES)
def test_a_sample_does_not_depend_on_earlier_draws(tmp_path, bundle, overlays, kind):
    planar = kind == "atrium2d"
    plan = {"kind": kind, "shape": (28, 26) if planar else (24, 22, 20), "spacing_mm": [2.0]}
    data = make_tiny_cohort(tmp_path / "data", **plan)
    with quiet():
        dataset = training_dataset(bundle, overlays, data)
        draws = [Draw(case, 0, position) for position, case in enumerate([0, 1, 2] * 8)]
        first = [dataset[draw] for draw in draws]
        for index in reversed(range(len(draws))):
            again = dataset[draws[index]]
            for key in ("image", "label", "sdf"):
                assert torch.equal(again[key], first[index][key]), (index, key)
    assert not torch.equal(first[0]["image"], first[3]["image"])

"""The smallest data set of noisy labels, and its parts as a training has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def make_noisy_cohort(folder: Path, **changes: Any) -> Path:
    """Write 3 training cases of five raters each, 1 validation and 1 test case of 32 x 28 pixels, unless told
    otherwise."""
    from pipelines.data.phantoms import make_cohort

    plan: dict[str, Any] = {"labeled": 3, "unlabeled": 0, "validation": 1, "test": 1, "shape": (32, 28)}
    plan |= {"spacing_mm": [3.0], "seed": 5} | changes
    cases = sum(plan[part] for part in ("labeled", "unlabeled", "validation", "test"))
    make_cohort(plan.pop("kind", "raters2d"), folder, cases, **plan)
    return folder


def rater_cohort(data: Path, cache: Path, **changes: Any) -> Any:
    """Read a data set as a training does, with a cache of its own."""
    from pipelines.data.rater_cohort import RaterCohort

    settings: dict[str, Any] = {"validation": None, "seed": 0, "spatial_dims": 2, "in_channels": 1, "num_classes": 1}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_CACHE_HOME", str(cache))
        return RaterCohort(data, **{**settings, **changes})


def rater_dataset(cohort: Any, **changes: Any) -> Any:
    """Load the labels of a cohort without any augmentation."""
    from monai.transforms import Compose, LoadImaged

    from pipelines.data.rater_dataset import RaterDataset
    from transforms.io.volume_reader import VolumeReader

    keys = ["image", "label", "expert"]
    loading = LoadImaged(keys, reader=VolumeReader, ensure_channel_first=True, allow_missing_keys=True)
    settings: dict[str, Any] = {"augmentation": Compose([]), "seed": 0, "num_classes": 1, "threads": 1}
    return RaterDataset(cohort.training, cohort, Compose([loading]), **{**settings, **changes})

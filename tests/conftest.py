"""What holds for every test: few threads, seeded generators, and figures that need no screen."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest

os.environ["MPLBACKEND"] = "Agg"  # before anything imports matplotlib

THREADS = 2


@pytest.fixture(scope="session", autouse=True)
def few_threads() -> None:
    """The tests' tensors are too small for many threads, which would only wait for each other."""
    import torch

    torch.set_num_threads(min(THREADS, torch.get_num_threads()))


@pytest.fixture(autouse=True)
def fixed_seeds() -> None:
    """Start every test from the same global random states, whatever ran before it."""
    import torch

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  some packages draw from it
    torch.manual_seed(0)

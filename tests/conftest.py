"""What holds for every test: few threads, seeded generators, a cache of its own, and figures that need no screen."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import numpy as np
import pytest

os.environ["MPLBACKEND"] = "Agg"  # before anything imports matplotlib

# Where tests run in a process per core, neither they nor the commands that they start take more than one.
SIDE_BY_SIDE = "PYTEST_XDIST_WORKER" in os.environ
THREADS = 1 if SIDE_BY_SIDE else 2
if SIDE_BY_SIDE:
    os.environ["OMP_NUM_THREADS"] = str(THREADS)


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


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Remember of no data set what another file's tests, or whoever runs them, have found out about it."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield

"""Seeds: equal for equal arguments in every process, unrelated otherwise."""

import subprocess
import sys

import pytest

from pipelines.data.seeds import derive_generator, derive_seed

PATHS = [(0,), (1,), (0, 1), (1, 1), (0, 0, 1), (0, 1, 1), (1, 0, 1), (7, 2, 1, 40), (2**32 - 1, 3)]


@pytest.mark.parametrize("path", PATHS)
def test_equal_arguments_give_equal_draws(path):
    assert derive_seed(*path) == derive_seed(*path)
    assert (derive_generator(*path).random(8) == derive_generator(*path).random(8)).all()


def test_other_arguments_give_other_draws():
    assert len({derive_seed(*path) for path in PATHS}) == len(PATHS)
    assert len({derive_generator(*path).random() for path in PATHS}) == len(PATHS)


def test_zeros_at_the_end_do_not_count():
    assert derive_seed(5, 1) == derive_seed(5, 1, 0) != derive_seed(5, 0, 1)


def test_neighbours_do_not_collide():
    seeds = {derive_seed(seed, stream, place) for seed in range(5) for stream in range(4) for place in range(200)}
    assert len(seeds) == 5 * 4 * 200


def test_seeds_fit_into_32_bits():
    assert all(0 <= derive_seed(0, place) < 2**32 for place in range(100))


def test_another_process_draws_the_same():
    """Also with another hash seed: nothing depends on the process."""
    code = "from pipelines.data.seeds import derive_seed; print(derive_seed(3, 1, 4))"
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(answer.stdout) == derive_seed(3, 1, 4)


def test_global_state_is_left_alone():
    import numpy as np

    before = np.random.get_state()[1].copy()  # noqa: NPY002
    derive_generator(1, 2).random(10)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_refuses_negative_numbers():
    with pytest.raises(ValueError, match="non-negative"):
        derive_seed(0, -1)

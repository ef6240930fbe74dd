from __future__ import annotations

import numpy as np
import pytest

from pipelines.registration.pair import register_pair
from pipelines.registration.settings import PairSettings
from pipelines.registration.simpleitk_engine import align_with_simpleitk
from tests.pipelines.registration.deformed_phantom import deformed_pair


def test_recovers_a_known_deformation_and_composes_in_order():
    known = deformed_pair((48, 44), (1.0, 1.0), angle=0.1, amplitude_mm=1.5)
    found = register_pair(known.target, known.atlas, PairSettings(engine="simpleitk"))
    assert known.error_mm(found.final) < known.error_mm(found.start) / 3
    assert known.dice(found.final) > known.dice(found.start)


def test_the_same_again():
    known = deformed_pair((24, 22), (1.0, 1.0), amplitude_mm=1.0)
    first, second = (
        align_with_simpleitk(known.target.array, known.atlas.array, np.eye(3), None, None, seed=3) for _ in range(2)
    )
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1].numpy(), second[1].numpy())


def test_in_space():
    known = deformed_pair((10, 11, 9), amplitude_mm=0.5)
    matrix, field = align_with_simpleitk(known.target.array, known.atlas.array, np.eye(4), None, None, seed=0)
    assert matrix.shape == (4, 4)
    assert field.shape == (3, 10, 11, 9)
    assert np.isfinite(matrix).all()
    assert bool(field.isfinite().all())


def test_no_common_voxel_is_a_runtime_error():
    known = deformed_pair((20, 22), (1.0, 1.0))
    start = np.eye(3)
    start[0, 2] = 500
    with pytest.raises(RuntimeError):
        align_with_simpleitk(known.target.array, known.atlas.array, start, None, None, seed=0)

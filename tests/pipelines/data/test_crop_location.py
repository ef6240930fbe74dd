"""Centres from a coarse model: of the largest piece, kept for the next time, never from a label."""

import numpy as np
import pytest

from pipelines.data.crop_location import locate_cases
from pipelines.data.dataset import read_dataset
from tests.pipelines.data.crop_phantom import affine_of, write_data_set


@pytest.fixture
def cases(tmp_path):
    return read_dataset(write_data_set(tmp_path / "raw")).training


def test_centroid_of_the_largest_piece(cases, tmp_path):
    asked = []

    def segment(entry):
        asked.append(entry)
        labels = np.zeros((26, 22, 14), np.uint8)
        if entry["case_id"] == "right_b":
            labels[4:9, 5:10, 3:8] = 1
            labels[6, 5:10, 3:8] = 2
            labels[20, 20, 12] = 1
        return labels

    memory = tmp_path / "memory" / "centres.json"
    for _ in range(2):
        found = locate_cases(cases, segment, memory, "model")
        assert found["left_a"] == []
        (centre,) = found["right_b"]
        assert centre.source == "model"
        np.testing.assert_allclose(centre.place_mm, (affine_of() @ [6, 7, 5, 1])[:3], atol=1e-5)
    assert [entry["case_id"] for entry in asked] == ["left_a", "right_b"], "nothing is segmented twice"
    assert all("label" not in entry for entry in asked)
    locate_cases(cases, segment, memory, "another model")
    assert len(asked) == 4

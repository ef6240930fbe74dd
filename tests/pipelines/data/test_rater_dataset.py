from __future__ import annotations

import numpy as np
import pytest
import torch

from pipelines.data.rater_dataset import collate_instances, mean_dice
from pipelines.data.two_stream_sampler import Draw
from tests.pipelines.data.noisy_cohort import make_noisy_cohort, rater_cohort, rater_dataset
from transforms.io.volume import read_volume


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noisy")
    return rater_cohort(make_noisy_cohort(folder / "data"), folder / "cache")


@pytest.fixture(scope="module")
def plain(cohort):
    return rater_dataset(cohort)


@pytest.fixture(scope="module")
def spoilt(cohort):
    return rater_dataset(cohort, disturbed_share=0.4, disturbance="drop")


def test_a_sample_holds_the_noisy_label_and_never_the_experts(cohort, plain):
    for number in (0, 7):
        sample = plain[Draw(number, 0, 3)]
        assert set(sample) == {"image", "label", "case_id", "instance_index"}
        assert sample["instance_index"] == number
        stored = read_volume(cohort.kept[number].label).array
        np.testing.assert_array_equal(np.asarray(sample["label"])[0], stored)


def test_true_dice_by_hand(cohort, plain):
    noisy, expert = (read_volume(path).array > 0 for path in (cohort.kept[3].label, cohort.kept[3].case.label))
    assert plain.true_dice[3] == pytest.approx(2 * (noisy & expert).sum() / (noisy.sum() + expert.sum()))
    assert plain.disturbed == [False] * 15


def test_counts_of_all_labels(cohort, plain):
    foreground = [int((read_volume(instance.label).array > 0).sum()) for instance in cohort.kept]
    assert plain.class_counts == [15 * 32 * 28 - sum(foreground), sum(foreground)]
    rows = plain.rows({index: float(index) for index in range(15)})
    assert [row.foreground_voxels for row in rows] == foreground
    assert [row.parameter for row in rows] == [float(index) for index in range(15)]
    assert rows[6].rater == "raters/raters2d_0002_rater2.png"
    assert rows[6].atlas == "rater2"
    assert plain.rows(None)[0].parameter is None


def test_images_are_kept_once(plain):
    assert len({plain.cases[number]["image"].data_ptr() for number in range(5)}) == 1
    assert plain.cases[0]["label"].dtype == torch.uint8


def test_some_labels_are_spoilt_always_the_same(cohort, plain, spoilt):
    assert sum(spoilt.disturbed) == 6
    again = rater_dataset(cohort, disturbed_share=0.4, disturbance="drop")
    for number, flag in enumerate(spoilt.disturbed):
        changed = not torch.equal(spoilt.cases[number]["label"], plain.cases[number]["label"])
        assert changed is flag
        assert torch.equal(again.cases[number]["label"], spoilt.cases[number]["label"])
    worse = [number for number, flag in enumerate(spoilt.disturbed) if flag]
    assert np.mean([spoilt.true_dice[number] - plain.true_dice[number] for number in worse]) < -0.1


def test_a_filtered_training_meets_the_same_spoilt_labels(cohort, spoilt, tmp_path):
    from pipelines.data.data_parameters_table import write_data_parameters

    write_data_parameters(tmp_path / "table.csv", spoilt.rows({index: float(index) for index in range(15)}))
    filtered = rater_cohort(cohort.root, tmp_path, parameters=tmp_path / "table.csv", keep_above=7.5)
    left = rater_dataset(filtered, disturbed_share=0.4, disturbance="drop")
    assert left.disturbed == spoilt.disturbed[8:]
    assert all(torch.equal(a["label"], b["label"]) for a, b in zip(left.cases, spoilt.cases[8:], strict=True))


@pytest.mark.parametrize("changed", [{"disturbed_share": 1.5}, {"disturbance": "shear"}, {"disturbance_strength": -1}])
def test_a_disturbance_that_makes_no_sense(cohort, changed):
    with pytest.raises(ValueError, match="must"):
        rater_dataset(cohort, **changed)


def test_batches(plain):
    batch = collate_instances([plain[Draw(number, 0, 0)] for number in (4, 2)])
    assert batch["image"].shape == batch["label"].shape == (2, 1, 28, 32)
    assert type(batch["image"]) is type(batch["label"]) is torch.Tensor
    assert batch["instance_index"].tolist() == [4, 2]


@pytest.mark.parametrize(
    ("label", "expert", "expected"),
    [
        ([1, 1, 0, 0], [1, 0, 0, 0], 2 / 3),
        ([0, 0], [0, 0], 1.0),
        ([0, 0], [1, 0], 0.0),
        ([1, 2, 0, 0], [1, 2, 2, 0], (1 + 2 / 3) / 2),
        ([1, 1, 0, 0], [1, 1, 0, 0], 1.0),  # the second class is in neither
    ],
)
def test_mean_dice_by_hand(label, expert, expected):
    assert mean_dice(np.array(label), np.array(expert), 2) == pytest.approx(expected)

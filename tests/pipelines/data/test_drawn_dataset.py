"""DrawnDataset: a sample is a function of its draw, whatever the order and the worker."""

import re
import signal

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import (
    Compose,
    Lambdad,
    RandFlipd,
    RandGaussianNoised,
    RandRotate90d,
    RandSpatialCropd,
)
from torch.utils.data import DataLoader

from pipelines.data.drawn_dataset import DrawnDataset, collate_two_streams, leave_signals_to_parent
from pipelines.data.two_stream_sampler import Draw, TwoStreamBatchSampler
from transforms.io.input_error import InputError, InputErrors

LABELED, UNLABELED = 3, 2


def entries():
    """Three labelled cases and two without a label; the image of case i is filled with numbers from 1000 i."""
    cases = []
    for index in range(LABELED + UNLABELED):
        image = torch.arange(12 * 10, dtype=torch.float32).reshape(1, 12, 10) + 1000 * index
        case = {"image": MetaTensor(image), "case_id": f"case{index}"}
        if index < LABELED:
            case["label"] = MetaTensor((image % 2 > 0).float())
        cases.append(case)
    return cases


def augmentation():
    keys = ["image", "label"]
    return Compose(
        [
            RandFlipd(keys, prob=0.5, spatial_axis=0, allow_missing_keys=True),
            RandRotate90d(keys, prob=0.5, max_k=3, allow_missing_keys=True),
            RandSpatialCropd(keys, roi_size=(6, 6), random_size=False, allow_missing_keys=True),
            RandGaussianNoised("image", prob=1.0),
        ]
    )


def dataset(seed=0, **options):
    return DrawnDataset(entries(), lambda entry: entry, augmentation(), seed, **options)


DRAWS = [Draw(0, 0, 0), Draw(2, 0, 1), Draw(0, 0, 5), Draw(3, 1, 0), Draw(4, 1, 5)]


def test_same_draw_same_sample_in_any_order():
    one, other = dataset(), dataset()
    forward = {draw: one[draw]["image"] for draw in DRAWS}
    backward = {draw: other[draw]["image"] for draw in reversed(DRAWS + DRAWS)}
    for draw in DRAWS:
        assert torch.equal(forward[draw], backward[draw])


def test_other_draws_of_a_case_differ():
    data = dataset()
    samples = [data[Draw(1, 0, position)]["image"] for position in range(12)]
    assert len({tuple(sample.flatten().tolist()) for sample in samples}) == 12


@pytest.mark.parametrize(("draw", "other"), [(Draw(0, 0, 4), Draw(0, 1, 4)), (Draw(0, 0, 4), Draw(0, 0, 5))])
def test_stream_and_place_both_count(draw, other):
    data = dataset()
    assert not torch.equal(data[draw]["image"], data[other]["image"])


def test_seed_counts():
    assert not torch.equal(dataset(seed=1)[DRAWS[0]]["image"], dataset(seed=2)[DRAWS[0]]["image"])


def test_the_kept_cases_are_left_as_they_are():
    """Also their record of applied transforms, which would grow with every draw."""
    data = dataset()
    for _ in range(20):
        for draw in DRAWS:
            data[draw]
    for case, kept in zip(entries(), data.cases, strict=True):
        assert torch.equal(case["image"], kept["image"])
        assert kept["image"].applied_operations == []
        assert case.keys() == kept.keys()


@pytest.mark.parametrize("threads", [1, 3])
def test_preprocessing_runs_once_per_case_and_keeps_the_order(threads):
    seen = []

    def preprocessing(entry):
        seen.append(entry["case_id"])
        return entry

    data = DrawnDataset(entries(), preprocessing, augmentation(), 0, threads=threads)
    for draw in DRAWS:
        data[draw]
    assert sorted(seen) == [f"case{index}" for index in range(5)]
    assert [case["case_id"] for case in data.cases] == [f"case{index}" for index in range(5)]
    assert len(data) == 5


def loaded(workers, ratio=(2, 2)):
    batches = DataLoader(
        dataset(seed=3),
        batch_sampler=TwoStreamBatchSampler(LABELED, UNLABELED, *ratio, iterations=6, seed=3),
        num_workers=workers,
        collate_fn=collate_two_streams,
        worker_init_fn=leave_signals_to_parent,
    )
    return list(batches)


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes")  # on a machine with one core
@pytest.mark.parametrize("ratio", [(2, 2), (1, 3)])
def test_the_number_of_workers_does_not_matter(ratio):
    for alone, shared in zip(loaded(0, ratio), loaded(2, ratio), strict=True):
        assert alone["case_id"] == shared["case_id"]
        assert torch.equal(alone["image"], shared["image"])
        assert torch.equal(alone["label"], shared["label"])


def test_batches():
    for batch in loaded(0):
        assert set(batch) == {"image", "label", "case_id"}
        assert batch["image"].shape == (4, 1, 6, 6)
        assert batch["label"].shape == (2, 1, 6, 6)
        assert type(batch["image"]) is torch.Tensor
        assert batch["case_id"][0] in {"case0", "case1", "case2"}
        assert batch["case_id"][3] in {"case3", "case4"}


def sample(index, **parts):
    return {"image": np.full((1, 2, 2), index, np.float32), "case_id": str(index), **parts}


def test_collate_by_hand():
    target = {"label": MetaTensor(torch.ones(1, 2, 2)), "sdf": torch.zeros(2, 2, 2)}
    batch = collate_two_streams([sample(7, **target), sample(8), sample(9)])
    assert batch["image"][:, 0, 0, 0].tolist() == [7.0, 8.0, 9.0]
    assert batch["label"].shape == (1, 1, 2, 2)
    assert batch["sdf"].shape == (1, 2, 2, 2)
    assert batch["case_id"] == ["7", "8", "9"]
    assert type(batch["label"]) is torch.Tensor


def test_a_sample_without_a_field_of_view_counts_everywhere():
    distance = torch.full((1, 2, 2), 3.0)
    batch = collate_two_streams([sample(7, fov=MetaTensor(torch.zeros(1, 2, 2)), distance=distance), sample(8)])
    assert batch["fov"][:, 0, 0, 0].tolist() == [0.0, 1.0]
    assert batch["fov"].shape == (2, 1, 2, 2)
    assert batch["distance"].shape == (1, 1, 2, 2)


def test_collate_keeps_the_plain_images():
    batch = collate_two_streams(
        [sample(index, plain=MetaTensor(torch.full((1, 2, 2), 10.0 * index))) for index in (1, 2)]
    )
    assert batch["plain"][:, 0, 0, 0].tolist() == [10.0, 20.0]
    assert type(batch["plain"]) is torch.Tensor


def test_collate_without_labels():
    assert set(collate_two_streams([sample(1)])) == {"image", "case_id"}


def failing(fault):
    def fail(_):
        raise fault

    return fail


FAULTS = [
    (failing(OSError("no such file")), "scan.nii.gz: cannot be preprocessed: .*no such file"),
    (failing(MemoryError("too large")), "scan.nii.gz: cannot be preprocessed: .*too large"),
    (Compose([Lambdad("image", func=failing(ValueError("odd shape")))]), "scan.nii.gz: cannot be preprocessed: odd"),
]


@pytest.mark.parametrize(("preprocessing", "message"), FAULTS)
def test_a_case_that_cannot_be_preprocessed_is_named(preprocessing, message):
    with pytest.raises(InputError, match=message):
        DrawnDataset([{"image": "scan.nii.gz", "case_id": "a"}], preprocessing, augmentation(), 0)


@pytest.mark.parametrize("fault", [InputError("a", "is odd"), InputErrors([InputError("a", "is odd")])])
def test_a_refusal_keeps_its_own_words(fault):
    with pytest.raises(InputError, match=re.escape("a: is odd")) as caught:
        DrawnDataset([{"image": "scan.nii.gz"}], failing(fault), augmentation(), 0)
    assert caught.value is fault


def test_workers_leave_signals_to_the_parent():
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        leave_signals_to_parent(0)
        assert signal.getsignal(signal.SIGINT) == signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)

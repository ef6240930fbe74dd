"""Slices of volumes as samples: which voxels, what is known of them, and what a draw depends on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, LoadImaged, Orientationd, RandGaussianNoised, Resized
from torch.utils.data import DataLoader

from pipelines.data.slice_sampler import SliceBatchSampler
from pipelines.data.slices import PackedVolume, SliceDataset, collate_slices
from pipelines.data.two_stream_sampler import Draw
from transforms.io.input_error import InputError

RNG = np.random.default_rng(0)
IMAGES = {name: RNG.integers(0, 256, (1, 6, 5, depth)).astype(np.float32) for name, depth in (("a", 4), ("b", 3))}
LABELS = {name: np.zeros(image.shape, np.float32) for name, image in IMAGES.items()}
LABELS["a"][0, 2, 2, 1:] = 1
LABELS["b"][0, 3, 3, 2] = 2
DATA = [{"image": name, "label": name, "case_id": name} for name in IMAGES]
NAMES = {1: "REA", 2: "SRF"}
READS: list[str] = []


def load(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What MONAI's transforms would make of a case, with the intensities standardised."""
    READS.append(entry["case_id"])
    case = {**entry, "image": MetaTensor((torch.from_numpy(IMAGES[entry["image"]]) - 37.0) / 25.0)}
    if "label" in entry:
        case["label"] = MetaTensor(torch.from_numpy(LABELS[entry["label"]]))
    return case


def slices_of(data: list[dict[str, Any]] = DATA, **options: Any) -> SliceDataset:
    settings = {"augmentation": Compose([]), "seed": 0, "num_classes": 2, "class_names": NAMES, **options}
    return SliceDataset(data, load, **settings)


def test_every_slice_of_every_volume_within_its_volume() -> None:
    dataset = slices_of(neighbours=2)
    assert len(dataset) == 7
    item = 0
    for name, image in IMAGES.items():
        padded = np.pad((image[0] - np.float32(37)) / np.float32(25), [(0, 0), (0, 0), (2, 2)], "edge")
        for index in range(image.shape[-1]):
            sample = dataset[Draw(item, 0, item)]
            np.testing.assert_array_equal(sample["image"], padded[..., index : index + 5].transpose(2, 0, 1))
            np.testing.assert_array_equal(sample["label"], LABELS[name][..., index])
            assert (sample["case_id"], sample["slice_index"]) == (name, index)
            item += 1


def test_presence_of_every_slice() -> None:
    dataset = slices_of()
    assert dataset.presence.tolist() == [[0, 0], [1, 0], [1, 0], [1, 0], [0, 0], [0, 0], [0, 1]]
    assert dataset[Draw(6, 0, 0)]["presence"].tolist() == [0, 1]


def test_other_axes_and_flat_images() -> None:
    assert len(slices_of(slice_axis=0)) == 12
    flat = {"image": "flat", "label": "flat", "case_id": "flat"}
    IMAGES["flat"], LABELS["flat"] = IMAGES["a"][..., 1], LABELS["a"][..., 1]
    try:
        dataset = slices_of([flat, DATA[0]])
        assert dataset.presence[:2].tolist() == [[1, 0], [0, 0]]
        sample = dataset[Draw(0, 0, 0)]
        np.testing.assert_array_equal(sample["image"][0], sample["image"][2])
        assert sample["image"].shape == (3, 6, 5)
    finally:
        del IMAGES["flat"], LABELS["flat"]


def test_a_byte_per_voxel_where_that_is_exact() -> None:
    few = torch.from_numpy(IMAGES["a"]) / 7 - 3
    packed = PackedVolume.of(few)
    assert packed.voxels.dtype == torch.uint8
    assert packed.nbytes == few.numel()
    assert torch.equal(packed.values_of(packed.voxels), few)
    many = torch.linspace(0, 1, 300).reshape(1, 10, 30)
    assert PackedVolume.of(many).table is None
    assert torch.equal(PackedVolume.of(many).voxels, many)
    hidden = torch.zeros(1, 300000, 1)  # the sample of values does not show all of them
    hidden[0, 1:400, 0] = torch.arange(1.0, 400)
    packed = PackedVolume.of(hidden)
    assert torch.equal(packed.values_of(packed.voxels), hidden)
    eight = torch.arange(12, dtype=torch.uint8).reshape(1, 3, 4)
    assert PackedVolume.of(eight).values_of(eight[:, :1]).dtype == torch.uint8


def test_beyond_the_memory_limit_volumes_are_read_again() -> None:
    READS.clear()
    enough, little = slices_of(), slices_of(memory_limit_gb=1.5 * 2 * 6 * 5 * 4 / 2**30)
    assert sorted(READS) == ["a", "a", "b", "b"]
    READS.clear()
    for item in range(7):
        for one, two in zip(enough[Draw(item, 0, 0)].items(), little[Draw(item, 0, 0)].items(), strict=True):
            assert one[0] == two[0]
            assert np.array_equal(one[1], two[1])
    assert READS == ["b", "b", "b"]


def test_a_case_without_a_mask_teaches_detection_alone() -> None:
    told = [{"image": "b", "case_id": "b", "presence": ["SRF"]}]
    dataset = slices_of([DATA[0], *told, {"image": "a", "case_id": "none"}])
    assert len(dataset) == 7
    assert dataset.presence[4:].tolist() == [[0, -1]] * 3
    sample = dataset[Draw(5, 0, 0)]
    assert sample["presence"].tolist() == [0, -1]
    assert sample["label"].shape == (1, 6, 5)
    assert torch.all(sample["label"] == 255)
    listed = slices_of([{**told[0], "presence": {"slices": [[], ["REA"], []]}}])
    assert listed.presence.tolist() == [[0, 0], [1, 0], [0, 0]]


@pytest.mark.parametrize(("codes", "expected"), [("PLS", [[0, 0], [1, 0], [0, 1]]), ("PLI", [[0, 1], [1, 0], [0, 0]])])
def test_what_a_list_says_of_slices_is_turned_with_them(codes: str, expected: list[list[int]]) -> None:
    def turned(entry: Mapping[str, Any]) -> dict[str, Any]:
        case = load(entry)
        case["image"].affine = np.eye(4)
        case["image"].meta["original_affine"] = np.eye(4)
        return dict(Orientationd("image", axcodes=codes, labels=(("L", "R"), ("P", "A"), ("I", "S")))(case))

    told = [{"image": "b", "case_id": "b", "presence": {"slices": [[], ["REA"], ["SRF"]]}}]
    options = {"augmentation": Compose([]), "seed": 0, "num_classes": 2, "class_names": NAMES}
    assert SliceDataset(told, turned, **options).presence.tolist() == expected
    with pytest.raises(InputError, match="b: has its slices along axis 1, but those of others lie along axis 0"):
        SliceDataset(told, turned, slice_axis=0, **options)


@pytest.mark.parametrize(("codes", "expected"), [("RAS", [[0], [1], [0], [0]]), ("RAI", [[0], [0], [1], [0]])])
def test_a_lesion_that_smaller_slices_lose_is_still_there(tmp_path, codes: str, expected: list[list[int]]) -> None:
    """One pixel in the second of four slices, of which a quarter of the pixels are left."""
    label = np.zeros((8, 8, 4), np.uint8)
    label[3, 2, 1] = 1
    for name, array in (("image", RNG.integers(0, 255, label.shape).astype(np.uint8)), ("label", label)):
        nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / f"{name}.nii.gz")
    keys = ["image", "label"]
    steps = [
        LoadImaged(keys, ensure_channel_first=True),
        Orientationd(keys, axcodes=codes, labels=(("L", "R"), ("P", "A"), ("I", "S"))),
        Resized(keys, (4, 4, -1), mode=["trilinear", "nearest-exact"]),
    ]
    told = {"slices": [[], ["REA"], [], []]}
    entry = {**{key: str(tmp_path / f"{key}.nii.gz") for key in keys}, "case_id": "a", "presence": told}
    dataset = SliceDataset(
        [entry], Compose(steps), Compose([]), seed=0, num_classes=1, neighbours=0, class_names={1: "REA"}
    )
    assert not any(dataset[Draw(item, 0, 0)]["label"].any() for item in range(4))
    assert dataset.presence.tolist() == expected


def test_batches_and_workers() -> None:
    """The same batches from any number of workers, and after an interruption."""
    dataset = slices_of(augmentation=Compose([RandGaussianNoised("image", prob=0.5)]), seed=4)

    def batches(workers: int, start: int = 0) -> list[dict[str, Any]]:
        sampler = SliceBatchSampler(dataset.presence, 3, 4, seed=1, balance=0.5)
        sampler.start_iteration = start
        loader = DataLoader(dataset, batch_sampler=sampler, num_workers=workers, collate_fn=collate_slices)
        return list(loader)

    here, there, later = batches(0), batches(1), batches(0, start=2)
    assert len(here) == len(there) == 4
    for one, two in [*zip(here, there, strict=True), *zip(here[2:], later, strict=True)]:
        assert torch.equal(one["image"], two["image"])
        assert one["case_id"] == two["case_id"]
    batch = here[0]
    assert (batch["image"].shape, batch["label"].shape) == ((3, 3, 6, 5), (3, 1, 6, 5))
    assert (batch["presence"].shape, batch["presence"].dtype) == ((3, 2), torch.float32)
    assert (len(batch["case_id"]), batch["slice_index"].shape) == (3, (3,))
    assert all(type(value) is torch.Tensor for key, value in batch.items() if key != "case_id")
    other = slices_of(augmentation=Compose([RandGaussianNoised("image", prob=1.0)]), seed=4)
    assert not torch.equal(other[Draw(0, 0, 1)]["image"], other[Draw(0, 0, 2)]["image"])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"presence": ["SRF"]}, 'a: its "presence" says that there is no REA, but its label holds some'),
        ({"presence": {"slices": [["REA"], [], ["REA"], ["REA"]]}}, "disagree on REA in slices 0, 1"),
        ({"presence": ["drusen"]}, "names 'drusen'"),
        ({"presence": {"slices": [[]]}}, "tells of 1 slices, but the image has 4"),
        ({"label": "b"}, "has a label of"),
    ],
)
def test_refused_cases(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        slices_of([{**DATA[0], **entry}])


def test_refused_labels_and_empty_cohorts() -> None:
    with pytest.raises(InputError, match="the value 2; 0 to 1 are known"):
        slices_of([DATA[1]], num_classes=1, class_names={1: "REA"})
    with pytest.raises(InputError, match="training: has no case"):
        slices_of([{"image": "a", "case_id": "a"}])

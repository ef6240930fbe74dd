"""Noisy labels in memory: each prepared once, some spoilt on purpose, all compared with the expert's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Compose

from pipelines.data.data_parameters_table import ParameterRow
from pipelines.data.drawn_dataset import DrawnDataset
from pipelines.data.rater_cohort import RaterCohort
from pipelines.data.raters import EXPERT
from pipelines.keys import Keys
from transforms.rand_label_noise import RandLabelNoise, draw_disturbed


class RaterDataset(DrawnDataset):
    """Give samples of noisy labels, each with its ``instance_index``.

    The expert's label is looked at once, to tell each noisy label's true Dice, and is in no sample. Instances of one
    image share its memory. What is disturbed is a function of the seed and the instance alone, so that a resumed or
    filtered training meets the same labels.

    Args:
        data: an entry per instance, as ``cohort.training`` has them.
        cohort: the instances to learn from.
        preprocessing: deterministic transforms of ``image``, ``label`` and ``expert``.
        augmentation: random transforms of a preprocessed instance.
        seed: the user's seed.
        num_classes: foreground classes.
        disturbed_share: share of all labels to spoil, 0 to 1; an empty one that is drawn stays as it is.
        disturbance: the kind, see :class:`transforms.RandLabelNoise`.
        disturbance_strength: see there.
        threads: how many cases to preprocess at a time.

    Raises:
        InputError: when a case cannot be preprocessed; it names the case's image.
        ValueError: when the disturbance makes no sense.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        cohort: RaterCohort,
        preprocessing: Callable[[Mapping[str, Any]], dict[str, Any]],
        augmentation: Compose,
        seed: int,
        num_classes: int,
        disturbed_share: float = 0.0,
        disturbance: str = "affine",
        disturbance_strength: float = 1.0,
        threads: int = 2,
    ) -> None:
        noise = RandLabelNoise(disturbance, disturbance_strength, seed)
        draw_disturbed((), disturbed_share, seed)  # refuses a share that makes no sense before anything is read
        super().__init__(data, _SharedImages(preprocessing), augmentation, seed, threads)
        self.instances = cohort.kept
        self.num_classes = num_classes
        # Which ones are spoilt must not depend on what a filter has left.
        filled = {
            instance.index
            for instance, case in zip(self.instances, self.cases, strict=True)
            if case[Keys.LABEL.value].any()
        }
        chosen = draw_disturbed([instance.index for instance in cohort.instances], disturbed_share, seed)
        self.disturbed = [
            disturbed_share > 0 and each.index in chosen and each.index in filled for each in self.instances
        ]
        self.true_dice: list[float | None] = []
        self.counts = np.zeros((len(self.cases), num_classes + 1), np.int64)
        for number, (case, spoil) in enumerate(zip(self.cases, self.disturbed, strict=True)):
            self._settle(number, case, noise if spoil else None)

    @property
    def class_counts(self) -> list[int]:
        """Voxels of each class in all noisy labels, the background's first."""
        return [int(count) for count in self.counts.sum(0)]

    def rows(self, parameters: Mapping[int, float] | None) -> list[ParameterRow]:
        """Give the rows of ``data_parameters.csv``.

        Args:
            parameters: by instance index; None when there are none.
        """
        return [
            ParameterRow(
                case_id=each.case.case_id,
                rater=each.rater,
                atlas=each.atlas,
                instance_index=each.index,
                parameter=None if parameters is None else parameters[each.index],
                foreground_voxels=int(counts[1:].sum()),
                true_dice=dice,
                disturbed=spoilt,
            )
            for each, counts, dice, spoilt in zip(
                self.instances, self.counts, self.true_dice, self.disturbed, strict=True
            )
        ]

    def _settle(self, number: int, case: dict[str, Any], noise: RandLabelNoise | None) -> None:
        """Spoil the label of one instance if it is to be, compare it with the expert's, and forget that one."""
        if noise is not None:
            case[Keys.LABEL.value] = noise(case[Keys.LABEL.value], case[Keys.INSTANCE_INDEX.value])
        label = np.asarray(case[Keys.LABEL.value])
        expert = case.pop(EXPERT, None)
        self.true_dice.append(None if expert is None else mean_dice(label, np.asarray(expert), self.num_classes))
        self.counts[number] = np.bincount(label.astype(np.int64).ravel(), minlength=self.num_classes + 1)


class _SharedImages:
    """Preprocessing that keeps one copy of an image that several instances have, and labels as bytes."""

    def __init__(self, preprocessing: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
        self.preprocessing = preprocessing
        self.images: dict[str, torch.Tensor] = {}
        self.lock = threading.Lock()

    def __call__(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        case = self.preprocessing(entry)
        image = case[Keys.IMAGE.value]
        with self.lock:
            known = self.images.setdefault(str(entry[Keys.IMAGE.value]), image)
        # Cropping by the label could have made them differ.
        if known.shape == image.shape and torch.equal(known, image):
            case[Keys.IMAGE.value] = known
        for key in (Keys.LABEL.value, EXPERT):
            if key in case:
                case[key] = case[key].to(torch.uint8)
        return case


def mean_dice(label: np.ndarray, expert: np.ndarray, num_classes: int) -> float:
    """Give the Dice of two label maps of one shape, mean over the foreground classes that either of them holds; 1 when
    both are empty.
    """
    scores = []
    for value in range(1, num_classes + 1):
        ours, theirs = label == value, expert == value
        total = int(ours.sum()) + int(theirs.sum())
        if total:
            scores.append(2 * int((ours & theirs).sum()) / total)
    return float(np.mean(scores)) if scores else 1.0


def collate_instances(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Stack samples.

    Returns:
        ``image`` (B, C, ...), ``label`` (B, 1, ...), ``instance_index`` (B,) int64, ``case_id``; plain tensors, since
        the geometry of a patch is of no use to the loss.
    """
    batch: dict[str, Any] = {
        key: torch.stack([_plain(sample[key]) for sample in samples]) for key in (Keys.IMAGE.value, Keys.LABEL.value)
    }
    batch[Keys.INSTANCE_INDEX.value] = torch.tensor([int(sample[Keys.INSTANCE_INDEX.value]) for sample in samples])
    batch[Keys.CASE_ID.value] = [sample[Keys.CASE_ID.value] for sample in samples]
    return batch


def _plain(value: Any) -> torch.Tensor:
    return value.as_tensor() if isinstance(value, MetaTensor) else torch.as_tensor(value)

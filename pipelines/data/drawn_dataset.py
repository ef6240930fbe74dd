"""Cases that are preprocessed once and augmented anew, reproducibly, at every draw."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Compose
from torch.utils.data import Dataset

from pipelines.console import progress
from pipelines.data.seeds import derive_seed
from pipelines.data.two_stream_sampler import Draw
from pipelines.keys import Keys
from transforms.io.input_error import InputError

AUGMENTATION_STREAM = 2
# What of a sample goes into a batch where the sample has it.
STACKED = tuple(key.value for key in (Keys.IMAGE, Keys.PLAIN, Keys.LABEL, Keys.SDF, Keys.DISTANCE))


class DrawnDataset(Dataset):
    """Give the sample of a :class:`pipelines.data.two_stream_sampler.Draw`.

    All cases are preprocessed when the object is made and stay in memory. Before each draw every random transform is
    seeded from (seed, stream, position), so that a sample depends neither on the worker that makes it nor on what was
    drawn before.

    Args:
        data: case entries, labelled ones first.
        preprocessing: deterministic transforms of a case.
        augmentation: random transforms of a preprocessed case; they give one sample.
        seed: the user's seed.
        threads: how many cases to preprocess at a time.

    Raises:
        InputError: when a case cannot be preprocessed; it names the case's image.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        preprocessing: Callable[[Mapping[str, Any]], dict[str, Any]],
        augmentation: Compose,
        seed: int,
        threads: int = 2,
    ) -> None:
        self.data = data
        self.augmentation = augmentation
        self.seed = seed
        # One case after the other when there is but one thread: MONAI's lazily set random states are no matter here.
        with ThreadPoolExecutor(max_workers=threads) as pool:
            prepared = pool.map(lambda entry: prepare_case(entry, preprocessing), data)
            self.cases = list(progress(prepared, "loading cases", total=len(data)))

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        self.augmentation.set_random_state(derive_seed(self.seed, AUGMENTATION_STREAM, draw.stream, draw.position))
        case = {key: _own_metadata(value) for key, value in self.cases[draw.case].items()}
        sample: dict[str, Any] = self.augmentation(case)
        return sample


def collate_two_streams(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Stack the images of all samples, and the labels, distance maps and fields of view of those that have them.

    Returns:
        ``image`` (B, C, ...), and ``plain`` likewise where the augmentation keeps it; ``label`` (L, 1, ...) and
        ``sdf`` and ``distance`` (L, K, ...) of the L labelled samples, which come first; ``fov`` (B, 1, ...) when any
        sample has one, all of it for those that have none; plain tensors, since the geometry of a patch is of no use
        to the loss.
    """
    batch: dict[str, Any] = {}
    for key in STACKED:
        parts = [_plain(sample[key]) for sample in samples if key in sample]
        if parts:
            batch[key] = torch.stack(parts)
    if any(Keys.FOV.value in sample for sample in samples):
        batch[Keys.FOV.value] = torch.stack([_field_of_view(sample) for sample in samples])
    batch[Keys.CASE_ID.value] = [sample[Keys.CASE_ID.value] for sample in samples]
    return batch


def leave_signals_to_parent(worker: int) -> None:
    """Make a data-loading process deaf to SIGINT and SIGTERM, which a terminal or a scheduler sends to all at once.

    The training process hears them too; it finishes its iteration, for which it needs its workers, and ends them.

    Args:
        worker: number of the process.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _own_metadata(value: Any) -> Any:
    """Keep MONAI's transforms from adding to the record of a kept case, which would grow with every draw; no pixel is
    copied.
    """
    return MetaTensor(value.as_tensor()).copy_meta_from(value) if isinstance(value, MetaTensor) else value


def _field_of_view(sample: Mapping[str, Any]) -> torch.Tensor:
    if Keys.FOV.value in sample:
        return _plain(sample[Keys.FOV.value])
    return torch.ones_like(_plain(sample[Keys.IMAGE.value])[:1])


def _plain(value: Any) -> torch.Tensor:
    return value.as_tensor() if isinstance(value, MetaTensor) else torch.as_tensor(value)


def prepare_case(
    entry: Mapping[str, Any], preprocessing: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """Preprocess one case.

    Raises:
        InputError: when it cannot be done; it names the case's image.
    """
    try:
        return preprocessing(dict(entry))
    except InputError:
        raise
    except (RuntimeError, ValueError, OSError, MemoryError) as fault:
        cause = fault.__cause__ or fault
        raise InputError(str(entry[Keys.IMAGE.value]), f"cannot be preprocessed: {cause}") from fault

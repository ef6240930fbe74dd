"""From an image file to a label map on the image's own grid."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers import Inferer, SimpleInferer
from monai.transforms import Compose, Invertd
from monai.utils import MetaKeys
from torch import nn

from pipelines.console import say
from pipelines.keys import Keys
from pipelines.prediction.decision import Decision
from pipelines.prediction.detecting_network import DetectingNetwork
from pipelines.prediction.intensity_check import IntensityCheck, has_fixed_scale
from pipelines.prediction.slabs import SLAB_SLICES, SharedImages, Slab, SlabSegmenter, cut, image_of
from pipelines.prediction.slice_steps import SliceSteps, slab_ranges, split_steps
from transforms.axis_turn import AxisTurn
from transforms.io.input_error import InputError


class Predictor(SlabSegmenter):
    """Preprocess, infer window by window, and bring the result back to the grid of the input.

    A network that looks at slices and their neighbours (:class:`networks.nets.SlicePredictor`) is given slabs of
    slices, where the preprocessing leaves slices alone (:func:`pipelines.prediction.slice_steps.split_steps`): the same
    comes of it, and memory does not grow with their number.

    Args:
        network: gives (B, K + 1, ...) class probabilities, background first. Where it has ``detect``, predictions tell
            what is present, in the same pass.
        preprocessing: of a case's image.
        inferer: sliding window.
        postprocessing: from probabilities to a label map on the original grid: first MONAI's ``Invertd``, which brings
            them back to that grid, then what decides and cleans.
        device: where to compute.
        level_set: gives (B, K, ...) level sets of the same images; None when the network has none to show.
        tells_uncertainty: whether predictions come with their entropy.
        slab_slices: how many slices are looked at and decided on at a time.

    Raises:
        ValueError: when ``postprocessing`` does not begin with ``Invertd``, or what is present would be told window by
            window.
    """

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Compose,
        inferer: Inferer,
        postprocessing: Compose,
        device: torch.device,
        level_set: Callable[[torch.Tensor], torch.Tensor] | None = None,
        tells_uncertainty: bool = False,
        slab_slices: int = SLAB_SLICES,
    ) -> None:
        self._restore, *deciding = postprocessing.transforms
        if not isinstance(self._restore, Invertd):
            raise ValueError(
                "postprocessing must begin with Invertd, which brings the result back to the image's grid."
            )
        known = DetectingNetwork.of(network)
        super().__init__(
            Decision(deciding),
            None if known is None else known.slice_axis,
            known is None or known.gives_mask,
            known is not None and known.tells_presence,
            tells_uncertainty,
        )
        self.looks_at_slices = known is not None
        at_once = type(inferer) is SimpleInferer
        if self.tells_presence and not at_once:
            raise ValueError("A network that tells what an image holds takes whole images: its inferer must be simple.")
        self.network = network.to(device).eval()
        self.preprocessing = preprocessing
        self.inferer = inferer
        self.device = device
        self.level_set = level_set
        self.slab_slices = slab_slices
        self._has_fixed_scale = has_fixed_scale(preprocessing.transforms)
        self._neighbours = 0 if known is None else known.neighbours
        self._steps = None
        if self.slice_axis is not None and at_once:
            self._steps = split_steps(preprocessing, self.slice_axis)
        self._restore_slab = copy(self._restore)
        if self._steps is not None:
            self._restore_slab.transform = self._steps.rest

    @property
    def by_slabs(self) -> bool:
        """Whether a volume is looked at slab by slab."""
        return self._steps is not None

    def slabs(
        self, entry: Mapping[str, Any], slice_axis: int | None = None, images: SharedImages | None = None
    ) -> Iterator[Slab]:
        """Give what is found in one case, slab by slab in their order.

        Args:
            entry: a case entry; its label, if any, is not looked at.
            slice_axis: cut what is found in a whole volume along this axis too, as others come.
            images: takes part in keeping what has been read of the file.

        Raises:
            InputError: when the image cannot be read or preprocessed; it names the image.
        """
        axis = self.slice_axis
        if self._steps is not None and axis is not None:
            yield from self._each_slab(entry, axis, self._steps, images or SharedImages())
            return
        whole = self._whole(entry)
        axis = axis if slice_axis is None else slice_axis
        yield from [whole] if axis is None else cut(whole, axis, self.slab_slices)

    @torch.inference_mode()
    def predict_level_set(self, entry: Mapping[str, Any]) -> np.ndarray | None:
        """Give the level sets (K, H, W[, D]) of one case on its own grid; None when the network has none."""
        if self.level_set is None:
            return None
        data = _guarded(self.preprocessing, {Keys.IMAGE.value: entry[Keys.IMAGE.value]}, entry)
        level_set: np.ndarray = self._back(data, self._infer(data, self.level_set)).cpu().numpy()
        return level_set

    @torch.inference_mode()
    def _whole(self, entry: Mapping[str, Any]) -> Slab:
        data = _guarded(self.preprocessing, {Keys.IMAGE.value: entry[Keys.IMAGE.value]}, entry)
        check = IntensityCheck()
        self._look_at(data, check)
        _tell_of(check, entry)
        probabilities, presence = self._found(data)
        if self.slice_axis is not None:
            self._turn(data[Keys.IMAGE.value], entry, self.slice_axis)
            if presence is not None:
                presence = self._in_slices_of_the_file(presence, data, self.slice_axis)
        return Slab(None if probabilities is None else self._back(data, probabilities), presence)

    @torch.inference_mode()
    def _each_slab(
        self, entry: Mapping[str, Any], axis: int, steps: SliceSteps, images: SharedImages
    ) -> Iterator[Slab]:
        """Look at runs of slices. No slab is held here while the next is looked at."""
        beside = _guarded(steps.reading, {Keys.IMAGE.value: entry[Keys.IMAGE.value]}, entry)
        read = beside.pop(Keys.IMAGE.value)
        turn = self._turn(read, entry, axis)
        image, meta = images.keep(steps.kept(read.as_tensor())), read.meta
        del read
        count = image.shape[axis + 1]
        check = IntensityCheck()

        def prepared(low: int, high: int) -> dict[str, Any]:
            part = MetaTensor(image.narrow(axis + 1, low, high - low).to(steps.dtype, copy=True), meta=meta)
            data = _guarded(steps.rest, {**beside, Keys.IMAGE.value: part}, entry)
            self._look_at(data, check)
            return data

        for first, last in slab_ranges(count, self.slab_slices):
            start, stop = (count - last, count - first) if turn.is_reversed[axis] else (first, last)
            low, high = max(0, start - self._neighbours), min(count, stop + self._neighbours)
            yield self._slab(prepared(low, high), turn, axis, start - low, stop - low)
        _tell_of(check, entry)

    def _slab(self, data: dict[str, Any], turn: AxisTurn, axis: int, start: int, stop: int) -> Slab:
        """Look at a run of slices with their neighbours on either side, and cut those off what is found."""
        probabilities, presence = self._found(data)
        if probabilities is not None:
            back = self._back(data, probabilities, self._restore_slab).as_tensor()
            probabilities = turn.undo(back.narrow(axis + 1, start, stop - start))
        if presence is not None:
            presence = presence[:, start:stop]
            presence = presence.flip(1) if turn.is_reversed[axis] else presence
        return Slab(probabilities, presence)

    def _look_at(self, data: Mapping[str, Any], check: IntensityCheck) -> None:
        if self._has_fixed_scale:
            check.add(data[Keys.IMAGE.value].as_tensor())

    def _found(self, data: Mapping[str, Any]) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Give the probabilities (K + 1, ...) on the grid of the network, and the presence (P, D) or (P,), in one
        pass.
        """
        if not self.tells_presence:
            return self._infer(data, self.network), None
        network: Any = self.network
        image = data[Keys.IMAGE.value]
        batch = image.as_tensor()[None].to(self.device)
        if not self.gives_mask:
            return None, network.presence(batch)[0].float().cpu()
        probabilities, presence = network.detect(batch)
        return MetaTensor(probabilities[0].float().cpu(), meta=image.meta), presence[0].float().cpu()

    def _infer(self, data: Mapping[str, Any], network: Callable[[torch.Tensor], torch.Tensor]) -> MetaTensor:
        image = data[Keys.IMAGE.value]
        output = self.inferer(image.as_tensor()[None].to(self.device), network)
        if not isinstance(output, torch.Tensor):
            raise TypeError(f"The network must give one tensor, got {type(output).__name__}.")
        # Invertd undoes the transforms of a MetaTensor only.
        return MetaTensor(output[0].float().cpu(), meta=image.meta)

    def _back(self, data: Mapping[str, Any], found: torch.Tensor, restore: Invertd | None = None) -> Any:
        """Bring (C, ...) on the grid of the network to the grid of the file."""
        with warnings.catch_warnings():
            # Said of preprocessing that never leaves the grid.
            warnings.filterwarnings("ignore", message=".*no invertible transforms")
            restoring: Any = restore or self._restore
            return restoring({**data, Keys.PRED.value: found})[Keys.PRED.value]

    @staticmethod
    def _turn(image: MetaTensor, entry: Mapping[str, Any], axis: int) -> AxisTurn:
        """Say how a volume has been turned since it was read.

        Raises:
            InputError: when its slices lay along another axis in the file.
        """
        turn = AxisTurn.between(image.meta[MetaKeys.ORIGINAL_AFFINE], image.affine)
        if turn.axes[axis] != axis:
            reason = f"has its slices along axis {turn.axes.index(axis)}, but the network looks along axis {axis}"
            raise InputError(image_of(entry), reason)
        return turn

    def _in_slices_of_the_file(self, presence: torch.Tensor, data: Mapping[str, Any], axis: int) -> torch.Tensor:
        """Give each slice of the file the presence of the nearest slice that the network has seen."""
        image = data[Keys.IMAGE.value]
        if not image.applied_operations:
            return presence
        shape = image.shape[1:]
        numbers = torch.arange(1, shape[axis] + 1, dtype=torch.float32).reshape(
            [-1 if d == axis else 1 for d in range(3)]
        )
        back = self._back(data, MetaTensor(numbers.expand(1, *shape).clone(), meta=image.meta))[0]
        for other in (2, 1, 0):
            if other != axis:
                back = back.select(other, back.shape[other] // 2)
        nearest = back.as_tensor().round().long().clamp(1, shape[axis]) - 1
        return presence[:, nearest]


def _tell_of(check: IntensityCheck, entry: Mapping[str, Any]) -> None:
    if (told := check.warning()) is not None:
        say(f"warning: {image_of(entry)}: {told}")


def _guarded(steps: Compose, data: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """Take preprocessing steps; whatever they cannot do is told of the image."""
    try:
        return dict(steps(dict(data)))
    except InputError:
        raise
    except (RuntimeError, ValueError, OSError, MemoryError) as fault:
        refusal = fault.__cause__ if isinstance(fault.__cause__, InputError) else None
        raise refusal or InputError(image_of(entry), f"cannot be preprocessed: {fault.__cause__ or fault}") from fault

"""Several networks as one: the weighted mean of what they say, on the grid of the image."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.prediction.loading import InferenceSettings, ModelFacts, load_member, refuse_other_hashes
from pipelines.prediction.predictor import Predictor
from pipelines.prediction.slabs import SharedImages, Slab, SlabSegmenter
from transforms.io.input_error import InputError


class Ensemble(SlabSegmenter):
    """Weighted mean of what several predictors say, which may differ in spacing, window and preprocessing.

    The mean of the class probabilities is taken on the grid of the image file, and the postprocessing of the first
    predictor that gives a mask decides on it. Presence has a mean of its own, over the predictors that tell it.

    Where one predictor goes through a volume slab by slab, so does the mean; what others find in the whole volume is
    kept until then.

    Args:
        predictors: at least one; all of the same classes.
        weights: a positive number for each; None for equal ones. Only their ratios count.

    Raises:
        ValueError: when there is none, weights are not positive numbers or not one for each, or predictors that go by
            slices do so along different axes or in other slabs.
    """

    def __init__(self, predictors: Sequence[Predictor], weights: Sequence[float] | None = None) -> None:
        if not predictors:
            raise ValueError("An ensemble needs at least one predictor.")
        self.predictors = tuple(predictors)
        self.weights = normalised(weights if weights is not None else [1.0] * len(predictors))
        if len(self.weights) != len(self.predictors):
            raise ValueError(f"{len(self.predictors)} predictors need as many weights, got {len(self.weights)}.")
        axes = {predictor.slice_axis for predictor in predictors} - {None}
        if len(axes) > 1:
            raise ValueError("The predictors look at slices along different axes.")
        if len({predictor.slab_slices for predictor in predictors}) > 1:
            raise ValueError("The predictors look at slabs of different thickness.")
        masks = [predictor for predictor in predictors if predictor.gives_mask]
        super().__init__(
            (masks or self.predictors)[0].decision,
            next(iter(axes), None),
            bool(masks),
            any(predictor.tells_presence for predictor in predictors),
            any(predictor.tells_uncertainty for predictor in predictors),
        )
        self.looks_at_slices = any(predictor.looks_at_slices for predictor in predictors)

    def slabs(self, entry: Mapping[str, Any]) -> Iterator[Slab]:
        """Give the mean of what is found in one case; see :class:`pipelines.prediction.slabs.SlabSegmenter`."""
        images = SharedImages()
        streams = [predictor.slabs(entry, self.slice_axis, images) for predictor in self.predictors]
        while (mean := self._next_mean(streams)) is not None:
            yield mean
            del mean

    def predict_level_set(self, entry: Mapping[str, Any]) -> np.ndarray | None:
        """Give None: level sets of several networks, each in a unit of its own, have no mean worth showing."""
        return None

    @torch.inference_mode()
    def _next_mean(self, streams: Sequence[Iterator[Slab]]) -> Slab | None:
        """Give the weighted mean of the next slab of every stream; None at their end; one slab is held beside it."""
        shares = self._shares("gives_mask"), self._shares("tells_presence")
        probabilities = presence = None
        ended = 0
        for place, stream in enumerate(streams):
            slab = next(stream, None)
            if slab is None:
                ended += 1
                continue
            probabilities = _added(probabilities, slab.probabilities, shares[0][place])
            presence = _added(presence, slab.presence, shares[1][place])
            del slab
        if ended == len(streams):
            return None
        if ended:
            raise ValueError("The predictors give different numbers of slabs.")
        return Slab(probabilities, presence)

    def _shares(self, told: str) -> list[float]:
        """Give the weights of the predictors that tell this, which add up to one, and 0 for the others."""
        weights = [w * getattr(predictor, told) for w, predictor in zip(self.weights, self.predictors, strict=True)]
        total = math.fsum(weights)
        return [weight / total if total else 0.0 for weight in weights]


def _added(total: torch.Tensor | None, part: torch.Tensor | None, share: float) -> torch.Tensor | None:
    """Add a share of what one predictor says, if it says anything, to a sum of our own."""
    if part is None:
        return total
    return part * share if total is None else total.add_(part, alpha=share)


def normalised(weights: Sequence[float]) -> tuple[float, ...]:
    """Give weights whose sum is one.

    Raises:
        ValueError: when one is not a positive finite number.
    """
    if not all(math.isfinite(weight) and weight > 0 for weight in weights):
        raise ValueError(f"Weights must be positive numbers, got {', '.join(f'{weight:g}' for weight in weights)}.")
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)


def load_ensemble(
    sources: Sequence[Path], settings: InferenceSettings, trusted: Collection[str] = ()
) -> tuple[Predictor | Ensemble, ModelFacts]:
    """Make one segmenter of one or several run folders, checkpoints or bundles.

    Args:
        sources: at least one.
        settings: how to infer; the same for all, but for their weights.
        trusted: SHA-256 hashes of those that may run any code.

    Returns:
        The segmenter, and what the first source is; its name lists all of them.

    Raises:
        InputError: when one cannot be loaded, is given twice, or takes or gives something else than the first; when
            there is not one weight for each.
    """
    if settings.weights is not None and len(settings.weights) != len(sources):
        told = "one weight" if len(settings.weights) == 1 else f"{len(settings.weights)} weights"
        wanted = f"each of the {len(sources)} sources" if len(sources) > 1 else "the source"
        raise InputError("--weights", f"needs one for {wanted}, got {told}")
    for index, source in enumerate(sources):
        if source.resolve() in [other.resolve() for other in sources[:index]]:
            raise InputError(source, "is given twice")
    loaded = [load_member(source, settings, trusted) for source in sources]
    refuse_other_hashes(
        trusted, {str(source): facts.sha256 for source, (_, facts) in zip(sources, loaded, strict=True)}
    )
    predictor, first = loaded[0]
    if len(loaded) == 1:
        return predictor, first
    for source, (member, facts) in zip(sources[1:], loaded[1:], strict=True):
        for what in ("class_names", "in_channels", "spatial_dims"):
            wanted, found = getattr(first, what), getattr(facts, what)
            if found != wanted:
                told = what.replace("_", " ")
                raise InputError(source, f"has the {told} {found}, but {sources[0]} has {wanted}")
        if None not in (axes := (predictor.slice_axis, member.slice_axis)) and axes[0] != axes[1]:
            raise InputError(source, f"looks at slices along axis {axes[1]}, but {sources[0]} along axis {axes[0]}")
    ensemble = Ensemble([member for member, _ in loaded], settings.weights)
    members = tuple(facts for _, facts in loaded)
    told_of = [
        {"name": facts.name, "weight": round(weight, 6), **facts.settings}
        for facts, weight in zip(members, ensemble.weights, strict=True)
    ]
    facts = ModelFacts(
        " + ".join(facts.name for facts in members),
        first.class_names,
        first.in_channels,
        first.spatial_dims,
        first.spacing_mm,
        first.config,
        {"ensemble": told_of},
        members=members,
    )
    return ensemble, facts

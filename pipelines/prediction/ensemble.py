"""Several networks as one: the mean of their class probabilities on the grid of the image."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.prediction.loading import InferenceSettings, ModelFacts, load_member, refuse_other_hashes
from pipelines.prediction.predictor import Predictor
from pipelines.prediction.segmenter import Prediction
from transforms.io.input_error import InputError


class Ensemble:
    """Mean of the probabilities of several predictors, which may differ in spacing, window and preprocessing.

    The mean is taken on the grid of the image file, and the first predictor's postprocessing decides on it.

    Args:
        predictors: at least one; all of the same classes.

    Raises:
        ValueError: when there is none.
    """

    def __init__(self, predictors: Sequence[Predictor]) -> None:
        if not predictors:
            raise ValueError("An ensemble needs at least one predictor.")
        self.predictors = tuple(predictors)

    @torch.inference_mode()
    def predict(self, entry: Mapping[str, Any]) -> Prediction:
        """Segment one case; see :class:`pipelines.prediction.segmenter.Segmenter`."""
        started = time.monotonic()
        first, *others = self.predictors
        total = first.predict_probabilities(entry)
        for predictor in others:
            total += predictor.predict_probabilities(entry)
        return first.prediction(total / len(self.predictors), started)

    def predict_level_set(self, entry: Mapping[str, Any]) -> np.ndarray | None:
        """Give None: level sets of several networks, each in a unit of its own, have no mean worth showing."""
        return None


def load_ensemble(
    sources: Sequence[Path], settings: InferenceSettings, trusted: Collection[str] = ()
) -> tuple[Predictor | Ensemble, ModelFacts]:
    """Make one segmenter of one or several run folders, checkpoints or bundles.

    Args:
        sources: at least one.
        settings: how to infer; the same for all.
        trusted: SHA-256 hashes of those that may run any code.

    Returns:
        The segmenter, and what the first source is; its name lists all of them.

    Raises:
        InputError: when one cannot be loaded, is given twice, or takes or gives something else than the first.
    """
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
    for source, (_, facts) in zip(sources[1:], loaded[1:], strict=True):
        for what in ("class_names", "in_channels", "spatial_dims"):
            wanted, found = getattr(first, what), getattr(facts, what)
            if found != wanted:
                told = what.replace("_", " ")
                raise InputError(source, f"has the {told} {found}, but {sources[0]} has {wanted}")
    facts = ModelFacts(
        " + ".join(facts.name for _, facts in loaded),
        first.class_names,
        first.in_channels,
        first.spatial_dims,
        first.spacing_mm,
        first.config,
        {"ensemble": [{"name": facts.name, **facts.settings} for _, facts in loaded]},
    )
    return Ensemble([predictor for predictor, _ in loaded]), facts

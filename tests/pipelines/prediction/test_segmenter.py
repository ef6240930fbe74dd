"""Networks, ensembles and stored masks can stand for each other."""

from __future__ import annotations

import inspect
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from pipelines.prediction.ensemble import Ensemble
from pipelines.prediction.predictor import Predictor
from pipelines.prediction.segmenter import Prediction, ProbabilitySegmenter, Segmenter
from pipelines.prediction.stored_masks import StoredMasks


@pytest.mark.parametrize("kind", [Predictor, Ensemble, StoredMasks])
@pytest.mark.parametrize("method", ["predict", "predict_level_set"])
def test_same_signatures(kind, method):
    assert inspect.signature(getattr(kind, method)) == inspect.signature(getattr(Segmenter, method))


@pytest.mark.parametrize("method", ["predict_probabilities", "prediction"])
def test_networks_give_probabilities_and_masks_do_not(method):
    assert inspect.signature(getattr(Predictor, method)) == inspect.signature(getattr(ProbabilitySegmenter, method))
    assert issubclass(Predictor, ProbabilitySegmenter)
    assert not issubclass(StoredMasks, ProbabilitySegmenter)


def test_a_prediction_cannot_be_exchanged():
    prediction = Prediction(np.zeros((2, 2), np.uint8), 0.5)
    with pytest.raises(FrozenInstanceError):
        prediction.seconds = 1.0

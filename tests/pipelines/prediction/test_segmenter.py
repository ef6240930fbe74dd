"""Networks, ensembles and stored masks can stand for each other."""

from __future__ import annotations

import inspect
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from pipelines.prediction.ensemble import Ensemble
from pipelines.prediction.predictor import Predictor
from pipelines.prediction.segmenter import (
    Prediction,
    PresenceSegmenter,
    ProbabilitySegmenter,
    Segmenter,
    whole_presence,
)
from pipelines.prediction.stored_masks import StoredMasks
from tests.pipelines.prediction.slice_networks import predictor, slice_predictor


@pytest.mark.parametrize("kind", [Predictor, Ensemble, StoredMasks])
@pytest.mark.parametrize("method", ["predict", "predict_level_set"])
def test_same_signatures(kind, method):
    assert inspect.signature(getattr(kind, method)) == inspect.signature(getattr(Segmenter, method))


@pytest.mark.parametrize("kind", [Predictor, Ensemble])
def test_networks_give_probabilities_and_masks_do_not(kind):
    method = "predict_with_probabilities"
    assert inspect.signature(getattr(kind, method)) == inspect.signature(getattr(ProbabilitySegmenter, method))
    assert issubclass(kind, ProbabilitySegmenter)
    assert not issubclass(StoredMasks, ProbabilitySegmenter)


def test_networks_may_tell_what_is_present_and_masks_do_not(tmp_path):
    method = "predict_presence"
    for kind in (Predictor, Ensemble):
        assert inspect.signature(getattr(kind, method)) == inspect.signature(getattr(PresenceSegmenter, method))
    assert isinstance(predictor(slice_predictor()), PresenceSegmenter)
    assert not isinstance(StoredMasks(tmp_path, [], {1: "a"}), PresenceSegmenter)


def test_presence_of_the_whole():
    slices = np.array([[0.1, 0.7, 0.2], [0.0, 0.0, 0.4]])
    np.testing.assert_array_equal(whole_presence(slices), [0.7, 0.4])
    np.testing.assert_array_equal(whole_presence(slices[:, 1]), [0.7, 0.0])
    assert Prediction(np.zeros((2, 2), np.uint8), 0.5).whole_presence is None


def test_a_prediction_cannot_be_exchanged():
    prediction = Prediction(np.zeros((2, 2), np.uint8), 0.5)
    with pytest.raises(FrozenInstanceError):
        prediction.seconds = 1.0

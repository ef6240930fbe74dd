import numpy as np
import pytest

from pipelines.consensus.methods import METHODS, ConsensusOptions, make_consensus
from tests.transforms.test_rater_model import noisy_raters
from transforms.label_fusion import staple_fusion
from transforms.majority_vote import MajorityVote
from transforms.rater_patterns import collect_patterns
from transforms.staple import Staple
from transforms.weighted_vote import WeightedVote

RATERS = noisy_raters(5, 3, (20, 20))
TRUST = (0.5, 2.0, -1.0, 0.0, -0.3)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("staple", Staple()(RATERS)),
        ("hybrid", Staple(restricted=True)(RATERS, TRUST)),
        ("data-parameters", WeightedVote()(RATERS, TRUST)),
        ("majority", MajorityVote()(RATERS)),
        ("average", MajorityVote()(RATERS)),
    ],
)
def test_each_method_is_its_transform(method, expected):
    patterns = collect_patterns(RATERS)
    consensus = make_consensus(method, patterns, TRUST, ConsensusOptions())
    np.testing.assert_array_equal(patterns.spread(consensus.decided), expected[0])
    np.testing.assert_allclose(consensus.shares.sum(axis=1), 1)
    assert consensus.sensitivity.shape == consensus.specificity.shape == (5, 3)
    assert (consensus.iterations is None) == (method not in ("staple", "hybrid"))
    assert (consensus.weights is None) == (method == "staple")


def test_restriction_can_be_chosen():
    patterns = collect_patterns(RATERS)
    for restricted in (False, True):
        model = staple_fusion(patterns, restricted=restricted)
        told = make_consensus("staple", patterns, None, ConsensusOptions(restricted=restricted))
        np.testing.assert_array_equal(told.sensitivity, model.sensitivity)


def test_agreement_with_a_vote_by_hand():
    # Majority 0, 1, 1, 0; the third rater says 0, 1, 0, 1. No rater says 2.
    patterns = collect_patterns(np.array([[[0, 1, 1, 0]], [[0, 1, 1, 0]], [[0, 1, 0, 1]]]))
    consensus = make_consensus("majority", patterns, None, ConsensusOptions())
    np.testing.assert_allclose(consensus.sensitivity, [[1, 1], [1, 1], [0.5, 0.5]])
    np.testing.assert_allclose(consensus.specificity, [[1, 1], [1, 1], [0.5, 0.5]])
    np.testing.assert_allclose(consensus.weights, [1 / 3] * 3)


def test_agreement_is_unknown_without_voxels():
    consensus = make_consensus("majority", collect_patterns(np.zeros((2, 3, 3))), None, ConsensusOptions())
    assert consensus.labels == (0,)
    assert np.isnan(consensus.specificity).all()


@pytest.mark.parametrize("method", ["hybrid", "data-parameters"])
def test_parameters_are_needed(method):
    with pytest.raises(ValueError, match="needs data parameters"):
        make_consensus(method, collect_patterns(RATERS), None, ConsensusOptions())


def test_unknown_method():
    with pytest.raises(ValueError, match=METHODS[0]):
        make_consensus("mean", collect_patterns(RATERS), None, ConsensusOptions())

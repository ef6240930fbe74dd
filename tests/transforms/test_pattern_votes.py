import math

import numpy as np
import pytest

from transforms.pattern_votes import decide, entropy_bits, softmax_weights, vote_shares

DECISIONS = np.array([[0, 0, 1, 1], [1, 1, 2, 2], [2, 1, 2, 2], [0, 1, 2, 2]])


def test_soft_average_and_its_decision():
    shares = vote_shares(DECISIONS, (0, 1, 2))
    assert shares.tolist() == [[0.5, 0.5, 0], [0, 0.5, 0.5], [0, 0.25, 0.75], [0.25, 0.25, 0.5]]
    assert decide(shares, (0, 1, 2)).tolist() == [0, 1, 2, 2]


def test_weighted_shares():
    shares = vote_shares(DECISIONS[:1], (0, 1, 2), [0.4, 0.3, 0.2, 0.1])
    np.testing.assert_allclose(shares, [[0.7, 0.3, 0.0]])


@pytest.mark.parametrize("raters", [2, 6, 10, 22, 30])
def test_half_of_equal_weights_is_a_tie_whatever_the_order(raters):
    votes = np.tile([0, 1], raters // 2)
    decisions = np.stack([votes, votes[::-1], np.sort(votes), np.sort(votes)[::-1]])
    shares = vote_shares(decisions, (0, 1), softmax_weights(np.full(raters, 0.3)))
    assert decide(shares, (0, 1)).tolist() == [0, 0, 0, 0]
    assert decide(vote_shares(decisions, (0, 1)), (0, 1)).tolist() == [0, 0, 0, 0]


def test_labels_of_a_decision_are_those_given():
    assert decide(np.array([[0.2, 0.8], [0.8, 0.2]]), (0, 300)).tolist() == [300, 0]
    assert decide(np.array([[0.2, 0.8]]), (0, 7)).dtype == np.uint8


def test_softmax_by_hand():
    # exp(0) = 1, exp(ln 3) = 3
    np.testing.assert_allclose(softmax_weights([0.0, math.log(3)]), [0.25, 0.75])
    np.testing.assert_allclose(softmax_weights([1000.0, 1000.0 + math.log(3)]), [0.25, 0.75])


@pytest.mark.parametrize("parameters", [[], [[0.0]], [math.nan], [0.0, math.inf]])
def test_parameters_must_be_finite(parameters):
    with pytest.raises(ValueError, match="finite"):
        softmax_weights(parameters)


def test_one_weight_per_rater():
    with pytest.raises(ValueError, match="4 raters, but 3 weights"):
        vote_shares(DECISIONS, (0, 1), [0.2, 0.3, 0.5])


def test_entropy_by_hand():
    entropy = entropy_bits(np.array([[1.0, 0, 0], [0.5, 0.5, 0], [0.25, 0.25, 0.5]]))
    assert entropy.tolist() == [0.0, 1.0, 1.5]
    assert entropy.dtype == np.float32
    assert not np.signbit(entropy).any()

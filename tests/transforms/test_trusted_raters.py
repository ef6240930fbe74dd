import math

import numpy as np
import pytest

from transforms.trusted_raters import trust_pseudo_counts, trusted_shares

# Shares 1/4 and 3/4: R w is 1/2 and 3/2, so the odds of a right decision are 9^(1/2) = 3 and 9^(3/2) = 27.
PARAMETERS = [0.0, 2 * math.log(3)]


def test_shares_by_hand():
    np.testing.assert_allclose(trusted_shares(PARAMETERS), [0.25, 0.75])


def test_pseudo_counts_by_hand():
    # Strength 2: 2 N in all; of that 3/4 and 27/28 for the right decision.
    counts = trust_pseudo_counts(PARAMETERS, [100.0, 10.0], strength=2.0)
    assert counts.shape == (2, 2, 2)
    np.testing.assert_allclose(counts[0], [[150, 50], [5, 15]])
    np.testing.assert_allclose(counts[1], [[200 * 27 / 28, 200 / 28], [20 / 28, 20 * 27 / 28]])


def test_pseudo_counts_of_three_labels_by_hand():
    # Odds 3 against each of two wrong labels: 3/5, 1/5, 1/5.
    counts = trust_pseudo_counts(PARAMETERS, [1.0, 1.0, 1.0], strength=1.0)
    np.testing.assert_allclose(counts[0], [[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6]])


@pytest.mark.parametrize("strength", [-1.0, math.nan, math.inf])
def test_strength_must_be_a_number_from_0(strength):
    with pytest.raises(ValueError, match="strength"):
        trust_pseudo_counts(PARAMETERS, [1.0, 1.0], strength)

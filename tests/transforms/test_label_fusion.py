"""STAPLE's choice of voxels and priors, and the hybrid's two limits."""

import numpy as np
import pytest
from scipy import ndimage

from tests.transforms.test_rater_model import noisy_raters
from transforms.label_fusion import staple_fusion
from transforms.pattern_votes import decide, softmax_weights, vote_shares
from transforms.rater_model import estimate_raters
from transforms.rater_patterns import collect_patterns
from transforms.trusted_raters import trusted_shares


def test_restricted_is_staple_of_the_contested_voxels_alone():
    maps = noisy_raters(4, 3, (20, 20))
    padded = np.pad(maps, ((0, 0), (30, 30), (30, 30)))
    contested = (maps != maps[:1]).any(axis=0)
    patterns, alone = collect_patterns(padded), collect_patterns(maps[:, contested])
    model = staple_fusion(patterns, restricted=True)
    expected = estimate_raters(alone.decisions, alone.counts, alone.labels)
    np.testing.assert_allclose(model.confusion, expected.confusion, atol=1e-12)
    found = patterns.spread(model.posterior[:, 1])[30:50, 30:50]
    np.testing.assert_allclose(found[contested], alone.spread(expected.posterior[:, 1]), atol=1e-12)
    np.testing.assert_array_equal(found[~contested], maps[0][~contested] == 1)
    whole = staple_fusion(patterns)
    assert (model.specificity[:, 1] < whole.specificity[:, 1]).all()


def test_restricted_has_nothing_to_restrict_to_when_all_agree():
    patterns = collect_patterns(np.repeat(noisy_raters(1, 2, (5, 5)), 3, axis=0))
    model, whole = staple_fusion(patterns, restricted=True), staple_fusion(patterns)
    np.testing.assert_array_equal(model.confusion, whole.confusion)


def test_prior_is_scaled_to_the_labels_that_occur():
    patterns = collect_patterns(np.array([[[0, 2, 2]], [[0, 0, 2]]]))
    model = staple_fusion(patterns, prior=[0.6, 5.0, 0.2])
    np.testing.assert_allclose(model.prior, [0.75, 0.25])


def test_a_higher_prior_gives_a_higher_probability():
    patterns = collect_patterns(noisy_raters(3, 2, (20, 20)))
    low, high = (staple_fusion(patterns, prior=[1 - f, f], max_iterations=1).posterior[:, 1] for f in (0.1, 0.6))
    assert (low < high).all()


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ([1.0], "labels 0 to 0"),
        ([-1.0, 2.0], "0 or more"),
        ([np.nan, 1.0], "0 or more"),
        ([0.0, 0.0, 1.0], "no probability"),
        ([[0.5, 0.5]], "0 or more"),
    ],
)
def test_prior_that_is_none(prior, message):
    with pytest.raises(ValueError, match=message):
        staple_fusion(collect_patterns(np.array([[[0, 1]]])), prior=prior)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("restricted", [False, True])
def test_hybrid_without_strength_and_with_a_prior_of_ones_own_is_staple(classes, restricted):
    patterns = collect_patterns(noisy_raters(6, classes, (20, 20)))
    prior = [0.5, 0.3, 0.2][:classes]
    plain = staple_fusion(patterns, restricted=restricted, prior=prior)
    hybrid = staple_fusion(patterns, restricted=restricted, prior=prior, parameters=np.arange(6.0), strength=0.0)
    np.testing.assert_array_equal(hybrid.posterior, plain.posterior)
    np.testing.assert_array_equal(hybrid.confusion, plain.confusion)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("restricted", [False, True])
def test_hybrid_tends_to_the_weighted_vote(classes, restricted):
    patterns = collect_patterns(noisy_raters(6, classes, (20, 20)))
    parameters = np.array([-1.3, -0.4, 0.2, 0.5, -0.9, 1.1])
    vote = decide(vote_shares(patterns.decisions, patterns.labels, trusted_shares(parameters)), patterns.labels)
    shares = []
    for strength in (0.0, 3.0, 1e7):
        model = staple_fusion(
            patterns, parameters=parameters, strength=strength, restricted=restricted, prior=[1.0] * classes
        )
        same = decide(model.posterior, patterns.labels) == vote
        shares.append(patterns.counts[same].sum() / patterns.counts.sum())
    assert shares[-1] == 1
    assert shares[0] < 1


@pytest.mark.parametrize("restricted", [False, True])
def test_hybrid_expects_of_each_label_what_the_trusted_raters_give_it(restricted):
    patterns = collect_patterns(noisy_raters(6, 3, (20, 20)))
    parameters = np.array([-1.3, -0.4, 0.2, 0.5, -0.9, 1.1])
    model = staple_fusion(patterns, parameters=parameters, restricted=restricted)
    wanted = patterns.counts @ vote_shares(patterns.decisions, patterns.labels, trusted_shares(parameters))
    np.testing.assert_allclose(patterns.counts @ model.posterior, wanted, atol=1e-3 * patterns.counts.sum())
    if not restricted:
        np.testing.assert_allclose(model.mass, wanted, atol=1e-3 * patterns.counts.sum())


def test_hybrid_is_as_large_as_displaced_raters_where_a_vote_is_smaller_and_staple_larger():
    truth, raters, _ = registered_raters(3, 0, 0.0)
    patterns = collect_patterns(raters)
    vote, staple, hybrid = (
        int((patterns.spread(decide(posterior, patterns.labels)) == 1).sum())
        for posterior in (
            vote_shares(patterns.decisions, patterns.labels),
            staple_fusion(patterns).posterior,
            staple_fusion(patterns, restricted=True, parameters=np.zeros(10)).posterior,
        )
    )
    mean = raters.sum() / len(raters)
    assert vote < 0.95 * mean
    assert staple > 1.05 * mean
    assert hybrid == pytest.approx(mean, rel=0.05)


def test_hybrid_follows_a_rater_the_more_it_is_trusted():
    patterns = collect_patterns(noisy_raters(5, 2, (20, 20)))
    says = patterns.decisions[:, 4] == 1
    sensitivities, posteriors = [], []
    for parameter in (-2.0, 0.0, 2.0, 4.0):
        trust = [0.1, 0.2, 0.0, -0.1, parameter]
        model = staple_fusion(patterns, parameters=trust, strength=1e9, prior=[0.5, 0.5])
        sensitivities.append(model.sensitivity[4, 1])
        posteriors.append(model.posterior[says, 1])
    assert np.all(np.diff(sensitivities) > 0)
    assert np.all(np.diff(posteriors, axis=0) > -1e-6)
    assert np.diff(posteriors, axis=0).max() > 0.1


def test_one_parameter_per_rater():
    with pytest.raises(ValueError, match="3 raters, but parameters of shape"):
        staple_fusion(collect_patterns(noisy_raters(3, 2, (5, 5))), parameters=[1.0, 2.0])


@pytest.mark.parametrize("maps", [np.zeros((3, 4, 4)), np.ones((3, 4, 4)), np.array([[[0]], [[1]], [[1]]])])
def test_hybrid_of_degenerate_raters_is_defined(maps):
    model = staple_fusion(collect_patterns(maps), parameters=[0.0, 1.0, 2.0])
    assert np.isfinite(model.posterior).all()
    assert np.isfinite(model.confusion).all()


def registered_raters(seed, good, noise):
    """An ellipse, ten deformed copies of which some are good, and data parameters that tell them apart with noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((64, 64))
    truth = (rows - 32) ** 2 / 1.5 + (columns - 32) ** 2 < 14**2
    raters = []
    for size in [1.0] * good + [5.0] * (10 - good):
        fields = [ndimage.gaussian_filter(rng.standard_normal((64, 64)), 4) for _ in range(2)]
        places = np.indices((64, 64)) + np.array([size * f / f.std() + rng.normal(0, size) for f in fields])
        raters.append(ndimage.map_coordinates(truth.astype(np.uint8), places, order=0) > 0)
    quality = np.array([dice(rater, truth) for rater in raters])
    return truth, np.stack(raters), 4 * (quality - quality.mean()) + rng.normal(0, noise, 10)


def dice(one, other):
    return 2 * np.sum(one & other) / (one.sum() + other.sum())


@pytest.mark.parametrize("restricted", [False, True])
@pytest.mark.parametrize(("good", "noise"), [(6, 0.3), (4, 0.3), (2, 0.3), (2, 0.7)])
def test_hybrid_beats_staple_and_the_vote_where_raters_are_of_mixed_quality(good, noise, restricted):
    scores = []
    for seed in range(8):
        truth, raters, parameters = registered_raters(seed, good, noise)
        patterns = collect_patterns(raters)
        posteriors = (
            vote_shares(patterns.decisions, patterns.labels, softmax_weights(parameters)),
            staple_fusion(patterns, restricted=restricted).posterior,
            staple_fusion(patterns, restricted=restricted, parameters=parameters).posterior,
        )
        scores.append([dice(patterns.spread(decide(each, patterns.labels)) == 1, truth) for each in posteriors])
    vote, staple, hybrid = np.mean(scores, axis=0)
    assert hybrid > max(vote, staple)

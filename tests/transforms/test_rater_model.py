"""The EM: by hand, against a plain loop over voxels, and against ITK."""

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from transforms import rater_model
from transforms.label_fusion import staple_fusion
from transforms.rater_model import estimate_raters, mean_fractions
from transforms.rater_patterns import collect_patterns


def noisy_raters(raters, classes, shape, seed=0):
    """Label maps that differ from a common truth in a share of voxels that grows from rater to rater."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, shape)
    wrong = [rng.random(shape) < 0.08 + 0.06 * rater for rater in range(raters)]
    return np.stack([np.where(miss, rng.integers(0, classes, shape), truth) for miss in wrong])


def by_voxel(raters, iterations):
    """Dawid and Skene's EM as it is written down, voxel by voxel, products and all; it starts from the soft average."""
    maps = raters.reshape(len(raters), -1)
    classes = int(maps.max()) + 1
    prior = np.array([(maps == label).mean() for label in range(classes)])
    posterior = np.stack([(maps == label).mean(axis=0) for label in range(classes)], axis=1)
    theta = np.zeros((len(maps), classes, classes))
    for _ in range(iterations):
        for rater, labels in enumerate(maps):
            for said in range(classes):
                theta[rater, :, said] = posterior[labels == said].sum(axis=0) / posterior.sum(axis=0)
        for voxel in range(maps.shape[1]):
            for true in range(classes):
                posterior[voxel, true] = prior[true]
                for rater, labels in enumerate(maps):
                    posterior[voxel, true] *= theta[rater, true, labels[voxel]]
            posterior[voxel] /= posterior[voxel].sum()
    return posterior, theta


def itk(raters, iterations=1000):
    staple = sitk.STAPLEImageFilter()
    staple.SetForegroundValue(1)
    staple.SetMaximumIterations(iterations)
    image = staple.Execute([sitk.GetImageFromArray(rater.astype(np.uint8)) for rater in raters])
    return sitk.GetArrayFromImage(image), staple


def test_one_iteration_by_hand():
    # Two raters, four voxels: 00 twice, 10, 11. Prior 3/8; W of the soft average is 0, 1/2, 1.
    # p = (1/2 + 1) / (3/2) = 1 and 1 / (3/2) = 2/3; q = 2 / (5/2) = 4/5 and (2 + 1/2) / (5/2) = 1.
    # W(00) = 0; W(10) = 3/8 1 1/3 / (3/8 1 1/3 + 5/8 1/5 1) = 1/2; W(11) = 1.
    model = estimate_raters(np.array([[0, 0], [1, 0], [1, 1]]), np.array([2, 1, 1]), (0, 1), max_iterations=1)
    np.testing.assert_allclose(model.prior, [0.625, 0.375])
    np.testing.assert_allclose(model.sensitivity[:, 1], [1, 2 / 3])
    np.testing.assert_allclose(model.specificity[:, 1], [4 / 5, 1])
    np.testing.assert_allclose(model.posterior[:, 1], [0, 0.5, 1], atol=1e-15)
    np.testing.assert_allclose(model.mass, [2.5, 1.5])
    assert (model.iterations, model.converged) == (1, False)


def test_one_iteration_from_a_first_guess_by_hand():
    # The same raters with p = q = 0.9 at first: W(00) = 3/8 0.01 / (3/8 0.01 + 5/8 0.81), W(10) = 3/8, ...
    model = estimate_raters(
        np.array([[0, 0], [1, 0], [1, 1]]), np.array([2, 1, 1]), (0, 1), initial=0.9, max_iterations=1
    )
    low, middle, high = 0.00375 / (0.00375 + 0.50625), 0.375, 0.30375 / (0.30375 + 0.00625)
    total = 2 * low + middle + high
    np.testing.assert_allclose(model.sensitivity[:, 1], [(middle + high) / total, high / total])
    np.testing.assert_allclose(
        model.specificity[:, 1], [2 * (1 - low) / (4 - total), (2 * (1 - low) + 1 - middle) / (4 - total)]
    )


@pytest.mark.parametrize(("raters", "shape"), [(2, (40, 50)), (3, (12, 10, 11)), (5, (40, 50)), (10, (16, 17, 18))])
def test_binary_is_itks(raters, shape):
    maps = noisy_raters(raters, 2, shape)
    patterns = collect_patterns(maps)
    for iterations in (1, 8):
        expected, staple = itk(maps, iterations)
        model = staple_fusion(patterns, max_iterations=iterations, tolerance=0.0)
        np.testing.assert_allclose(patterns.spread(model.posterior[:, 1]), expected, atol=1e-12)
        np.testing.assert_allclose(model.sensitivity[:, 1], staple.GetSensitivity(), atol=1e-12)
        np.testing.assert_allclose(model.specificity[:, 1], staple.GetSpecificity(), atol=1e-12)
    # And each by its own stopping rule; ours goes on for longer.
    np.testing.assert_allclose(patterns.spread(staple_fusion(patterns).posterior[:, 1]), itk(maps)[0], atol=1e-5)


@pytest.mark.parametrize(("raters", "classes", "shape"), [(4, 3, (9, 8)), (3, 4, (5, 4, 6)), (6, 2, (7, 9))])
def test_classes_are_those_of_a_loop_over_voxels(raters, classes, shape):
    maps = noisy_raters(raters, classes, shape)
    posterior, theta = by_voxel(maps, 12)
    patterns = collect_patterns(maps)
    model = estimate_raters(patterns.decisions, patterns.counts, patterns.labels, max_iterations=12, tolerance=0)
    assert model.labels == tuple(range(classes))
    for label in range(classes):
        np.testing.assert_allclose(patterns.spread(model.posterior[:, label]).ravel(), posterior[:, label], atol=1e-12)
    np.testing.assert_allclose(model.confusion, theta, atol=1e-12)
    np.testing.assert_allclose(model.confusion.sum(axis=2), 1)
    mass, label = posterior.sum(axis=0), classes - 1
    others = [true for true in range(classes) if true != label]
    expected = 1 - (theta[:, others, label] * mass[others]).sum(axis=1) / mass[others].sum()
    np.testing.assert_allclose(model.specificity[:, label], expected)


def test_parts_give_what_the_whole_gives(monkeypatch):
    patterns = collect_patterns(noisy_raters(5, 4, (20, 20)))
    whole = estimate_raters(patterns.decisions, patterns.counts, patterns.labels)
    monkeypatch.setattr(rater_model, "_KEPT", 200)
    parts = estimate_raters(patterns.decisions, patterns.counts, patterns.labels)
    np.testing.assert_allclose(parts.posterior, whole.posterior, atol=1e-9)
    assert parts.converged
    assert whole.converged


def test_one_rater_is_the_truth():
    model = estimate_raters(np.array([[0], [2]]), np.array([9, 1]), (0, 2))
    assert model.posterior.tolist() == [[1, 0], [0, 1]]
    assert model.confusion.tolist() == [[[1, 0], [0, 1]]]
    assert (model.iterations, model.converged) == (0, True)


DEGENERATE = {
    "all empty": (np.zeros((3, 4, 4)), 0.0),
    "all full": (np.ones((3, 4, 4)), 1.0),
    "one voxel, split": (np.array([[[0]], [[1]], [[1]]]), None),
    "one voxel, empty": (np.zeros((2, 1, 1)), 0.0),
}


@pytest.mark.parametrize(("maps", "foreground"), DEGENERATE.values(), ids=DEGENERATE.keys())
def test_degenerate_raters_are_defined(maps, foreground):
    model = staple_fusion(collect_patterns(maps))
    assert np.isfinite(model.posterior).all()
    assert np.isfinite(model.confusion).all()
    assert np.isfinite(model.specificity).all()
    np.testing.assert_allclose(model.posterior.sum(axis=1), 1)
    if foreground is not None:
        np.testing.assert_allclose(model.posterior[:, -1], 1.0)
        assert model.labels[-1] == foreground


def test_identical_raters_agree_on_themselves():
    rater = noisy_raters(1, 3, (12, 12))
    patterns = collect_patterns(np.repeat(rater, 4, axis=0))
    model = staple_fusion(patterns)
    np.testing.assert_allclose(model.confusion, np.repeat(np.eye(3)[None], 4, axis=0), atol=1e-12)
    np.testing.assert_allclose(model.posterior, np.eye(3), atol=1e-12)


@pytest.mark.parametrize(("value", "sensitivity", "specificity"), [(0, 0.0, 1.0), (1, 1.0, 0.0)])
def test_an_empty_and_a_full_rater_are_found_out(value, sensitivity, specificity):
    maps = noisy_raters(5, 2, (20, 20))
    maps[4] = value
    model = staple_fusion(collect_patterns(maps))
    without = staple_fusion(collect_patterns(maps[:4]), prior=model.prior)
    np.testing.assert_allclose([model.sensitivity[4, 1], model.specificity[4, 1]], [sensitivity, specificity])
    np.testing.assert_allclose(model.confusion[:4], without.confusion, atol=1e-6)


def test_counts_beyond_float32_are_exact():
    decisions, counts = np.array([[0, 0, 0], [0, 1, 1], [1, 1, 1]]), np.array([2**40, 1, 1])
    model = estimate_raters(decisions, counts, (0, 1))
    assert mean_fractions(decisions, counts, (0, 1))[1] == 5 / (3 * (2**40 + 2))
    np.testing.assert_allclose(model.mass.sum(), 2**40 + 2, rtol=1e-15)
    np.testing.assert_allclose(model.posterior[2], [0, 1], atol=1e-3)


def test_hundreds_of_raters_do_not_underflow():
    decisions = np.zeros((2, 900), int)
    decisions[1] = 1
    model = estimate_raters(decisions, np.array([50, 50]), (0, 1), initial=0.6)
    np.testing.assert_allclose(model.posterior, np.eye(2))


@pytest.mark.parametrize(
    "options", [{"initial": 0.5}, {"initial": 1.0}, {"max_iterations": 0}, {"tolerance": -1.0}, {"tolerance": np.nan}]
)
def test_options_that_make_no_sense(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        estimate_raters(np.array([[0, 1]]), np.array([1]), (0, 1), **options)


def test_prior_that_follows_volumes_solves_what_scipy_solves():
    from scipy.optimize import root

    patterns = collect_patterns(noisy_raters(5, 3, (20, 20)))
    volumes = np.array([180.0, 150.0, 70.0])
    model = estimate_raters(patterns.decisions, patterns.counts, patterns.labels, volumes=volumes)
    likelihood = np.ones((len(patterns.counts), 3))
    for rater, theta in enumerate(model.confusion):
        likelihood *= theta[:, patterns.decisions[:, rater]].T

    def masses(logits):
        posterior = likelihood * np.exp([0, *logits])
        return patterns.counts @ (posterior / posterior.sum(axis=1, keepdims=True))

    found = root(lambda logits: (masses(logits) - volumes)[1:], [0.0, 0.0])
    prior = np.exp([0, *found.x]) / np.exp([0, *found.x]).sum()
    assert model.converged
    np.testing.assert_allclose(model.mass, volumes, atol=1e-3)
    np.testing.assert_allclose(model.prior, prior, atol=1e-4)


def test_label_without_volume_is_nowhere_the_truth():
    patterns = collect_patterns(noisy_raters(5, 3, (20, 20)))
    model = estimate_raters(patterns.decisions, patterns.counts, patterns.labels, volumes=np.array([300.0, 100.0, 0.0]))
    assert model.mass[2] < 1e-6
    assert np.isfinite(model.confusion).all()

"""The curves against derivatives by hand."""

from __future__ import annotations

import numpy as np
import pytest

from networks.losses.cross_entropy import CrossEntropyLoss
from networks.losses.focal import FocalLoss
from networks.losses.mask import MaskLoss
from pipelines.loss_study.loss_curves import LossCurve, loss_curve


def curve_of(loss) -> LossCurve:
    curve = loss_curve(loss, points=99)
    assert curve is not None
    return curve


def test_cross_entropy_and_its_slope() -> None:
    curve = curve_of(CrossEntropyLoss(weights=[1, 3]))
    assert curve.foreground == pytest.approx(-3 * np.log(curve.p), rel=1e-5)
    assert curve.background == pytest.approx(-np.log(curve.p), rel=1e-5)
    assert curve.foreground_gradient == pytest.approx(-3 * (1 - curve.p), rel=1e-5)
    assert curve.background_gradient == pytest.approx(-(1 - curve.p), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 1, 2, 5])
def test_focal_loss_has_its_true_gradient(gamma: float) -> None:
    curve = curve_of(FocalLoss(gamma=gamma))
    p = curve.p
    # d/dx of -(1 - p)^gamma log p with dp/dx = p (1 - p).
    slope = (1 - p) ** (gamma - 1) * p * (1 - p) * (gamma * np.log(p) - (1 - p) / p)
    for found in (curve.foreground_gradient, curve.background_gradient):
        assert found == pytest.approx(slope, rel=1e-4, abs=1e-9)
    assert curve.foreground == pytest.approx(-((1 - p) ** gamma) * np.log(p), rel=1e-4, abs=1e-9)


def test_a_loss_over_regions_has_no_curve() -> None:
    assert loss_curve(MaskLoss()) is None

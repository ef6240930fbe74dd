"""AlphaLoss: epochs by hand, taking up in the middle of one, and epochs in which nothing can be learnt."""

import pytest
import torch
from torch import distributed

from networks.losses.alpha_loss import AlphaLoss


def losses(**values):
    return {name: torch.tensor(value) for name, value in values.items()}


def test_epochs_by_hand():
    loss = AlphaLoss()
    assert loss.weights() == {"mask": 1.0, "distance": 0.0}
    assert loss(losses(mask=0.6, distance=0.1)).item() == pytest.approx(0.6)
    assert loss(losses(mask=0.2, distance=0.3)).item() == pytest.approx(0.2)
    loss.end_epoch()  # means 0.4 and 0.2
    assert loss.weights() == pytest.approx({"mask": 1.0, "distance": 2.0})
    assert loss(losses(mask=0.5, distance=0.25)).item() == pytest.approx(0.5 + 2 * 0.25)
    assert loss.weights() == pytest.approx({"mask": 1.0, "distance": 2.0}), "constant within an epoch"
    loss.end_epoch()  # the second epoch alone: 0.5 and 0.25
    assert loss.weights()["distance"] == pytest.approx(2.0)
    loss(losses(mask=0.3, distance=0.6))
    loss.end_epoch()
    assert loss.weights()["distance"] == pytest.approx(0.5)


def test_several_tasks_each_have_their_alpha():
    loss = AlphaLoss("mask", ["distance", "sdf"])
    loss(losses(mask=1.0, distance=0.5, sdf=4.0))
    loss.end_epoch()
    assert loss.weights() == pytest.approx({"mask": 1.0, "distance": 2.0, "sdf": 0.25})
    assert loss(losses(mask=1.0, distance=3.0, sdf=8.0)).item() == pytest.approx(1 + 6 + 2)


def test_gradient_is_the_weights():
    loss = AlphaLoss()
    loss(losses(mask=0.9, distance=0.3))
    loss.end_epoch()
    given = {name: value.requires_grad_() for name, value in losses(mask=0.5, distance=0.5).items()}
    loss(given).backward()
    assert [given[name].grad.item() for name in ("mask", "distance")] == pytest.approx([1.0, 3.0], rel=1e-6)


@pytest.mark.parametrize("stop", range(6))
def test_taken_up_anywhere_it_goes_on_the_same(stop):
    """Six steps, an epoch's end after every third."""
    values = torch.rand(6, 2, generator=torch.Generator().manual_seed(0)) + 0.1

    def go(loss, steps):
        totals = []
        for step in steps:
            totals.append(loss({"mask": values[step, 0], "distance": values[step, 1]}).item())
            if step % 3 == 2:
                loss.end_epoch()
        return totals

    straight = AlphaLoss()
    expected = go(straight, range(6))
    first = AlphaLoss()
    totals = go(first, range(stop))
    again = AlphaLoss()
    again.load_state_dict(first.state_dict())
    assert totals + go(again, range(stop, 6)) == expected
    assert again.weights() == straight.weights()


def test_validation_uses_the_weights_and_counts_nothing():
    loss = AlphaLoss()
    loss(losses(mask=0.4, distance=0.1))
    loss.end_epoch()
    loss.eval()
    assert loss(losses(mask=9.0, distance=1.0)).item() == pytest.approx(13.0)
    loss.train()
    loss(losses(mask=0.2, distance=0.1))
    loss.end_epoch()
    assert loss.weights()["distance"] == pytest.approx(2.0)


def test_without_a_sample_it_does_not_move_on():
    loss = AlphaLoss()
    loss(losses(mask=0.4, distance=0.1))
    loss.end_epoch()
    loss.end_epoch()
    assert loss.weights()["distance"] == pytest.approx(4.0)


@pytest.mark.parametrize(("mask", "distance"), [(0.5, 0.0), (0.0, 0.0), (float("nan"), 0.5), (0.5, float("nan"))])
def test_a_ratio_that_is_none_leaves_the_weight(mask, distance):
    loss = AlphaLoss()
    loss(losses(mask=0.4, distance=0.1))
    loss.end_epoch()
    loss(losses(mask=mask, distance=distance))
    loss.end_epoch()
    assert loss.weights()["distance"] == pytest.approx(4.0)


def test_processes_share_their_means(monkeypatch):
    """This one's losses are 0.4 and 0.1; the other's sums are 1.6 and 0.9 of three iterations."""
    others = iter([torch.tensor([1.6, 0.9]), torch.tensor(3)])
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "all_reduce", lambda mine: mine.add_(next(others)))
    loss = AlphaLoss()
    loss(losses(mask=0.4, distance=0.1))
    loss.end_epoch()
    assert loss.weights()["distance"] == pytest.approx(2.0)
    assert loss.sums.tolist() == [0, 0]


def test_smoothing_by_hand():
    """Ratios 4, 2 and 8: the first is taken whole."""
    loss = AlphaLoss(smoothing=0.75)
    weights = []
    for mask in (0.4, 0.2, 0.8):
        loss(losses(mask=mask, distance=0.1))
        loss.end_epoch()
        weights.append(loss.weights()["distance"])
    assert weights == pytest.approx([4.0, 0.75 * 4 + 0.25 * 2, 0.75 * 3.5 + 0.25 * 8])


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_refuses_smoothing(smoothing):
    with pytest.raises(ValueError, match="smoothing must be at least 0 and below 1"):
        AlphaLoss(smoothing=smoothing)


@pytest.mark.parametrize("regression", ["mask", [], ["distance", "distance"]])
def test_refuses_names(regression):
    with pytest.raises(ValueError, match="tasks must be at least two, each with a name of its own"):
        AlphaLoss("mask", regression)


def test_refuses_other_tasks():
    with pytest.raises(ValueError, match="losses of distance, mask are added up, got mask"):
        AlphaLoss()(losses(mask=1.0))

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pipelines.engines import MultiTaskTrainer
from transforms.io.input_error import InputError


class Heads(nn.Module):
    """A mask and a distance from one shared convolution; as little of a multi-task network as there can be."""

    def __init__(self, dropout: float = 0.0, norm: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.shared = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.mask, self.distance = nn.Conv2d(4, 1, 1), nn.Conv2d(4, 1, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.dropout(torch.relu(self.norm(self.shared(x))))
        return {"mask": self.mask(x), "distance": self.distance(x)}


class MaskedCrossEntropy(nn.Module):
    """Takes a field of view, as the project's segmentation losses do."""

    def forward(self, input: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(input, target.float(), weight=mask, reduction="sum") / 64


class Ratio(nn.Module):
    """Weights that change at the end of each epoch, by what the epoch has seen, and standard deviations beside."""

    def __init__(self) -> None:
        super().__init__()
        self.ratio: torch.Tensor
        self.seen: torch.Tensor
        self.register_buffer("ratio", torch.zeros(()))
        self.register_buffer("seen", torch.zeros(()))
        self.epochs = 0

    def forward(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        self.seen += losses["mask"].detach()
        return losses["mask"] + self.ratio * losses["distance"]

    def weights(self) -> dict[str, float]:
        return {"mask": 1.0, "distance": float(self.ratio)}

    def sigmas(self) -> dict[str, float]:
        return {"mask": 2.0, "distance": 3.0}

    def end_epoch(self) -> None:
        self.epochs += 1
        self.ratio.copy_(self.seen)
        self.seen.zero_()


class Learned(Ratio):
    """One weight that is learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.log_variance = nn.Parameter(torch.zeros(()))

    def forward(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return torch.exp(-self.log_variance) * losses["mask"] + self.log_variance / 2 + losses["distance"]


def batch(**more: Any) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    label = torch.zeros(2, 1, 8, 8)
    label[..., 3:5] = 1
    image = torch.randn(2, 1, 8, 8, generator=generator) + 3 * label
    return {"image": image, "label": label, "distance": 1 - label, "case_id": ["a", "b"], **more}


def trainer(network: nn.Module, combination: nn.Module, iterations: int = 4, **changed: Any) -> MultiTaskTrainer:
    parameters: list[Any] = [{"params": list(network.parameters())}]
    parameters += [{"params": list(combination.parameters()), "lr": 0.5}] if list(combination.parameters()) else []
    settings: dict[str, Any] = {
        "device": torch.device("cpu"),
        "max_epochs": 10,
        "epoch_length": 2,
        "iterations": iterations,
        "train_data_loader": [batch()] * 20,
        "network": network,
        "optimizer": torch.optim.SGD(parameters, lr=0.05),
        "losses": {"mask": MaskedCrossEntropy(), "distance": nn.MSELoss()},
        "combination": combination,
    }
    return MultiTaskTrainer(**{**settings, **changed})


def terms(run: MultiTaskTrainer) -> dict[str, Any]:
    run.run()
    return dict(run.state.output)  # type: ignore[arg-type]


def test_the_loss_is_what_the_rule_makes_of_the_heads_losses() -> None:
    network = Heads()
    output = network(batch()["image"])
    found = terms(trainer(network, Learned(), iterations=1))
    cross_entropy = F.binary_cross_entropy_with_logits(output["mask"], batch()["label"], reduction="sum").item() / 64
    square = ((output["distance"] - batch()["distance"]) ** 2).mean().item()
    assert found["loss_mask"].item() == pytest.approx(cross_entropy, rel=1e-5)
    assert found["loss_distance"].item() == pytest.approx(square, rel=1e-5)
    assert found["loss"].item() == pytest.approx(cross_entropy + square, rel=1e-5)
    assert (found["sigma_mask"], found["sigma_distance"]) == (2.0, 3.0)


def test_a_weight_changes_between_true_epochs_and_is_told_as_it_was_used() -> None:
    from ignite.engine import Events

    rule = Ratio()
    run = trainer(Heads(), rule, iterations=5)
    told: list[float] = []
    run.add_event_handler(
        Events.ITERATION_COMPLETED, lambda engine: told.append(engine.state.output["weight_distance"])
    )
    run.run()
    assert rule.epochs == 2  # the fifth iteration is not the end of the third epoch
    assert told[0] == told[1] == 0.0
    assert told[2] == told[3] > 0
    assert told[4] not in (0.0, told[3])


def test_the_rule_has_moved_on_before_a_checkpoint_of_the_epochs_end_is_written() -> None:
    from ignite.engine import Events

    rule = Ratio()
    run = trainer(Heads(), rule, iterations=2)
    saved: list[int] = []
    run.add_event_handler(Events.ITERATION_COMPLETED(every=2), lambda engine: saved.append(rule.epochs))
    run.run()
    assert saved == [1]


@pytest.mark.parametrize("stop", [2, 3])
def test_going_on_from_a_saved_state_is_the_same_as_not_stopping(stop: int) -> None:
    straight = Heads(dropout=0.3), Ratio()
    trainer(*straight, iterations=6).run()

    first = Heads(dropout=0.3), Ratio()
    run = trainer(*first, iterations=stop)
    run.run()
    second = Heads(dropout=0.3), Ratio()
    for new, old in zip(second, first, strict=True):
        new.load_state_dict(old.state_dict())
    again = trainer(*second, iterations=6)
    again.optimizer.load_state_dict(run.optimizer.state_dict())
    again.state.iteration, again.state.epoch = stop, stop // 2
    again.run()
    for new, old in zip(second, straight, strict=True):
        for name, value in old.state_dict().items():
            assert torch.equal(new.state_dict()[name], value), name


def test_what_the_rule_learns_has_its_own_learning_rate() -> None:
    network, rule = Heads(), Learned()
    loss = terms(trainer(network, rule, iterations=1))["loss_mask"].item()
    # d/ds (exp(-s) L + s / 2) at 0, times the rate 0.5
    assert rule.log_variance.item() == pytest.approx(-0.5 * (0.5 - loss), rel=1e-5)


def test_only_the_field_of_view_counts() -> None:
    fov = torch.zeros(2, 1, 8, 8)
    fov[..., :4] = 255
    inside = batch(fov=fov / 255)
    spoilt = {**inside, "label": inside["label"].clone(), "distance": inside["distance"].clone()}
    spoilt["label"][..., 4:], spoilt["distance"][..., 4:] = 1, 99.0
    network = Heads()
    expected = ((network(inside["image"])["distance"] - inside["distance"])[..., :4] ** 2).mean().item()
    found = [terms(trainer(Heads(), Ratio(), 1, train_data_loader=[data])) for data in (inside, spoilt)]
    assert found[0]["loss_distance"].item() == pytest.approx(expected, rel=1e-5)
    for name in ("loss", "loss_mask", "loss_distance"):
        assert found[0][name].item() == found[1][name].item()
    whole = terms(trainer(Heads(), Ratio(), 1, train_data_loader=[batch()]))
    assert whole["loss_mask"].item() != found[0]["loss_mask"].item()


def test_all_of_the_image_counts_where_the_field_of_view_is_no_bound() -> None:
    half = torch.zeros(2, 1, 8, 8)
    half[..., :4] = 1
    found = [
        terms(trainer(Heads(), Ratio(), 1, train_data_loader=[data], inside_field=False))["loss_mask"].item()
        for data in (batch(), batch(fov=half))
    ]
    assert found[0] == found[1]


def test_a_batch_outside_the_field_of_view_teaches_nothing() -> None:
    network = Heads()
    before = [value.clone() for value in network.parameters()]
    found = terms(trainer(network, Ratio(), 1, train_data_loader=[batch(fov=torch.zeros(2, 1, 8, 8))]))
    assert found["loss"].item() == 0.0
    assert all(torch.equal(value, old) for value, old in zip(network.parameters(), before, strict=True))


def test_the_mask_head_alone_trains_without_the_others_targets() -> None:
    class Alone(Ratio):
        def forward(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
            return losses["mask"]

    data = {name: value for name, value in batch().items() if name != "distance"}
    run = trainer(Heads(), Alone(), 30, train_data_loader=[data] * 30, losses={"mask": MaskedCrossEntropy()})
    first = F.binary_cross_entropy_with_logits(Heads()(data["image"])["mask"], data["label"]).item() * 2
    found = terms(run)
    assert "loss_distance" not in found
    assert found["loss"].item() < 0.9 * first


def test_a_head_may_be_compared_with_a_target_of_another_name() -> None:
    data = {**batch(), "vessels": batch()["label"]}
    run = trainer(Heads(), Ratio(), 1, train_data_loader=[data], targets={"mask": "vessels", "distance": "label"})
    network = Heads()
    expected = ((network(data["image"])["distance"] - data["label"]) ** 2).mean().item()
    assert terms(run)["loss_distance"].item() == pytest.approx(expected, rel=1e-5)


def test_a_missing_target_is_an_error() -> None:
    data = {name: value for name, value in batch().items() if name != "distance"}
    with pytest.raises(KeyError, match="distance"):
        trainer(Heads(), Ratio(), 1, train_data_loader=[data]).run()


@pytest.mark.parametrize("changed", [{"precision": "bf16"}, {"max_gradient_norm": 0.01}, {"channels_last": True}])
def test_options_train_to_finite_weights(changed: dict[str, Any]) -> None:
    network = Heads(norm=True)
    found = terms(trainer(network, Learned(), **changed))
    assert all(torch.isfinite(value).all() for value in network.parameters())
    assert found["loss"].dtype == torch.float32
    assert ("gradient_norm" in found) == ("max_gradient_norm" in changed)


def test_a_loss_that_is_no_number_stops_the_training_before_the_step() -> None:
    network = Heads()
    before = [value.clone() for value in network.parameters()]
    with pytest.raises(InputError, match="the loss is nan at iteration 1"):
        trainer(network, Ratio(), train_data_loader=[batch(image=torch.full((2, 1, 8, 8), float("nan")))]).run()
    assert all(torch.equal(value, old) for value, old in zip(network.parameters(), before, strict=True))


def test_there_must_be_something_to_learn() -> None:
    with pytest.raises(ValueError, match="losses must have at least one head"):
        trainer(Heads(), Ratio(), losses={})


class SampleMean(nn.Module):
    """A mean over samples of equal size, which parts of a batch add up to."""

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(input, target)


def of_four(**more: Any) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)
    label = (torch.rand(4, 1, 8, 8, generator=generator) > 0.7).float()
    image = torch.randn(4, 1, 8, 8, generator=generator) + 3 * label
    return {"image": image, "label": label, "distance": 1 - label, "case_id": list("abcd"), **more}


@pytest.mark.parametrize("parts", [2, 3, 4, 9])
def test_a_batch_in_parts_is_one_step_of_the_whole_batch(parts: int) -> None:
    """Without batch norm; of 4 samples 3 parts have 1, 1 and 2, and 9 parts are 4."""
    found = []
    for accumulation in (1, parts):
        network, rule = Heads(), Learned()
        more: dict[str, Any] = {"losses": {"mask": SampleMean(), "distance": nn.MSELoss()}, "max_gradient_norm": 0.1}
        run = trainer(network, rule, 3, train_data_loader=[of_four()] * 3, accumulation=accumulation, **more)
        found.append((terms(run), {**dict(network.named_parameters()), "rule": rule.log_variance}))
    (whole, weights), (told, others) = found
    assert told.keys() == whole.keys()
    for name in whole:
        assert float(told[name]) == pytest.approx(float(whole[name]), rel=1e-4), name
    for name, value in weights.items():
        assert torch.allclose(others[name], value, rtol=1e-4, atol=1e-6), name


def test_parts_are_given_to_the_network_one_by_one() -> None:
    seen: list[int] = []
    network = Heads()
    network.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    trainer(network, Ratio(), 2, train_data_loader=[of_four()] * 2, accumulation=2).run()
    assert seen == [2, 2, 2, 2]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_training_in_parts_goes_on_bit_for_bit(accumulation: int) -> None:
    def run(network: nn.Module, iterations: int) -> MultiTaskTrainer:
        rule = Ratio()
        return trainer(network, rule, iterations, train_data_loader=[of_four()] * 9, accumulation=accumulation)

    straight, first, second = (Heads(dropout=0.3) for _ in range(3))
    run(straight, 6).run()
    began = run(first, 4)
    began.run()
    second.load_state_dict(first.state_dict())
    again = run(second, 6)
    again.combination.load_state_dict(began.combination.state_dict())
    again.optimizer.load_state_dict(began.optimizer.state_dict())
    again.state.iteration, again.state.epoch = 4, 2
    again.run()
    for name, value in straight.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name


def test_a_batch_has_at_least_one_part() -> None:
    with pytest.raises(ValueError, match="accumulation must be at least 1, got 0"):
        trainer(Heads(), Ratio(), accumulation=0)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_head_may_tell_something_of_the_image_as_a_whole(accumulation: int) -> None:
    class Presence(Heads):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            output = super().forward(x)
            return {**output, "presence": output["mask"].flatten(2).amax(dim=2)}

    data = of_four(presence=torch.ones(4, 1))
    losses = {"mask": SampleMean(), "distance": nn.MSELoss(), "presence": SampleMean()}
    more: dict[str, Any] = {"channels_last": True, "losses": losses, "accumulation": accumulation}
    found = terms(trainer(Presence(), Ratio(), 1, train_data_loader=[data], **more))
    expected = F.binary_cross_entropy_with_logits(Presence()(data["image"])["presence"], data["presence"]).item()
    assert float(found["loss_presence"]) == pytest.approx(expected, rel=1e-5)

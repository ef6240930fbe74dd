from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from networks.layers.data_parameters import DataParameters
from networks.losses import ClassWeightedLoss, DataParameterLoss, TemperatureLoss
from pipelines.engines import DataParameterTrainer
from pipelines.engines.data_parameter_trainer import MODES
from transforms.io.input_error import InputError

INSTANCES = 6


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    """Images whose bright half is the structure; the labels of the last two instances are moved."""
    generator = torch.Generator().manual_seed(0)
    label = torch.zeros(INSTANCES, 1, 16, 16)
    label[:4, :, 4:12, 2:14] = 1
    label[4:, :, 0:4, 2:14] = 1
    truth = torch.zeros(INSTANCES, 1, 16, 16)
    truth[:, :, 4:12, 2:14] = 1
    return truth + 0.3 * torch.randn(truth.shape, generator=generator), label


def batches(count: int, size: int = 3) -> list[dict[str, Any]]:
    image, label = samples()
    generator = torch.Generator().manual_seed(1)
    found = []
    for _ in range(count):
        index = torch.randperm(INSTANCES, generator=generator)[:size]
        found.append({"image": image[index], "label": label[index], "instance_index": index, "case_id": ["x"] * size})
    return found


def small(dropout: float = 0.2) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(dropout), nn.Conv2d(4, 2, 1)
    )


def trainer(network: nn.Module, mode: str = "out-of-line", iterations: int = 4, **changed: Any) -> DataParameterTrainer:
    parameters = DataParameters(INSTANCES)
    settings: dict[str, Any] = {
        "device": torch.device("cpu"),
        "max_epochs": 1,
        "epoch_length": iterations,
        "iterations": iterations,
        "train_data_loader": batches(iterations),
        "network": network,
        "optimizer": torch.optim.AdamW(network.parameters(), lr=0.02),
        "data_parameters": parameters,
        "parameter_optimizer": torch.optim.SparseAdam(list(parameters.parameters()), lr=0.1, betas=(0.9, 0.999)),
        "mode": mode,
    }
    return DataParameterTrainer(**{**settings, **changed})


def weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([value.detach().flatten() for value in network.state_dict().values()])


def values(run: DataParameterTrainer) -> torch.Tensor:
    assert run.data_parameters is not None
    return run.data_parameters.values.clone()


@pytest.mark.parametrize("mode", ["out-of-line", "in-line", "temperature"])
def test_parameters_come_to_tell_moved_labels(mode: str) -> None:
    run = trainer(small(), mode, iterations=40)
    run.run()
    trust = -values(run) if mode == "temperature" else values(run)
    assert trust[:4].min() > trust[4:].max()


def test_out_of_line_the_network_learns_as_if_there_were_no_parameters() -> None:
    networks = [small(), small()]
    for network, mode in zip(networks, ("out-of-line", "none"), strict=True):
        trainer(network, mode, iterations=6).run()
    # Running statistics too: the second pass leaves them alone.
    assert torch.equal(weights(networks[0]), weights(networks[1]))


def test_without_parameters_none_moves() -> None:
    run = trainer(small(), "none")
    run.run()
    assert not values(run).any()
    alone = trainer(small(), "none", data_parameters=None, parameter_optimizer=None)
    alone.run()
    assert torch.equal(weights(alone.network), weights(run.network))


def test_the_second_pass_by_hand() -> None:
    """One step of the data parameters, by SparseAdam's formula, from the gradient at the network after its step."""
    network = small(dropout=0.0)
    (batch,) = batches(1)
    run = trainer(network, iterations=1, train_data_loader=[batch])
    run.run()
    network.train()  # standardised by the batch
    with torch.no_grad():
        logits = network(batch["image"])
    parameters = torch.zeros(3, requires_grad=True)
    loss = DataParameterLoss()(logits, batch["label"], parameters)
    (gradient,) = torch.autograd.grad(loss, parameters)
    expected = torch.zeros(INSTANCES)
    expected[batch["instance_index"]] = -0.1 * gradient / (gradient.abs() + 1e-8)  # Adam's first step
    assert torch.allclose(values(run), expected, atol=1e-4)
    terms: Any = run.state.output
    assert terms["loss_parameters"].item() == pytest.approx(loss.item(), rel=1e-4)


def test_in_line_both_descend_the_same_loss() -> None:
    network = small(dropout=0.0)
    (batch,) = batches(1)
    run = trainer(network, "in-line", iterations=1, train_data_loader=[batch])
    expected = DataParameterLoss()(small(dropout=0.0).train()(batch["image"]), batch["label"], torch.zeros(3))
    run.run()
    terms: Any = run.state.output
    assert terms["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert "loss_parameters" not in terms
    touched = torch.zeros(INSTANCES, dtype=torch.bool)
    touched[batch["instance_index"]] = True
    assert torch.equal(values(run) != 0, touched)


def test_temperatures_of_classes_are_learnt_too() -> None:
    parameters, classes = DataParameters(INSTANCES, -0.693), DataParameters(2, -0.693)
    optimizer = torch.optim.SparseAdam([*parameters.parameters(), *classes.parameters()], lr=0.1)
    run = trainer(
        small(),
        "temperature",
        data_parameters=parameters,
        class_parameters=classes,
        parameter_optimizer=optimizer,
        temperature_loss=TemperatureLoss(0.01),
        parameter_limit=0.8,
    )
    run.run()
    assert (classes.values != -0.693).all()
    assert max(classes.values.abs().max(), parameters.values.abs().max()) <= 0.8


def test_class_weights_are_the_networks_alone() -> None:
    network = small(dropout=0.0)
    (batch,) = batches(1)
    loss = ClassWeightedLoss([0.5, 1.5])
    expected = loss(small(dropout=0.0).train()(batch["image"]), batch["label"])
    run = trainer(network, iterations=1, train_data_loader=[batch], network_loss=loss)
    run.run()
    terms: Any = run.state.output
    assert terms["loss"].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "changed", [{"precision": "bf16"}, {"precision": "fp16"}, {"max_gradient_norm": 0.1, "channels_last": True}]
)
def test_options_train_to_finite_numbers(mode: str, changed: dict[str, Any]) -> None:
    run = trainer(small(), mode, **changed)
    run.run()
    assert torch.isfinite(weights(run.network)).all()
    assert torch.isfinite(values(run)).all()
    assert ("gradient_norm" in run.state.output) == ("max_gradient_norm" in changed)


def test_the_same_seed_gives_the_same_whatever_was_drawn_before() -> None:
    found = []
    for disturbance in (0, 5):
        network = small()
        torch.rand(disturbance)
        run = trainer(network, seed=3)
        run.run()
        found.append(torch.cat([weights(network), values(run)]))
    assert torch.equal(*found)


def test_a_loss_that_is_no_number_stops_before_any_step() -> None:
    network = small()
    before = weights(network)[: 4 * 9]
    broken = [{**batches(1)[0], "image": torch.full((3, 1, 16, 16), float("nan"))}]
    run = trainer(network, iterations=1, train_data_loader=broken)
    with pytest.raises(InputError, match="the loss is nan at iteration 1"):
        run.run()
    assert torch.equal(weights(network)[: 4 * 9], before)
    assert not values(run).any()


def test_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="mode must be one of out-of-line, in-line, temperature, none, got inline"):
        trainer(small(), "inline")
    with pytest.raises(ValueError, match="mode in-line needs data_parameters"):
        trainer(small(), "in-line", data_parameters=None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="--nproc_per_node: data parameters are learnt by one process"):
        trainer(small())

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from networks.losses import DualTaskConsistencyLoss, LevelSetLoss, MaskLoss, TeacherConsistencyLoss
from networks.nets import DualTaskVNet
from networks.nets.dual_task_vnet import DualTaskOutput
from pipelines.engines import DualTaskTrainer
from pipelines.engines.consistencies import HeadsAgree, TeacherAgrees
from transforms.io.input_error import InputError


def batch(dims: int = 2, labeled: int = 2, unlabeled: int = 2) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    size = (16,) * dims
    label = torch.zeros(labeled, 1, *size)
    label[:, :, 4:12] = 1
    image = torch.randn(labeled + unlabeled, 1, *size, generator=generator)
    image[:labeled] += 3 * label  # there is something to learn
    return {
        "image": image,
        "label": label,
        "sdf": 0.5 - label,
        "case_id": [str(number) for number in range(labeled + unlabeled)],
    }


def trainer(network: nn.Module, iterations: int = 3, **changed: Any) -> DualTaskTrainer:
    settings: dict[str, Any] = {
        "device": torch.device("cpu"),
        "max_epochs": 2,
        "epoch_length": 2,
        "iterations": iterations,
        "train_data_loader": [batch()] * 4,
        "network": network,
        "optimizer": torch.optim.SGD(network.parameters(), lr=0.05),
        "mask_loss": MaskLoss(),
        "level_set_loss": LevelSetLoss(),
        "consistency": HeadsAgree(DualTaskConsistencyLoss(k=10.0)),
    }
    return DualTaskTrainer(**{**settings, **changed})


def small(**changed: Any) -> DualTaskVNet:
    torch.manual_seed(0)
    return DualTaskVNet(**{"spatial_dims": 2, "in_channels": 1, "out_channels": 1, "filters": 2, **changed})


def test_the_loss_is_the_published_sum() -> None:
    seen = trainer(small(), iterations=1, level_set_weight=0.3, consistency_weight=2.0, ramp=lambda step, total: 0.5)
    seen.run()
    terms: Any = seen.state.output
    assert terms["consistency_weight"] == 1.0
    expected = terms["loss_mask"] + 0.3 * terms["loss_level_set"] + terms["loss_consistency"]
    assert terms["loss"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_supervised_terms_see_the_labelled_samples_alone() -> None:
    network = small(dropout=0.0, norm=None)
    alone = trainer(network, iterations=1, consistency=None, train_data_loader=[batch(unlabeled=0)])
    alone.run()
    both = trainer(small(dropout=0.0, norm=None), iterations=1, consistency=None)
    # the first two images are the same in both batches
    both.data_loader = [{**batch(), "image": torch.cat([batch(unlabeled=0)["image"], torch.randn(2, 1, 16, 16)])}] * 4
    both.run()
    assert alone.state.output["loss"].item() == pytest.approx(both.state.output["loss"].item(), rel=1e-5)


def test_separate_streams_keep_unlabelled_scans_out_of_the_labelled_statistics() -> None:
    def mask_loss(separate: bool, brightness: float) -> float:
        images = torch.cat([batch(unlabeled=0)["image"], brightness + torch.randn(2, 1, 16, 16)])
        run = trainer(small(dropout=0.0), iterations=1, separate_streams=separate)
        run.data_loader = [{**batch(), "image": images}] * 4
        run.run()
        terms: Any = run.state.output
        return float(terms["loss_mask"].item())

    alone = trainer(small(dropout=0.0), iterations=1, train_data_loader=[batch(unlabeled=0)])
    alone.run()
    expected: Any = alone.state.output
    assert mask_loss(True, 0.0) == mask_loss(True, 9.0) == pytest.approx(expected["loss_mask"].item(), rel=1e-6)
    assert abs(mask_loss(False, 0.0) - mask_loss(False, 9.0)) > 1e-3


def test_a_teacher_sees_the_plain_images_and_the_student_the_others() -> None:
    seen: list[tuple[torch.Tensor, int]] = []

    def consistency(output: DualTaskOutput, image: torch.Tensor, labeled: int) -> torch.Tensor:
        seen.append((image, labeled))
        return output.mask.mean()

    plain = torch.randn(4, 1, 16, 16)
    losses = []
    for data in (batch(), {**batch(), "plain": plain}):
        run = trainer(small(), iterations=1, consistency=consistency, train_data_loader=[data])
        run.run()
        terms: Any = run.state.output
        losses.append(terms["loss"].item())
    assert torch.equal(seen[0][0], batch()["image"])
    assert torch.equal(seen[1][0], plain)
    assert [labeled for _, labeled in seen] == [2, 2]
    assert losses[0] == losses[1]


def test_a_single_value_for_batch_norm_is_refused_in_words() -> None:
    alone = batch(labeled=1, unlabeled=0)
    with pytest.raises(InputError, match="^batch_size: one sample is one voxel"):
        trainer(small(), iterations=1, train_data_loader=[alone]).run()


def test_separate_streams_give_what_one_pass_gives_where_no_statistics_are_shared() -> None:
    losses = []
    for separate in (False, True):
        run = trainer(small(dropout=0.0, norm=("group", {"num_groups": 2})), iterations=1, separate_streams=separate)
        run.run()
        terms: Any = run.state.output
        losses.append(terms["loss"].item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_training_stops_at_the_last_iteration_and_lowers_the_loss() -> None:
    losses: list[float] = []
    run = trainer(small(norm=("group", {"num_groups": 2}), dropout=0.0), iterations=30, max_epochs=15)
    run.data_loader = [batch()] * 30
    from ignite.engine import Events

    run.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: losses.append(float(engine.state.output["loss"])))
    run.run()
    assert run.state.iteration == len(losses) == 30
    assert losses[-1] < 0.9 * losses[0]


def test_the_same_seed_gives_the_same_weights_whatever_was_drawn_before() -> None:
    weights = []
    for disturbance in (0, 5):
        network = small()
        torch.rand(disturbance)
        trainer(network, seed=3).run()
        weights.append(torch.cat([value.flatten() for value in network.parameters()]))
    assert torch.equal(*weights)


@pytest.mark.parametrize(
    "changed",
    [
        {"precision": "bf16"},
        {"max_gradient_norm": 0.1},
        {"channels_last": True},
        {"level_set_loss": None, "consistency": None},
        {"consistency": "teacher"},
    ],
)
def test_options_train_to_finite_weights(changed: dict[str, Any]) -> None:
    network = small(deep_supervision=True, checkpointing=True)
    if changed.get("consistency") == "teacher":
        changed = {"consistency": TeacherAgrees(small().eval(), TeacherConsistencyLoss())}
    run = trainer(network, **changed)
    run.run()
    assert all(torch.isfinite(value).all() for value in network.parameters())
    if "max_gradient_norm" in changed:
        assert "gradient_norm" in run.state.output


def test_a_volume_trains_too() -> None:
    network = small(spatial_dims=3)
    run = trainer(network, iterations=1, channels_last=True, train_data_loader=[batch(dims=3)])
    run.run()
    assert run.state.iteration == 1


def test_a_loss_that_is_no_number_stops_the_training_before_the_step() -> None:
    network = small()
    before = [value.clone() for value in network.parameters()]
    broken = {**batch(), "image": torch.full((4, 1, 16, 16), float("nan"))}
    with pytest.raises(InputError, match="the loss is nan at iteration 1"):
        trainer(network, train_data_loader=[broken]).run()
    assert all(torch.equal(value, old) for value, old in zip(network.parameters(), before, strict=True))


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="precision must be one of"):
        trainer(small(), precision="int8")


def test_deep_supervision_wants_patches_that_need_no_padding() -> None:
    odd = {name: value[..., :12] if isinstance(value, torch.Tensor) else value for name, value in batch().items()}
    with pytest.raises(InputError, match="multiples of 16"):
        trainer(small(deep_supervision=True), train_data_loader=[odd]).run()

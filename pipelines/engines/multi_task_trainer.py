"""Training one network with several heads at once: each head has its loss, and a rule adds the losses up."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from pipelines.data.seeds import derive_seed
from pipelines.engines.resumable_trainer import DROPOUT_STREAM, ResumableTrainer, refuse_single_values
from pipelines.keys import Keys

# The masks of a head of this name are the labels; any other head is compared with what has the head's own name.
TARGETS = {"mask": Keys.LABEL.value}


class MultiTaskTrainer(ResumableTrainer):
    """Train a network whose heads have names.

    One iteration minimises ``combination({name: losses[name](output[name], target of name)})``: with learned
    uncertainties (Kendall et al., CVPR 2018), with the ratio of the last epoch's losses, with fixed weights, or of one
    head alone. What the combination learns is trained by the same optimizer, best in a parameter group with a learning
    rate of its own; what it gathers over an epoch is closed at the epoch's last iteration, before a checkpoint is
    written, so that a resumed run weights as one that was not interrupted.

    All randomness of an iteration (dropout) is seeded from the seed and the iteration's number.

    A batch that is too large for the memory is computed in ``accumulation`` parts, whose gradients add up to one step:
    the loss is the mean over the parts, each counting by its samples. That is the loss of the whole batch where it is
    a mean over samples of equal size; sums that a loss pools over a batch (Dice, weights of classes) and the
    statistics of batch norm are those of the parts. An iteration is a batch still, so nothing else changes.

    Args:
        device: where to compute.
        max_epochs: number of epochs.
        epoch_length: iterations in an epoch; the combination's ``end_epoch`` is called at the end of each.
        iterations: when to stop; at most ``max_epochs * epoch_length``.
        train_data_loader: gives batches with ``image`` (B, C, ...), the heads' targets, and perhaps the field of view,
            ``fov`` (B, 1, ...).
        network: gives a dictionary of tensors by head, at least those of ``losses``.
        optimizer: of the parameters of ``network`` and ``combination``.
        losses: by head; each of (prediction, target), and of (prediction, target, mask) where its ``forward`` has a
            parameter ``mask``. One without is given the values within the field of view alone, (N,) each.
        combination: adds up the losses; on ``device``.
        targets: key of the batch that a head is compared with; by default ``label`` for ``mask`` and the head's own
            name for every other.
        precision: ``float32``, ``bf16`` or ``fp16`` (the losses are computed in float32 always).
        max_gradient_norm: gradients of the network are scaled down to this norm; None for no limit.
        channels_last: keep tensors channels-last in memory, which convolutions on CPUs and tensor cores like better.
        seed: the user's seed.
        inside_field: where a batch has a field of view, learn from what lies inside alone. What such a network says of
            the rest of an image is anything.
        accumulation: parts that a batch is computed in, one after the other.
        train_handlers: MONAI / Ignite handlers.

    Raises:
        InputError: in training, when the loss is no longer a finite number, or batch norm has a single value.
        KeyError: in training, when a batch lacks a target, or the network a head.
        ValueError: for no loss at all, an ``accumulation`` below 1, or an unknown ``precision``.
    """

    def __init__(
        self,
        device: torch.device,
        max_epochs: int,
        epoch_length: int,
        iterations: int,
        train_data_loader: Iterable[Any],
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        losses: Mapping[str, nn.Module],
        combination: nn.Module,
        targets: Mapping[str, str] | None = None,
        precision: str = "float32",
        max_gradient_norm: float | None = None,
        channels_last: bool = False,
        seed: int = 0,
        inside_field: bool = True,
        accumulation: int = 1,
        train_handlers: Sequence[Any] | None = None,
    ) -> None:
        if not losses:
            raise ValueError("losses must have at least one head.")
        if accumulation < 1:
            raise ValueError(f"accumulation must be at least 1, got {accumulation}.")
        super().__init__(
            device, max_epochs, epoch_length, iterations, train_data_loader, precision, channels_last, train_handlers
        )
        self.network = network
        self.optimizer = optimizer
        self.losses = {name: loss.to(device) for name, loss in losses.items()}
        self.combination = combination
        self.targets = {name: (TARGETS if targets is None else targets).get(name, name) for name in losses}
        self.takes_mask = {name: "mask" in inspect.signature(loss.forward).parameters for name, loss in losses.items()}
        self.max_gradient_norm = max_gradient_norm
        self.seed = seed
        self.inside_field = inside_field
        self.accumulation = accumulation

    def _iteration(self, engine: MultiTaskTrainer, batchdata: dict[str, Any]) -> dict[str, Any]:
        iteration = engine.state.iteration - 1
        torch.manual_seed(derive_seed(self.seed, DROPOUT_STREAM, iteration, engine.state.rank))
        self.network.train()
        self.combination.train()
        self.optimizer.zero_grad(set_to_none=True)
        terms: dict[str, Any] = {}
        for part, share in _parts(batchdata, self.accumulation):
            for name, value in self._backward(part, share).items():
                terms[name] = terms[name] + value if name in terms else value
        terms |= self._told_weights()
        if self.max_gradient_norm is not None:
            self.gradient_scaler.unscale_(self.optimizer)
            terms["gradient_norm"] = nn.utils.clip_grad_norm_(self.network.parameters(), self.max_gradient_norm)
        self.gradient_scaler.step(self.optimizer)
        self.gradient_scaler.update()
        if (iteration + 1) % int(engine.state.epoch_length or self.iterations) == 0:
            self.combination.end_epoch()  # type: ignore[operator]
        return {name: value.detach() if isinstance(value, torch.Tensor) else value for name, value in terms.items()}

    def _backward(self, batchdata: Mapping[str, Any], share: float) -> dict[str, torch.Tensor]:
        """Add the gradients of one part of a batch, and give what it adds to the terms of the iteration."""
        image = self._to_device(batchdata[Keys.IMAGE.value])
        with self._autocast(), refuse_single_values():
            output = self.network(image)
        found = self._losses(output, batchdata)
        loss = self.combination(found)
        self.refuse_non_finite(loss)
        self.gradient_scaler.scale(loss * share).backward()
        told = {"loss": loss, **{f"loss_{name}": value for name, value in found.items()}}
        return {name: value.detach() * share for name, value in told.items()}

    def _losses(self, output: Mapping[str, torch.Tensor], batchdata: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        bounded = self.inside_field and Keys.FOV.value in batchdata
        fov = self._to_device(batchdata[Keys.FOV.value]) if bounded else None
        found = {}
        for name, loss in self.losses.items():
            prediction = output[name].float()
            target = self._to_device(batchdata[self.targets[name]])
            if fov is None:
                found[name] = loss(prediction, target)
            elif self.takes_mask[name]:
                found[name] = loss(prediction, target, fov)
            else:
                inside = (fov > 0).expand_as(prediction)
                # The mean over nothing would be no number.
                found[name] = loss(prediction[inside], target[inside]) if inside.any() else prediction.sum() * 0
        return found

    def _told_weights(self) -> dict[str, float]:
        """What each task counts at this iteration and, where they are learnt, the standard deviations behind it."""
        told = {f"weight_{name}": value for name, value in self.combination.weights().items()}  # type: ignore[operator]
        if hasattr(self.combination, "sigmas"):
            told |= {f"sigma_{name}": value for name, value in self.combination.sigmas().items()}  # type: ignore[operator]
        return told


def _parts(batchdata: Mapping[str, Any], count: int) -> Iterator[tuple[Mapping[str, Any], float]]:
    """Cut the tensors of a batch into ``count`` parts of about equal size; give each with its share of the samples."""
    samples = len(batchdata[Keys.IMAGE.value])
    edges = [number * samples // count for number in range(count + 1)]
    for first, end in zip(edges[:-1], edges[1:], strict=True):
        if end > first:
            cut = {name: value[first:end] for name, value in batchdata.items() if isinstance(value, torch.Tensor)}
            yield cut, (end - first) / samples

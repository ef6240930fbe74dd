"""Training on noisy labels while one parameter per label learns how far it is to be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from networks.layers.batch_statistics import batch_statistics
from networks.layers.data_parameters import DataParameters
from networks.losses.class_weighted import ClassWeightedLoss
from networks.losses.data_parameter import DataParameterLoss
from networks.losses.temperature import TemperatureLoss
from pipelines.data.seeds import derive_seed
from pipelines.engines.distributed import process_count
from pipelines.engines.resumable_trainer import DROPOUT_STREAM, ResumableTrainer, refuse_single_values
from pipelines.keys import Keys
from transforms.io.input_error import InputError

MODES = ("out-of-line", "in-line", "temperature", "none")


class DataParameterTrainer(ResumableTrainer):
    """Train a segmentation network on labels of unknown quality, and their data parameters along with it.

    Modes:

    - ``out-of-line``: the network takes a step on ``network_loss``, in which all labels count alike. Then the batch
      goes through it once more, without gradients and with its batch norms' running statistics left as they are, and
      the data parameters alone take a step on ``parameter_loss``;
    - ``in-line``: one pass; network and data parameters both take a step on ``parameter_loss``;
    - ``temperature``: likewise on ``temperature_loss`` (Saxena et al.), where a high parameter means *little* trust;
    - ``none``: ``network_loss`` alone, the baseline.

    The second pass standardises by the batch, as the first does, and has dropout off: the fit of a label should not
    depend on which features were dropped. All randomness of an iteration is seeded from the seed and the iteration's
    number, so that a run that is interrupted and resumed is the same as one that is not.

    Reference: Weihsbach et al., *DeepSTAPLE: learning to predict multimodal registration quality for unsupervised
    domain adaptation*, WBIR 2022.

    Args:
        device: where to compute.
        max_epochs: number of epochs; an epoch is only a unit for events.
        epoch_length: iterations in an epoch.
        iterations: when to stop; at most ``max_epochs * epoch_length``.
        train_data_loader: gives batches as :func:`pipelines.data.rater_dataset.collate_instances` makes them.
        network: from images (B, C, H, W[, D]) to logits (B, K + 1, H, W[, D]), the background's first.
        optimizer: of the network's parameters.
        data_parameters: one per training instance; None in mode ``none``.
        parameter_optimizer: of the data parameters (those of the classes too); takes sparse gradients.
        mode: as above.
        network_loss: of logits and labels.
        parameter_loss: of logits, labels and the batch's data parameters.
        temperature_loss: likewise, and with the parameters of the classes.
        class_parameters: one per class, in mode ``temperature``; None for none.
        parameter_limit: data parameters are held within plus and minus this; None for no limit, as published.
        precision: ``float32``, ``bf16`` or ``fp16`` (the losses are computed in float32 always).
        max_gradient_norm: the network's gradients are scaled down to this norm; None for no limit.
        channels_last: keep tensors channels-last in memory.
        seed: the user's seed.
        train_handlers: MONAI / Ignite handlers.

    Raises:
        InputError: for several processes; in training, when the loss is no longer a finite number.
        ValueError: for an unknown ``mode`` or ``precision``, or a mode without the parameters that it learns.
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
        data_parameters: DataParameters | None = None,
        parameter_optimizer: torch.optim.Optimizer | None = None,
        mode: str = "out-of-line",
        network_loss: nn.Module | None = None,
        parameter_loss: nn.Module | None = None,
        temperature_loss: nn.Module | None = None,
        class_parameters: DataParameters | None = None,
        parameter_limit: float | None = None,
        precision: str = "float32",
        max_gradient_norm: float | None = None,
        channels_last: bool = False,
        seed: int = 0,
        train_handlers: Sequence[Any] | None = None,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode}.")
        if mode != "none" and (data_parameters is None or parameter_optimizer is None):
            raise ValueError(f"mode {mode} needs data_parameters and parameter_optimizer.")
        if process_count() > 1:
            raise InputError("--nproc_per_node", "data parameters are learnt by one process; start it without torchrun")
        super().__init__(
            device, max_epochs, epoch_length, iterations, train_data_loader, precision, channels_last, train_handlers
        )
        self.network = network
        self.optimizer = optimizer
        self.data_parameters = data_parameters
        self.parameter_optimizer = parameter_optimizer
        self.mode = mode
        self.network_loss = (network_loss or ClassWeightedLoss()).to(device)
        self.parameter_loss = (parameter_loss or DataParameterLoss()).to(device)
        self.temperature_loss = (temperature_loss or TemperatureLoss()).to(device)
        self.class_parameters = class_parameters
        self.parameter_limit = parameter_limit
        self.max_gradient_norm = max_gradient_norm
        self.seed = seed

    def _iteration(self, engine: DataParameterTrainer, batchdata: dict[str, Any]) -> dict[str, Any]:
        torch.manual_seed(derive_seed(self.seed, DROPOUT_STREAM, engine.state.iteration - 1, 0))
        self.network.train()
        image = self._to_device(batchdata[Keys.IMAGE.value])
        label = self._to_device(batchdata[Keys.LABEL.value])
        index = batchdata[Keys.INSTANCE_INDEX.value].to(self.state.device)
        is_joint = self.mode in ("in-line", "temperature")

        self.optimizer.zero_grad(set_to_none=True)
        if self.parameter_optimizer is not None:
            self.parameter_optimizer.zero_grad(set_to_none=True)
        with self._autocast(), refuse_single_values():
            logits = self.network(image)
        loss = self._joint_loss(logits, label, index) if is_joint else self.network_loss(logits, label)
        self.refuse_non_finite(loss)
        self.gradient_scaler.scale(loss).backward()
        terms = {"loss": loss.detach()}
        if self.max_gradient_norm is not None:
            self.gradient_scaler.unscale_(self.optimizer)
            terms["gradient_norm"] = nn.utils.clip_grad_norm_(self.network.parameters(), self.max_gradient_norm)
        self.gradient_scaler.step(self.optimizer)
        if is_joint and self.parameter_optimizer is not None:
            self.gradient_scaler.step(self.parameter_optimizer)
        self.gradient_scaler.update()
        if self.mode == "out-of-line":
            terms["loss_parameters"] = self._second_pass(image, label, index)
        self._hold_parameters()
        return terms

    def _joint_loss(self, logits: torch.Tensor, label: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """The loss of network and data parameters together."""
        parameters = self._parameters(index)
        loss: torch.Tensor
        if self.mode == "in-line":
            loss = self.parameter_loss(logits, label, parameters)
        else:
            of_classes = None
            if self.class_parameters is not None:
                of_classes = self.class_parameters(torch.arange(logits.shape[1], device=logits.device))
            loss = self.temperature_loss(logits, label, parameters, of_classes)
        return loss

    def _second_pass(self, image: torch.Tensor, label: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Let the data parameters take a step on what the network, after its own, makes of the batch."""
        if self.parameter_optimizer is None:
            raise ValueError("there is no parameter_optimizer.")
        self.network.eval()
        # The network is frozen: with respect to the data parameters its logits are constants.
        with torch.no_grad(), batch_statistics(self.network), self._autocast():
            logits = self.network(image)
        loss: torch.Tensor = self.parameter_loss(logits.float(), label, self._parameters(index))
        self.refuse_non_finite(loss.detach())
        loss.backward()
        self.parameter_optimizer.step()
        return loss.detach()

    def _parameters(self, index: torch.Tensor) -> torch.Tensor:
        if self.data_parameters is None:
            raise ValueError("there are no data_parameters.")
        parameters: torch.Tensor = self.data_parameters(index)
        return parameters

    def _hold_parameters(self) -> None:
        if self.parameter_limit is not None:
            for parameters in (self.data_parameters, self.class_parameters):
                if parameters is not None:
                    parameters.clamp_(-self.parameter_limit, self.parameter_limit)

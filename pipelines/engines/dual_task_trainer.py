"""Training two heads on labelled scans, and on unlabelled ones by what must agree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from networks.nets.dual_task_vnet import DualTaskOutput
from pipelines.data.seeds import derive_seed
from pipelines.engines.distributed import mean_over_processes
from pipelines.engines.ramps import published_ramp
from pipelines.engines.resumable_trainer import DROPOUT_STREAM, ResumableTrainer, refuse_single_values
from pipelines.keys import Keys
from transforms.io.input_error import InputError

Consistency = Callable[[DualTaskOutput, torch.Tensor, int], torch.Tensor]


class DualTaskTrainer(ResumableTrainer):
    """Train a dual-task network on batches of labelled and unlabelled samples.

    One iteration minimises ``mask_loss + level_set_weight * level_set_loss + weight(t) * consistency``: the first two
    on the labelled samples, which come first in the batch, the last on all or the rest. ``consistency`` is what tells
    the methods apart: the network's two heads (DTC), its teacher (mean teacher) or nothing (supervised).

    All randomness of an iteration (dropout, perturbations) is seeded from the seed and the iteration's number, so a
    run that is interrupted and resumed is the same as one that is not.

    Reference: Luo et al., *Semi-supervised medical image segmentation through dual-task consistency*, AAAI 2021.

    Args:
        device: where to compute.
        max_epochs: number of epochs; an epoch is only a unit for events.
        epoch_length: iterations in an epoch.
        iterations: when to stop; at most ``max_epochs * epoch_length``.
        train_data_loader: gives batches as :func:`pipelines.data.drawn_dataset.collate_two_streams` makes them.
        network: gives a :class:`networks.nets.dual_task_vnet.DualTaskOutput`.
        optimizer: of the network's parameters.
        mask_loss: of mask logits (L, K, ...) and labels (L, 1, ...).
        level_set_loss: of level sets (L, K, ...) and signed distance maps (L, K, ...); None trains the mask head alone.
        consistency: of the network's output, the batch's images and the count of labelled samples; None for none. The
            images are the batch's ``plain`` ones where it has them: what is hard for the student is then easy for
            a teacher (Sohn et al., *FixMatch*, NeurIPS 2020).
        level_set_weight: the published beta.
        consistency_weight: the published lambda, reached at the end.
        ramp: how much of ``consistency_weight`` counts, as a function of (iterations passed, ``iterations``).
        precision: ``float32``, ``bf16`` or ``fp16`` (the losses are computed in float32 always).
        max_gradient_norm: gradients are scaled down to this norm; None for no limit.
        channels_last: keep tensors channels-last in memory, which convolutions on CPUs and tensor cores like better.
        separate_streams: pass labelled and unlabelled samples through the network one after the other, each
            standardised by its own batch's statistics; False as in the paper's code, where they share them.
        seed: the user's seed.
        train_handlers: MONAI / Ignite handlers.

    Raises:
        InputError: in training, when the loss is no longer a finite number, or batch norm has a single value.
        ValueError: for an unknown ``precision``.
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
        mask_loss: nn.Module,
        level_set_loss: nn.Module | None,
        consistency: Consistency | None = None,
        level_set_weight: float = 0.3,
        consistency_weight: float = 1.0,
        ramp: Callable[[float, float], float] = published_ramp,
        precision: str = "float32",
        max_gradient_norm: float | None = None,
        channels_last: bool = False,
        separate_streams: bool = False,
        seed: int = 0,
        train_handlers: Sequence[Any] | None = None,
    ) -> None:
        super().__init__(
            device, max_epochs, epoch_length, iterations, train_data_loader, precision, channels_last, train_handlers
        )
        self.network = network
        self.optimizer = optimizer
        self.mask_loss = mask_loss
        self.level_set_loss = level_set_loss
        self.consistency = consistency
        self.level_set_weight = level_set_weight
        self.consistency_weight = consistency_weight
        self.ramp = ramp
        self.max_gradient_norm = max_gradient_norm
        self.separate_streams = separate_streams
        self.seed = seed

    def _iteration(self, engine: DualTaskTrainer, batchdata: dict[str, Any]) -> dict[str, Any]:
        iteration = engine.state.iteration - 1
        torch.manual_seed(derive_seed(self.seed, DROPOUT_STREAM, iteration, engine.state.rank))
        self.network.train()
        image = self._to_device(batchdata[Keys.IMAGE.value])
        label = self._to_device(batchdata[Keys.LABEL.value])
        sdf = self._to_device(batchdata[Keys.SDF.value]) if Keys.SDF.value in batchdata else None

        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast(), refuse_single_values():
            output = self._forward(image, label.shape[0])
            plain = self._to_device(batchdata[Keys.PLAIN.value]) if Keys.PLAIN.value in batchdata else image
            terms = self._losses(output, plain, label, sdf, iteration)
        loss, terms = terms["loss"], mean_over_processes(terms)
        self.refuse_non_finite(terms["loss"])
        self.gradient_scaler.scale(loss).backward()
        if self.max_gradient_norm is not None:
            self.gradient_scaler.unscale_(self.optimizer)
            terms["gradient_norm"] = nn.utils.clip_grad_norm_(self.network.parameters(), self.max_gradient_norm)
        self.gradient_scaler.step(self.optimizer)
        self.gradient_scaler.update()
        return {name: value.detach() if isinstance(value, torch.Tensor) else value for name, value in terms.items()}

    def _forward(self, image: torch.Tensor, labeled: int) -> DualTaskOutput:
        if not self.separate_streams or labeled == len(image):
            together: DualTaskOutput = self.network(image)
            return together
        parts = [self.network(image[:labeled]), self.network(image[labeled:])]
        auxiliary = [torch.cat(level) for level in zip(*(part.auxiliary for part in parts), strict=True)]
        return DualTaskOutput(
            torch.cat([part.mask for part in parts]), torch.cat([part.sdf for part in parts]), auxiliary
        )

    def _losses(
        self,
        output: DualTaskOutput,
        plain: torch.Tensor,
        label: torch.Tensor,
        sdf: torch.Tensor | None,
        iteration: int,
    ) -> dict[str, Any]:
        labeled = label.shape[0]
        terms: dict[str, Any] = {"loss_mask": self._supervised_mask_loss(output, label)}
        loss = terms["loss_mask"]
        if self.level_set_loss is not None:
            terms["loss_level_set"] = self.level_set_loss(output.sdf[:labeled], sdf)
            loss = loss + self.level_set_weight * terms["loss_level_set"]
        if self.consistency is not None:
            weight = self.consistency_weight * self.ramp(iteration, self.iterations)
            terms["loss_consistency"] = self.consistency(output, plain, labeled)
            terms["consistency_weight"] = weight
            loss = loss + weight * terms["loss_consistency"]
        return {"loss": loss, **terms}

    def _supervised_mask_loss(self, output: DualTaskOutput, label: torch.Tensor) -> torch.Tensor:
        """Mask loss of the labelled samples; coarser outputs count half as much per level, and the weights sum to
        one.
        """
        labeled = label.shape[0]
        loss = self.mask_loss(output.mask[:labeled], label)
        total = 1.0
        for level, logits in enumerate(output.auxiliary, start=1):
            if any(coarse * 2**level != fine for coarse, fine in zip(logits.shape[2:], label.shape[2:], strict=True)):
                # The network has padded the patch, and the coarse output would not lie on the label.
                raise InputError(
                    "patch_size", f"must be multiples of 16 for deep supervision, got {list(label.shape[2:])}"
                )
            target = F.interpolate(label.float(), size=logits.shape[2:], mode="nearest")
            loss = loss + 0.5**level * self.mask_loss(logits[:labeled], target)
            total += 0.5**level
        return loss / total

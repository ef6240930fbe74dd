"""Training two heads on labelled scans, and on unlabelled ones by what must agree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines.trainer import Trainer
from torch import nn
from torch.nn import functional as F

from networks.nets.dual_task_vnet import DualTaskOutput
from pipelines.data.seeds import derive_seed
from pipelines.engines.distributed import mean_over_processes
from pipelines.engines.ramps import published_ramp
from pipelines.handlers.norm_recalibration import NormRecalibration
from pipelines.handlers.run_checkpoint import RunCheckpoint
from pipelines.handlers.stop_signals import StopSignals
from pipelines.handlers.validation import Validation
from pipelines.keys import Keys
from transforms.io.input_error import InputError

DROPOUT_STREAM = 3
PRECISIONS = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}

Consistency = Callable[[DualTaskOutput, torch.Tensor, int], torch.Tensor]


class DualTaskTrainer(Trainer):
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
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision}.")
        super().__init__(
            device=device,
            max_epochs=max_epochs,
            data_loader=train_data_loader,
            epoch_length=epoch_length,
            decollate=False,
            handlers=None,
        )
        self.network = network
        self.optimizer = optimizer
        self.mask_loss = mask_loss
        self.level_set_loss = level_set_loss
        self.consistency = consistency
        self.level_set_weight = level_set_weight
        self.consistency_weight = consistency_weight
        self.ramp = ramp
        self.iterations = iterations
        self.max_gradient_norm = max_gradient_norm
        self.autocast_dtype = PRECISIONS[precision]
        self.gradient_scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self.channels_last = channels_last
        self.separate_streams = separate_streams
        self.seed = seed
        self._load: Callable[[Engine], None] = _start_anew
        # The first of all handlers, so that the others find the iteration that the run goes on from.
        self.add_event_handler(Events.STARTED, lambda engine: self._load(engine))
        self.add_event_handler(Events.ITERATION_COMPLETED, _stop_at_last_iteration)
        self._register_handlers(train_handlers or [])

    def keep_in(self, checkpoint: RunCheckpoint, selection: Validation, recalibration: NormRecalibration) -> None:
        """Save the run's state in ``checkpoint``, and the best of ``selection`` too; stop well on signals.

        What is attached here acts after all other handlers, so that what is saved is complete; only the state of an
        interrupted run is loaded before they act.
        """

        def load(engine: Engine) -> None:
            checkpoint.load(engine)
            if engine.state.iteration >= self.iterations or selection.is_exhausted:
                engine.terminate()

        self._load = load
        selection.checkpoint = checkpoint
        recalibration.attach(self)
        checkpoint.attach(self)
        StopSignals(checkpoint, selection).attach(self)

    def run(self) -> None:  # type: ignore[override]
        """Train until ``iterations``, going on from the state that a handler has loaded, if any."""
        # MONAI's Trainer makes a scaler of its own here; ours has to outlive an interruption.
        super(Trainer, self).run()

    def _iteration(self, engine: DualTaskTrainer, batchdata: dict[str, Any]) -> dict[str, Any]:
        iteration = engine.state.iteration - 1
        torch.manual_seed(derive_seed(self.seed, DROPOUT_STREAM, iteration, engine.state.rank))
        self.network.train()
        image = self._to_device(batchdata[Keys.IMAGE.value])
        label = self._to_device(batchdata[Keys.LABEL.value])
        sdf = self._to_device(batchdata[Keys.SDF.value]) if Keys.SDF.value in batchdata else None

        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast(), _refuse_single_values():
            output = self._forward(image, label.shape[0])
            plain = self._to_device(batchdata[Keys.PLAIN.value]) if Keys.PLAIN.value in batchdata else image
            terms = self._losses(output, plain, label, sdf, iteration)
        loss, terms = terms["loss"], mean_over_processes(terms)
        if not torch.isfinite(terms["loss"]):
            raise InputError(
                "training",
                f"the loss is {terms['loss'].item()} at iteration {engine.state.iteration}; lower the learning rate "
                "(--set learning_rate=...) or clip gradients (--set max_gradient_norm=1). What is on disk is sound",
            )
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

    def _to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.to(self.state.device, non_blocking=True)
        if self.channels_last:
            layout = torch.channels_last_3d if tensor.dim() == 5 else torch.channels_last
            tensor = tensor.contiguous(memory_format=layout)
        return tensor

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.autocast_dtype is None:
            return nullcontext()
        return torch.autocast(self.state.device.type, dtype=self.autocast_dtype)


@contextmanager
def _refuse_single_values() -> Iterator[None]:
    """Say in the user's terms that batch norm has but one voxel of one sample to take statistics from."""
    try:
        yield
    except ValueError as fault:
        if "more than 1 value per channel" not in str(fault):
            raise
        raise InputError(
            "patch_size",
            "one sample is one voxel at the network's coarsest level, which batch norm cannot standardise; take larger "
            "patches, more samples per batch, or --set network_def::norm=null --set network_def::bias=true",
        ) from fault


def _start_anew(engine: Engine) -> None:
    """Without a checkpoint there is nothing to go on from."""


def _stop_at_last_iteration(engine: Engine) -> None:
    if engine.state.iteration >= engine.iterations:  # type: ignore[attr-defined]
        engine.terminate()

"""A training loop that stops at an iteration, computes in a chosen precision, and goes on where it was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines.trainer import Trainer

from pipelines.handlers.norm_recalibration import NormRecalibration
from pipelines.handlers.run_checkpoint import RunCheckpoint
from pipelines.handlers.stop_signals import StopSignals
from pipelines.handlers.validation import Validation
from transforms.io.input_error import InputError

DROPOUT_STREAM = 3
PRECISIONS = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class ResumableTrainer(Trainer):
    """What all our trainers share; each adds its own ``_iteration``.

    Args:
        device: where to compute.
        max_epochs: number of epochs; an epoch is only a unit for events.
        epoch_length: iterations in an epoch.
        iterations: when to stop; at most ``max_epochs * epoch_length``.
        train_data_loader: gives batches.
        precision: ``float32``, ``bf16`` or ``fp16``.
        channels_last: keep tensors channels-last in memory, which convolutions on CPUs and tensor cores like better.
        train_handlers: MONAI / Ignite handlers.

    Raises:
        ValueError: for an unknown ``precision``.
    """

    def __init__(
        self,
        device: torch.device,
        max_epochs: int,
        epoch_length: int,
        iterations: int,
        train_data_loader: Iterable[Any],
        precision: str = "float32",
        channels_last: bool = False,
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
        self.iterations = iterations
        self.autocast_dtype = PRECISIONS[precision]
        self.gradient_scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self.channels_last = channels_last
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

    def refuse_non_finite(self, loss: torch.Tensor) -> None:
        """Stop before the step when the loss is no longer a finite number.

        Raises:
            InputError: telling the iteration and what may help.
        """
        if not torch.isfinite(loss):
            raise InputError(
                "training",
                f"the loss is {loss.item()} at iteration {self.state.iteration}; lower the learning rate "
                "(--set learning_rate=...) or clip gradients (--set max_gradient_norm=1). What is on disk is sound",
            )

    def _to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.to(self.state.device, non_blocking=True)
        if self.channels_last and tensor.dim() in (4, 5):  # what is told of an image as a whole has no voxels
            layout = torch.channels_last_3d if tensor.dim() == 5 else torch.channels_last
            tensor = tensor.contiguous(memory_format=layout)
        return tensor

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.autocast_dtype is None:
            return nullcontext()
        return torch.autocast(self.state.device.type, dtype=self.autocast_dtype)


@contextmanager
def refuse_single_values() -> Iterator[None]:
    """Say in the user's terms that batch norm has but one voxel of one sample to take statistics from."""
    try:
        yield
    except ValueError as fault:
        if "more than 1 value per channel" not in str(fault):
            raise
        raise InputError(
            "batch_size",
            "one sample is one voxel at the network's coarsest level, which batch norm cannot standardise; take more "
            "samples at a time, larger patches or slices, or a network without batch norm (network_def::norm=null)",
        ) from fault


def _start_anew(engine: Engine) -> None:
    """Without a checkpoint there is nothing to go on from."""


def _stop_at_last_iteration(engine: Engine) -> None:
    if engine.state.iteration >= engine.iterations:  # type: ignore[attr-defined]
        engine.terminate()

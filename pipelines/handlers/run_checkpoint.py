"""Checkpoints that are whole or not there, and that a run goes on from as if nothing had happened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from ignite.engine import Engine, Events

from transforms.io.atomic import atomic_path
from transforms.io.input_error import InputError


class Stateful(Protocol):
    """Whatever keeps a state that a resumed run needs."""

    def state_dict(self) -> dict[str, Any]:
        """Give the state: tensors, numbers and strings."""
        ...

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Take over a state."""
        ...


class RunCheckpoint:
    """Save the state of a run now and then, and load it again when the run is resumed.

    A checkpoint holds tensors, numbers and strings only, so that it loads with ``weights_only=True``. It is written
    under another name and renamed when it is whole: a process that is killed at any moment leaves the last whole one.

    Args:
        folder: the run's ``checkpoints``.
        parts: what has a state, by name: network, average, optimizer, scheduler, ...
        every: iterations between two checkpoints; one is also written at the end.
        fingerprint: what the run was made from (data, configuration), by name; a run with another one is not resumed.
        resume: go on from ``last.pt`` when it is there.
        sampler: gives the batches; told where to go on.
        is_writer: whether this process writes (the first of several).
    """

    def __init__(
        self,
        folder: str | Path,
        parts: Mapping[str, Stateful],
        every: int,
        fingerprint: Mapping[str, str],
        resume: bool,
        sampler: Any,
        is_writer: bool = True,
    ) -> None:
        self.folder = Path(folder)
        self.parts = dict(parts)
        self.every = every
        self.fingerprint = dict(fingerprint)
        self.resume = resume
        self.sampler = sampler
        self.is_writer = is_writer

    @property
    def last(self) -> Path:
        """The checkpoint that a resumed run goes on from."""
        return self.folder / "last.pt"

    @property
    def best(self) -> Path:
        """The checkpoint with the best score on the validation cases; there is none without such cases."""
        return self.folder / "best.pt"

    def attach(self, engine: Engine) -> None:
        """Save through the run of ``engine``. Attach it after the handlers whose state it saves."""
        engine.add_event_handler(Events.ITERATION_COMPLETED(every=self.every), self.save_last)
        engine.add_event_handler(Events.COMPLETED, self.save_last)

    def save_last(self, engine: Engine) -> None:
        """Write ``last.pt``."""
        self.save(engine, self.last)

    def save(self, engine: Engine, path: Path) -> None:
        """Write the state after the present iteration to ``path``.

        Raises:
            InputError: when it cannot be written, or a weight is not finite; what was there before is kept.
        """
        if not self.is_writer:
            return
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        broken = _non_finite_weight(parts)
        if broken is not None:
            raise InputError(
                path,
                f"not written: {broken} is not finite after iteration {engine.state.iteration}; lower the learning "
                "rate (--set learning_rate=...) or clip gradients (--set max_gradient_norm=1)",
            )
        content = {"iteration": engine.state.iteration, "fingerprint": self.fingerprint, "parts": parts}
        try:
            with atomic_path(path) as temporary:
                torch.save(content, temporary)
        except (OSError, RuntimeError) as fault:
            # torch says "unexpected pos" when the disk is full; the older checkpoint is still there.
            raise InputError(path, f"the checkpoint cannot be written (is the disk full?): {fault}") from fault

    def load(self, engine: Engine) -> None:
        """Go on from ``last.pt``, when asked to. Call it before anything else looks at the state of ``engine``.

        Raises:
            InputError: when the file is broken or belongs to another run.
        """
        if not (self.resume and self.last.exists()):
            return
        if self.is_writer:
            for left in self.folder.glob(".part-*"):  # what a killed process was writing
                left.unlink(missing_ok=True)
        content = read_checkpoint(self.last)
        for name, value in self.fingerprint.items():
            if content["fingerprint"].get(name) != value:
                raise InputError(
                    self.last, f"was made with another {name}; start anew in another folder or with --overwrite"
                )
        for name, part in self.parts.items():
            part.load_state_dict(content["parts"][name])
        iteration = int(content["iteration"])
        engine.state.iteration = iteration
        engine.state.epoch = iteration // (engine.state.epoch_length or iteration)
        self.sampler.start_iteration = iteration


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running any code in it.

    Raises:
        InputError: when it is missing, broken, or holds NaN or infinite weights.
    """
    if not path.is_file():
        raise InputError(path, "there is no such checkpoint")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        parts = content["parts"]
    except Exception as fault:
        raise InputError(path, "is no checkpoint of this project, or is damaged") from fault
    broken = _non_finite_weight(parts)
    if broken is not None:
        raise InputError(path, f"holds NaN or infinite weights ({broken})")
    return dict(content)


def _non_finite_weight(parts: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Name the first weight that is NaN or infinite."""
    for name in ("network", "average"):
        for key, value in parts.get(name, {}).items():
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                return f"{name}.{key}"
    return None

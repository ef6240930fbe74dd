"""A training of a second or two: the smallest cohort, network and schedule that have every part of a real one."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

SETTINGS = {
    "spacing_mm": "[3, 3, 3]",
    "patch_size": "[16, 16, 16]",
    "network_def::filters": "2",
    "iterations": "8",
    "epoch_length": "3",
    "log_every": "2",
    "recalibration_batches": "2",
    "validation_every": "2",
    "workers": "0",
    "overlap": "0.0",
}
PROGRESS = ("checking", "loading", "reading")


@dataclass(frozen=True)
class TinyTraining:
    """A training command with settings that make it a matter of seconds.

    Attributes:
        module: of the command.
        settings: what is set unless a test says otherwise.
        options: given every time.
    """

    module: str
    settings: Mapping[str, str]
    options: Sequence[str] = ()

    def command_line(
        self,
        data: Path | None,
        run: Path,
        *more: str,
        overlays: Sequence[str] = ("quick", "smoke"),
        settings: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Give the arguments of the command; ``settings`` come on top of its own."""
        arguments = [] if data is None else ["--data", str(data)]
        arguments += ["--output", str(run), "--device", "cpu", *self.options, *more]
        arguments += [part for overlay in overlays for part in ("--overlay", overlay)]
        chosen = {**self.settings, **(settings or {})}
        return arguments + [part for name, value in chosen.items() for part in ("--set", f"{name}={value}")]

    def train(self, arguments: Sequence[str], *, conclude: bool = False) -> int:
        """Run the command in this process, without evaluation, report and export unless told to ``conclude``."""
        from pipelines.runs import conclusion

        with quiet(), pytest.MonkeyPatch.context() as patch:
            if not conclude:
                patch.setattr(conclusion, "conclude_run", lambda *arguments: None)
            return int(import_module(self.module).main(list(arguments)))

    def refusal(self, capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> str:
        """Give what is said on standard error, beside how far it is, by a command that must be refused."""
        capsys.readouterr()
        assert self.train(arguments) == 2
        errors = capsys.readouterr().err
        assert "Traceback" not in errors
        lines = [line for line in errors.splitlines() if not line.startswith(PROGRESS)]
        assert len(lines) <= 6, errors
        return "\n".join(lines)


TRAINING = TinyTraining("pipelines.train_dtc", SETTINGS)
command_line, train, refusal = TRAINING.command_line, TRAINING.train, TRAINING.refusal


def make_tiny_cohort(folder: Path, **changes: Any) -> Path:
    """Write 3 labelled, 1 validation, 2 unlabelled and 1 test case of 24 x 24 x 16 voxels, unless told otherwise."""
    from pipelines.data.phantoms import make_cohort

    plan: dict[str, Any] = {"cases": 7, "labeled": 3, "validation": 1, "unlabeled": 2, "test": 1}
    plan |= {"shape": (24, 24, 16), "spacing_mm": [3.0], "seed": 5} | changes
    make_cohort(plan.pop("kind", "atrium"), folder, plan.pop("cases"), **plan)
    return folder


def resumption(run: Path, *more: str) -> list[str]:
    """Give the arguments that go on with a run."""
    return ["--output", str(run), "--device", "cpu", "--resume", *more]


@contextmanager
def quiet() -> Iterator[None]:
    """Let no library's warning be an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def digests(checkpoint: Path) -> dict[str, str]:
    """Give the SHA-256 of every tensor, and the text of every other value, in a checkpoint's ``parts``."""
    import torch

    found: dict[str, str] = {}

    def visit(node: Any, place: str) -> None:
        if isinstance(node, torch.Tensor):
            found[place] = hashlib.sha256(node.contiguous().numpy().tobytes()).hexdigest()
        elif isinstance(node, dict):
            for name, value in node.items():
                visit(value, f"{place}/{name}")
        elif isinstance(node, (list, tuple)):
            for number, value in enumerate(node):
                visit(value, f"{place}/{number}")
        else:
            found[place] = repr(node)

    visit(torch.load(checkpoint, weights_only=True)["parts"], "")
    return found


def rows(run: Path) -> list[dict[str, str]]:
    """Give the rows of ``metrics.csv`` without the seconds."""
    from pipelines.handlers.metrics_log import read_metrics

    return [
        {name: text for name, text in row.items() if name != "seconds"} for row in read_metrics(run / "metrics.csv")
    ]

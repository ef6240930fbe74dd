from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from pipelines.handlers.run_checkpoint import RunCheckpoint, read_checkpoint
from transforms.io.input_error import InputError

FINGERPRINT = {"data": "d", "configuration": "c"}


def train(
    folder: Path, iterations: int, *, resume: bool = False, stop_at: int | None = None, **changed: Any
) -> tuple[nn.Linear, Any]:
    """Run an engine that adds its iteration's number to a weight."""
    network = nn.Linear(1, 1)
    nn.init.zeros_(network.weight)
    sampler = SimpleNamespace(start_iteration=0)
    settings = {"every": 2, "fingerprint": FINGERPRINT, "resume": resume, "sampler": sampler}
    checkpoint = RunCheckpoint(folder, {"network": network}, **{**settings, **changed})

    def iteration(engine: Engine, batch: Any) -> None:
        if engine.state.iteration == stop_at:
            raise InterruptedError
        with torch.no_grad():
            network.weight += engine.state.iteration

    engine = Engine(iteration)
    engine.state.max_epochs, engine.state.epoch_length = 1, iterations
    checkpoint.load(engine)
    checkpoint.attach(engine)
    with contextlib.suppress(InterruptedError):
        engine.run([0] * iterations, max_epochs=1)
    return network, sampler


def test_a_resumed_run_goes_on_from_the_last_whole_checkpoint(tmp_path: Path) -> None:
    straight, _ = train(tmp_path / "straight", 7)
    train(tmp_path / "cut", 7, stop_at=6)  # 5 iterations done, 4 of them saved
    assert read_checkpoint(tmp_path / "cut" / "last.pt")["iteration"] == 4
    resumed, sampler = train(tmp_path / "cut", 7, resume=True)
    assert sampler.start_iteration == 4
    assert resumed.weight.item() == straight.weight.item() == 28
    assert read_checkpoint(tmp_path / "cut" / "last.pt")["iteration"] == 7


def test_resuming_without_a_checkpoint_starts_at_the_beginning(tmp_path: Path) -> None:
    network, sampler = train(tmp_path, 3, resume=True)
    assert (network.weight.item(), sampler.start_iteration) == (6, 0)


@pytest.mark.parametrize("changed", ["data", "configuration"])
def test_another_run_is_not_resumed(tmp_path: Path, changed: str) -> None:
    train(tmp_path, 2)
    with pytest.raises(InputError, match=f"another {changed}"):
        train(tmp_path, 4, resume=True, fingerprint={**FINGERPRINT, changed: "other"})


def test_only_one_of_several_processes_writes(tmp_path: Path) -> None:
    train(tmp_path / "checkpoints", 2, is_writer=False)
    assert not (tmp_path / "checkpoints" / "last.pt").exists()


def test_a_checkpoint_that_cannot_be_written_leaves_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path, 2)
    before = (tmp_path / "last.pt").read_bytes()

    def fail(content: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(InputError, match="cannot be written"):
        train(tmp_path, 4)
    assert (tmp_path / "last.pt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


class Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("touched"),))


@pytest.mark.parametrize("kind", ["missing", "empty", "truncated", "text", "pickle", "nan"])
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train(tmp_path, 2)
    path = tmp_path / "last.pt"
    if kind == "missing":
        path.unlink()
    elif kind == "nan":
        content = torch.load(path, weights_only=True)
        content["parts"]["network"]["weight"].fill_(float("nan"))
        torch.save(content, path)
    elif kind == "pickle":
        torch.save({"parts": Evil()}, path)
    else:
        path.write_bytes({"empty": b"", "text": b"hello", "truncated": path.read_bytes()[:600]}[kind])
    with pytest.raises(InputError, match=r"last\.pt"):
        read_checkpoint(path)
    assert not (tmp_path / "touched").exists()

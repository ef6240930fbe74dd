"""What a training was: its command, versions, data, configuration, time and memory."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import platform
import resource
import subprocess
import sys
import time
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from pipelines.console import NOT_FOR_DIAGNOSIS, say
from pipelines.data.cohort import Cohort
from transforms.io.atomic import write_json_atomic, write_text_atomic
from transforms.io.input_error import InputError

RECORDED_PACKAGES = ("concord-seg", "torch", "monai", "pytorch-ignite", "numpy", "scipy", "nibabel", "SimpleITK", "edt")
# What may change between a run and its continuation without making it another run.
FREE_TO_CHANGE = ("resume", "overwrite", "device", "workers", "bundle_root", "dataset_dir", "output_dir", "rank")
CONFIG_FILE, RUN_FILE, SPLITS_FILE = "config.yaml", "run.json", "splits.json"


class RunRecord:
    """Claim the run folder at the start, describe the run in it, and complete the description at the end.

    Args:
        output_dir: the run folder.
        cohort: what is learnt from.
        seed: the user's seed.
        device: where it is computed.
        resume: go on with what is in the folder.
        overwrite: replace a finished run.
        is_writer: whether this process writes (the first of several).
    """

    def __init__(
        self,
        output_dir: str | Path,
        cohort: Cohort,
        seed: int,
        device: Any,
        resume: bool = False,
        overwrite: bool = False,
        is_writer: bool = True,
    ) -> None:
        self.folder = Path(output_dir)
        self.cohort = cohort
        self.seed = seed
        self.device = device
        self.resume = resume
        self.overwrite = overwrite
        self.is_writer = is_writer
        self.config = _running_configuration()
        self._content: dict[str, Any] = {}
        self._started = time.monotonic()

    @property
    def fingerprint(self) -> dict[str, str]:
        """What makes this run this run: hashes of its data and of its configuration."""
        fixed = {name: value for name, value in self.config.items() if name not in FREE_TO_CHANGE}
        text = json.dumps(fixed, sort_keys=True, default=str)
        return {
            "data": str(self.cohort.fingerprint["hash"]),
            "configuration": hashlib.sha256(text.encode()).hexdigest(),
        }

    def begin(self) -> None:
        """Claim the folder and write what is known at the start.

        Raises:
            InputError: when the folder holds a finished run, or an unfinished one that is neither resumed nor
                overwritten, or one to be resumed that had other data or another configuration.
        """
        if not self.is_writer:
            return
        refuse_taken(self.folder, overwrite=self.overwrite, resume=self.resume)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise InputError(self.folder, f"cannot be made: {fault.strerror}") from fault
        earlier = _read_record(self.folder / RUN_FILE) if self.resume else {}
        self._refuse_another(earlier.get("fingerprint", {}))
        if self.overwrite and not self.resume:
            _clear(self.folder)
        (self.folder / "checkpoints").mkdir(exist_ok=True)
        self._content = {
            "command": earlier.get("command", sys.argv),
            "started": earlier.get("started", _now()),
            "resumed": [*earlier.get("resumed", []), _now()] if earlier else [],
            "finished": None,
            "seed": self.seed,
            "device": str(self.device),
            "machine": {"platform": platform.platform(), "python": platform.python_version(), **_cores()},
            "versions": _versions(),
            "git_revision": _git_revision(),
            "fingerprint": self.fingerprint,
            "intended_use": NOT_FOR_DIAGNOSIS,
            "class_names": {str(label): name for label, name in self.cohort.class_names.items()},
            "data": self.cohort.fingerprint,
        }
        write_text_atomic(self.folder / CONFIG_FILE, yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True))
        write_json_atomic(self.folder / RUN_FILE, self._content)
        self.cohort.write_splits(self.folder / SPLITS_FILE)
        say(f"run folder: {self.folder}")

    def _refuse_another(self, fingerprint: dict[str, str]) -> None:
        """Refuse to go on with a run of another ``fingerprint``; an empty one is none."""
        if fingerprint.get("data", self.fingerprint["data"]) != self.fingerprint["data"]:
            raise InputError(
                self.folder, "cannot be resumed: the data set has changed since; start anew in another folder"
            )
        if fingerprint.get("configuration", self.fingerprint["configuration"]) != self.fingerprint["configuration"]:
            changed = ", ".join(_changed_ids(self.folder / CONFIG_FILE, self.config)) or "configuration"
            raise InputError(
                self.folder, f"cannot be resumed: its configuration was another ({changed}); start anew elsewhere"
            )

    def conclude(self, trainer: Any) -> None:
        """Write how long it took and how much memory, then evaluate, report and export what was trained."""
        if not self.is_writer:
            return
        self._content |= {
            "wall_seconds": round(time.monotonic() - self._started, 1),
            "iterations": trainer.state.iteration,
            "parameters": sum(value.numel() for value in trainer.network.parameters()),
            **peak_memory(),
        }
        write_json_atomic(self.folder / RUN_FILE, self._content)
        from pipelines.runs.conclusion import conclude_run

        conclude_run(self.folder, self.cohort, self.device)
        self._content["finished"] = _now()
        write_json_atomic(self.folder / RUN_FILE, self._content)


def refuse_taken(folder: Path, *, overwrite: bool, resume: bool) -> None:
    """Refuse a run folder that is not ours to write into; nothing is made or written.

    Args:
        folder: the run folder, which need not be there.
        overwrite: replace what a run has left there.
        resume: go on with the run there.

    Raises:
        InputError: when it cannot be written to, or holds a run that is to be neither resumed nor overwritten.
    """
    if not (resume or overwrite):
        if is_finished(folder):
            raise InputError(folder, "holds a finished run; choose another folder or pass --overwrite")
        if (folder / RUN_FILE).exists():
            raise InputError(
                folder, "holds an unfinished run; pass --resume to go on with it, or --overwrite to start anew"
            )
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(folder, f"cannot be a run folder: {there} is no folder that can be written to")


def is_finished(folder: Path) -> bool:
    """Whether the run in ``folder``, if there is one, has been concluded."""
    return bool(_read_record(folder / RUN_FILE).get("finished"))


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _read_record(path: Path) -> dict[str, Any]:
    """Read ``run.json``; a run that was killed before it was written has none."""
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as fault:
        raise InputError(path, "is damaged: it is no JSON object") from fault


def _changed_ids(file: Path, config: dict[str, Any]) -> list[str]:
    """Name what differs between a run's configuration in ``file`` and another, with their values where short."""
    before = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}
    told = []
    for name in dict.fromkeys([*before, *config]):
        old, new = before.get(name), config.get(name)
        if old != new and name not in FREE_TO_CHANGE:
            short = max(len(str(old)), len(str(new))) < 30
            told.append(f"{name}: {old} then, {new} now" if short else str(name))
    return told


def peak_memory() -> dict[str, float]:
    """Give the largest memory this process has had, in MiB: on the host and, where there is one, on the GPU."""
    import torch

    peak = {"peak_host_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)}
    if torch.cuda.is_available():
        peak["peak_gpu_mib"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return peak


def _running_configuration() -> dict[str, Any]:
    """Find the configuration that is being run.

    A component cannot see the configuration that it is part of, and MONAI has no hook for it; but the workflow that
    runs it, whichever command started that, is always further up the call stack.

    Raises:
        RuntimeError: when no bundle workflow is running.
    """
    from monai.bundle import ConfigWorkflow

    frame = inspect.currentframe()
    while frame is not None:
        workflow = frame.f_locals.get("self")
        if isinstance(workflow, ConfigWorkflow):
            config = workflow.parser.get()
            return {name: value for name, value in config.items() if name != "_meta_"}
        frame = frame.f_back
    raise RuntimeError("RunRecord is made by a bundle's configuration, and none is running.")


def _clear(folder: Path) -> None:
    """Take away what an earlier run left, and nothing else that lies in the folder."""
    import shutil

    for name in ("checkpoints", "tensorboard", "bundle", "pictures"):
        shutil.rmtree(folder / name, ignore_errors=True)
    parameters = ("data_parameters.csv", "data_parameter_quality.csv")
    for name in (
        RUN_FILE,
        CONFIG_FILE,
        SPLITS_FILE,
        "metrics.csv",
        "summary.json",
        "cases.csv",
        "report.html",
        "detections.json",
        "detections.csv",
        *parameters,
    ):
        (folder / name).unlink(missing_ok=True)


def _versions() -> dict[str, str]:
    versions = {}
    for package in RECORDED_PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def _cores() -> dict[str, int]:
    import torch

    return {"threads": torch.get_num_threads()}


def _git_revision() -> str | None:
    """Give the revision of the source, None when it is not a checkout."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()

"""Running one stage of a bundle: the same work as ``python -m monai.bundle run`` with the same files."""

from __future__ import annotations

import difflib
import inspect
import logging
import math
import multiprocessing
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from pydoc import locate
from typing import Any

import yaml

from transforms.io.input_error import InputError

BUNDLES = Path(__file__).resolve().parent.parent / "bundles"


class _SettingsLoader(yaml.SafeLoader):
    """YAML that reads ``1e-3`` and ``1e6`` as numbers, as YAML 1.2 does; 1.1 takes them for words."""


_SettingsLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def find_bundle(name: str) -> Path:
    """Give the folder of one of our bundles by its name, or of any bundle by its path.

    Raises:
        InputError: when there is none.
    """
    for folder in (Path(name), BUNDLES / name):
        if (folder / "configs" / "common.yaml").is_file():
            return folder
    known = sorted(path.parent.parent.name for path in BUNDLES.glob("*/configs/common.yaml"))
    near = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
    raise InputError("--bundle", f"no bundle {name}{hint}")


def config_files(bundle: Path, stages: Sequence[str]) -> list[Path]:
    """Give the files of ``stages`` (``common``, ``train``, an overlay's name) in ``bundle``, later ones winning.

    Raises:
        InputError: when a stage has no file.
    """
    files = []
    for stage in stages:
        file = bundle / "configs" / f"{stage}.yaml"
        if not file.is_file():
            known = sorted(path.stem for path in (bundle / "configs").glob("*.yaml"))
            raise InputError(bundle.name, f"has no configs/{stage}.yaml; there are {', '.join(known)}")
        files.append(file)
    return files


def parse_overrides(settings: Sequence[str]) -> dict[str, Any]:
    """Turn ``ID=VALUE`` settings into overrides; values are YAML, in which ``1e-3`` is a number too.

    Raises:
        InputError: when one has no ``=``, or its value is no YAML or holds a number that is none.
    """
    overrides = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise InputError("--set", f"{setting!r} is not of the form ID=VALUE")
        try:
            overrides[name.replace("#", "::")] = yaml.load(text, _SettingsLoader)
        except yaml.YAMLError as fault:
            raise InputError("--set", f"the value of {name} is no YAML: {text!r}") from fault
        if _holds_nan(overrides[name.replace("#", "::")]):
            raise InputError("--set", f"{name} must be a number, got {text}")
    return overrides


def _holds_nan(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_nan(part) for part in value.values())
    if isinstance(value, list):
        return any(_holds_nan(part) for part in value)
    return isinstance(value, float) and math.isnan(value)


def run_stage(files: Sequence[Path], overrides: Mapping[str, Any], workflow_type: str) -> None:
    """Merge the files, apply the overrides and run the result.

    Args:
        files: configuration files of one bundle, later ones winning.
        overrides: values by id, in MONAI's ``a::b::c`` form.
        workflow_type: ``train``, ``evaluate`` or ``inference``.

    Raises:
        InputError: when an override's id is unknown, or a component refuses its input.
    """
    refuse_shadowed_packages()
    check_ids(files, overrides)
    os.environ.setdefault("MONAI_EVAL_EXPR", "1")
    with warnings.catch_warnings():
        # MONAI warns at every parse that configurations run code; these are our own.
        warnings.filterwarnings("ignore", message=".*GHSA-873f-pvrv-4x83.*")
        warnings.filterwarnings("ignore", message=".*nvImageCodec.*")
        from monai.bundle import ConfigWorkflow

        # MONAI sets the level of its loggers when it is imported.
        logging.getLogger(ConfigWorkflow.__module__).setLevel(logging.ERROR)
        metadata = files[0].parent / "metadata.json"
        workflow = ConfigWorkflow(
            config_file=[str(file) for file in files],
            meta_file=str(metadata) if metadata.is_file() else [],
            logging_file=False,
            workflow_type=workflow_type,
            **overrides,
        )
        try:
            workflow.initialize()
            workflow.run()
            workflow.finalize()
        except BaseException as fault:
            _end_workers()
            is_told = isinstance(fault, InputError) or not isinstance(fault, Exception)
            refusal = None if is_told else _refusal_behind(fault)
            if refusal is not None:
                raise refusal from fault
            raise


def check_ids(files: Sequence[Path], overrides: Mapping[str, Any]) -> None:
    """Refuse overrides whose id is not in the merged files.

    Raises:
        InputError: naming the nearest id.
    """
    known: set[str] = set()
    for file in files:
        _collect_ids(yaml.safe_load(file.read_text(encoding="utf-8")), "", known)
    for name in overrides:
        if name not in known and not _is_parameter(name, files):
            near = difflib.get_close_matches(name, known, 1, cutoff=0.5)
            raise InputError("--set", f"unknown id {name}" + (f"; did you mean {near[0]}?" if near else ""))


def refuse_shadowed_packages() -> None:
    """Refuse to run when another project's folder of the same name would be imported in place of ours.

    Raises:
        InputError: naming the intruder.
    """
    import bundles
    import networks
    import transforms

    home = Path(__file__).resolve().parent.parent
    for package in (networks, transforms, bundles):
        found = Path(package.__file__ or "").resolve()
        if found.parent.parent != home:
            raise InputError(
                found.parent, f"is imported as {package.__name__} in place of {home / package.__name__}; run elsewhere"
            )


def _collect_ids(node: Any, prefix: str, known: set[str]) -> None:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in items:
        identity = f"{prefix}::{name}" if prefix else str(name)
        known.add(identity)
        _collect_ids(value, identity, known)


def _is_parameter(name: str, files: Sequence[Path]) -> bool:
    """Whether ``name`` is a parameter, not set in the files, of a component that is."""
    parent, _, parameter = name.rpartition("::")
    target = None
    for file in files:
        node = _node(yaml.safe_load(file.read_text(encoding="utf-8")), parent.split("::"))
        if isinstance(node, dict):
            target = node.get("_target_", target)
    if not parent or target is None:
        return False
    component = locate(target if "." in target else f"monai.transforms.{target}")
    return callable(component) and parameter in inspect.signature(component).parameters


def _node(content: Any, path: Sequence[str]) -> Any:
    """Find a part of a configuration file by its path; whole paths may be keys of the file's top."""
    whole = "::".join(path)
    if isinstance(content, dict) and whole in content:
        return content[whole]
    for name in path:
        if isinstance(content, list) and name.isdigit() and int(name) < len(content):
            content = content[int(name)]
        elif isinstance(content, dict):
            content = content.get(name)
        else:
            return None
    return content


def _end_workers() -> None:
    """End the processes that prepare batches: deaf to SIGTERM, they would keep Python from ever ending."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    # Torch's handler would take these ends for faults, and raise its own in place of what is being told.
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL) if in_main_thread else None
    for process in multiprocessing.active_children():
        process.kill()
        process.join()
    if in_main_thread:
        signal.signal(signal.SIGCHLD, handler)


def _refusal_behind(fault: BaseException) -> InputError | None:
    """Find what the user can mend behind an exception that is none of ours, or that MONAI has wrapped in its own."""
    chain: list[BaseException] = []
    link: BaseException | None = fault
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    for link in chain:
        if isinstance(link, InputError):
            return link
        # Torch can hand on the words of a refusal in such a process, but not the refusal.
        refused = re.search(r"Caught InputError in DataLoader worker.*\bInputError: (.+?): (.+)", str(link), re.DOTALL)
        if refused:
            return InputError(refused.group(1), refused.group(2).strip())
        # With a number it is the process that has died; without one, torch tells where an exception comes from.
        # Torch may also find no connection to the process before it has noticed that it is gone.
        if "DataLoader worker (pid" in str(link) or isinstance(link, ConnectionError):
            return InputError("workers", _dead_worker(str(link)))
        if type(link).__name__ == "OutOfMemoryError":
            return InputError("device", "its memory is not enough; try a smaller --set patch_size=... or batch")
    built = re.match(r"Failed to instantiate component '([\w.]+)'", str(fault))
    if built and isinstance(chain[-1], (ValueError, TypeError)):
        return InputError(built.group(1), str(chain[-1]))
    return None


def _dead_worker(said: str) -> str:
    """Put torch's words on a dead worker process into ours."""
    killed = re.search(r"is killed by signal: ([^.]+)\.", said)
    how = f" ({killed.group(1)})" if killed else ""
    return (
        f"a process that prepares batches has died{how}, as happens when memory runs out; "
        "go on with --resume, perhaps with --set workers=0"
    )


def quiet_monai() -> None:
    """Keep MONAI's and Ignite's loggers from printing what our own progress lines say better."""
    for name in ("monai", "monai.bundle"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Ignite logs every exception twice on its way to where it is told.
    logging.getLogger("ignite").setLevel(logging.CRITICAL)
    if not sys.warnoptions:
        warnings.filterwarnings("ignore", category=FutureWarning, module="monai")
        # Undoing an orientation in 2D, MONAI names three axes itself and then warns of the third.
        warnings.filterwarnings("ignore", message="axcodes .* length is smaller", module="monai")

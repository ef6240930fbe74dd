"""Running one stage of a bundle: the same work as ``python -m monai.bundle run`` with the same files."""

from __future__ import annotations

import difflib
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from transforms.io.input_error import InputError

BUNDLES = Path(__file__).resolve().parent.parent / "bundles"


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
    """Turn ``ID=VALUE`` settings into overrides; values are YAML.

    Raises:
        InputError: when one has no ``=`` or its value is no YAML.
    """
    overrides = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise InputError("--set", f"{setting!r} is not of the form ID=VALUE")
        try:
            overrides[name.replace("#", "::")] = yaml.safe_load(text)
        except yaml.YAMLError as fault:
            raise InputError("--set", f"the value of {name} is no YAML: {text!r}") from fault
    return overrides


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

        workflow = ConfigWorkflow(
            config_file=[str(file) for file in files],
            meta_file=str(files[0].parent / "metadata.json"),
            logging_file=False,
            workflow_type=workflow_type,
            **overrides,
        )
        try:
            workflow.initialize()
            workflow.run()
            workflow.finalize()
        except Exception as fault:
            refusal = _refusal_behind(fault)
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
        if name not in known:
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


def _refusal_behind(fault: BaseException | None) -> InputError | None:
    """Find the refusal that MONAI has wrapped in exceptions of its own."""
    while fault is not None:
        if isinstance(fault, InputError):
            return fault
        fault = fault.__cause__ or fault.__context__
    return None


def quiet_monai() -> None:
    """Keep MONAI's and Ignite's loggers from printing what our own progress lines say better."""
    import logging

    for name in ("monai", "ignite", "monai.bundle"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if not sys.warnoptions:
        warnings.filterwarnings("ignore", category=FutureWarning, module="monai")

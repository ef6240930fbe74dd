"""Which of the cases that a network is evaluated on had a part in its training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipelines.runs.record import CONFIG_FILE, RUN_FILE, SPLITS_FILE
from transforms.io.input_error import InputError

ROLES = {"labeled": "with its label", "unlabeled": "without its label", "validation": "to choose the weights"}


def cases_of_training(run: Path, fingerprint: Mapping[str, Any]) -> dict[str, str]:
    """Find the cases of a data set that a run has seen: those of the same image, and those of the same id in a data
    set of the same name.

    Args:
        run: the run folder.
        fingerprint: of the data set that is evaluated, as ``check_dataset`` gives it.

    Returns:
        How each such case was used, by its id in the evaluated data set.

    Raises:
        InputError: when the run folder cannot be read.
    """
    try:
        splits = json.loads((run / SPLITS_FILE).read_text(encoding="utf-8"))
        trained = json.loads((run / RUN_FILE).read_text(encoding="utf-8"))["data"]
        config = yaml.safe_load((run / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, yaml.YAMLError) as fault:
        raise InputError(run, f"what it was trained on cannot be read: {fault}") from fault
    roles = {case_id: role for role in ROLES for case_id in splits.get(role, ())}
    if not config.get("use_unlabeled", True):
        roles = {case_id: role for case_id, role in roles.items() if role != "unlabeled"}
    role_of_file = {
        digest: role
        for case_id, role in roles.items()
        for digest in trained.get("cases", {}).get(case_id, {}).get("files", {}).values()
    }
    seen = {}
    for case_id, case in fingerprint["cases"].items():
        image = next(iter(case["files"].values()), None)
        role = role_of_file.get(image)
        if role is None and fingerprint.get("name") == trained.get("name"):
            role = roles.get(case_id)
        if role is not None:
            seen[case_id] = ROLES[role]
    return seen


def leakage_warning(seen: Mapping[str, str], cases: int) -> str:
    """Say plainly what scores on ``cases`` cases are worth, of which ``seen`` had a part in the training.

    Returns:
        One sentence or two; empty when none had.
    """
    if not seen:
        return ""
    counts = {use: list(seen.values()).count(use) for use in dict.fromkeys(seen.values())}
    told = ", ".join(f"{count} {use}" for use, count in counts.items())
    return (
        f"{len(seen)} of the {cases} evaluated cases had a part in the training ({told}). "
        "These scores do not tell how well the network does on new cases."
    )

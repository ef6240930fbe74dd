"""Lists of case entries for inference and evaluation, as configurations want them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.data.dataset import read_dataset
from pipelines.keys import Keys
from transforms.io.input_error import InputError
from transforms.io.volume import format_of, stem_of


def images_in(folder: str | Path) -> list[dict[str, Any]]:
    """Give one case entry per image file in ``folder``, sorted by name.

    Raises:
        InputError: when there is no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(folder, "is no folder of images")
    entries = [
        {Keys.IMAGE.value: str(path), Keys.CASE_ID.value: stem_of(path)}
        for path in sorted(folder.iterdir())
        if path.is_file() and not path.name.startswith(".") and format_of(path)
    ]
    if not entries:
        raise InputError(folder, "holds no image")
    return entries


def labeled_cases(dataset_dir: str | Path, split: str) -> list[dict[str, Any]]:
    """Give the entries of a data set's ``training``, ``validation`` or ``test`` cases that have a label.

    Raises:
        InputError: when the data set cannot be read, or has no such case.
    """
    dataset = read_dataset(Path(dataset_dir))
    if split not in ("training", "validation", "test"):
        raise InputError("split", f"must be training, validation or test, got {split}")
    entries = [case.entry() for case in getattr(dataset, split) if case.label is not None]
    if not entries:
        raise InputError(dataset_dir, f"has no labelled {split} case")
    return entries

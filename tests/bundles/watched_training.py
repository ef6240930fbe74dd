"""A training in one of several processes, which tells what this process writes.

``torchrun ... -m tests.bundles.watched_training FOLDER ARGUMENT...`` runs ``train_dtc`` with the arguments, without its
conclusion, and writes the paths that process N opened for writing in ``FOLDER/run`` to ``FOLDER/written.N``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from tests.pipelines.tiny_training import train


def watch(folder: Path, found: set[str]) -> None:
    """Collect in ``found`` what is opened for writing, made, renamed or removed in ``folder``."""

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate")
        if event == "open":
            writes = bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if writes and str(arguments[0]).startswith(str(folder)):
            found.add(str(arguments[0]))

    sys.addaudithook(look)


def main(folder: str, *arguments: str) -> int:
    import torch

    torch.set_num_threads(1)
    written: set[str] = set()
    watch(Path(folder) / "run", written)
    status = train(arguments)
    Path(folder, f"written.{os.environ['RANK']}").write_text("\n".join(sorted(written)))
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

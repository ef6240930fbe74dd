"""What a bundle learnt from pictures (PNG, JPEG, TIFF) needs, so that MONAI alone gives its network the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transforms.io.volume import RASTER_SUFFIXES

MASK_SUFFIX = ".png"
# MONAI's reader gives a picture's columns first, and its writer takes them so; this project has rows first.
ROWS_FIRST = {"_target_": "Transposed", "keys": "image", "indices": [0, 2, 1]}


def learnt_from_pictures(record: Mapping[str, Any]) -> bool:
    """Tell from a run's ``run.json`` whether its images are pictures, and not files with an affine."""
    cases = record.get("data", {}).get("cases", {}).values()
    files = [Path(name) for case in cases for name in case.get("files", {})]
    return bool(files) and all(file.suffix.lower() in RASTER_SUFFIXES for file in files)


def picture_paths(folder: str) -> str:
    """Give the Python expression for the sorted paths of all pictures in a folder.

    Args:
        folder: the expression for the folder.
    """
    endings = ", ".join(repr(suffix) for suffix in RASTER_SUFFIXES)
    return f"sorted(path for path in glob.glob(os.path.join({folder}, '*')) if path.lower().endswith(({endings})))"

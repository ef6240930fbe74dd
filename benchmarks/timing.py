"""Timing what is compared, side by side in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any


def time_in_turn(rows: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, tuple[float, float]]:
    """Name -> median wall and CPU seconds; each round runs every row once, so that a load meets all of them."""
    wall: dict[str, list[float]] = {name: [] for name in rows}
    cpu: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(repeats):
        for name, row in rows.items():
            started, worked = time.perf_counter(), time.process_time()
            row()
            cpu[name].append(time.process_time() - worked)
            wall[name].append(time.perf_counter() - started)
    return {name: (statistics.median(wall[name]), statistics.median(cpu[name])) for name in rows}

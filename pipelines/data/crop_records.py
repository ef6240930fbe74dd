"""What was cut from where: the records of crops, one a sample while they are made, one file when all are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal
from typing import Any

from pipelines.data.crop_case import CropSettings, cut_sample, sample_digest
from pipelines.data.crop_plan import Sample
from pipelines.data.dataset import DESCRIPTION
from transforms.io.atomic import write_json_atomic
from transforms.io.input_error import InputError

CROPS_FILE = "crops.json"
RECORDS = "records"


def cut_all(
    samples: Sequence[Sample], settings: CropSettings, output: Path, workers: int
) -> Iterator[dict[str, Any] | InputError]:
    """Make all crops, several at a time; those that are there already are not made again.

    Args:
        samples: what to cut.
        settings: how.
        output: folder of the new data set; ``records/`` in it remembers what is done.
        workers: processes; 1 works in this one.

    Yields:
        For each sample, in no particular order: its record, or what is wrong with its files.

    Raises:
        InputError: when a process dies.
    """
    waiting = []
    for sample in samples:
        done = _finished(sample, settings, output)
        if done is None:
            waiting.append(sample)
        else:
            yield done
    if workers <= 1 or len(waiting) <= 1:
        for sample in waiting:
            yield _cut(sample, settings, output)
        return
    # Spawned, since a forked copy of a process that has run torch may hang.
    pool = ProcessPoolExecutor(min(workers, len(waiting)), get_context("spawn"), signal, (SIGINT, SIG_IGN))
    try:
        for future in as_completed([pool.submit(_cut, sample, settings, output) for sample in waiting]):
            yield future.result()
    except BrokenProcessPool as fault:
        reason = "a process that cuts has died, as happens when memory runs out; take fewer (what is done stays)"
        raise InputError("--workers", reason) from fault
    finally:
        pool.shutdown(cancel_futures=True)


def read_crops(folder: Path) -> dict[str, Any]:
    """Read the record of all crops in a folder that ``prepare_crops`` has made.

    Raises:
        InputError: when it is not there or damaged.
    """
    path = folder / CROPS_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as fault:
        raise InputError(
            folder, f"has no {CROPS_FILE}, so it is no data set that prepare_crops has finished"
        ) from fault
    except OSError as fault:
        raise InputError(path, f"cannot be read: {fault.strerror}") from fault
    except ValueError as fault:
        raise InputError(path, "is not valid JSON") from fault
    if not isinstance(content, dict) or not isinstance(content.get("samples"), list):
        raise InputError(path, "holds no list of samples")
    return content


def remove_crops(folder: Path) -> None:
    """Remove the files of a finished set of crops, and nothing else; the list of its cases goes first.

    Raises:
        InputError: when there is a list of cases that is not of crops.
    """
    listing = folder / DESCRIPTION
    if not (folder / CROPS_FILE).is_file():
        if listing.exists():
            raise InputError(folder, f"holds a data set without {CROPS_FILE}, which is not replaced")
        return
    records = read_crops(folder)["samples"]
    listing.unlink(missing_ok=True)
    root = folder.resolve()
    for record in records:
        for file in record.get("files", ()):
            path = (folder / file).resolve()
            if root in path.parents:
                path.unlink(missing_ok=True)
    (folder / CROPS_FILE).unlink()


def remove_records(output: Path, samples: Sequence[Sample]) -> None:
    """Remove what :func:`cut_all` remembers, once all of it is in one file."""
    for sample in samples:
        _record_file(sample, output).unlink(missing_ok=True)


def bytes_needed(samples: Sequence[Sample], settings: CropSettings) -> int:
    """Give the bytes that the crops need at most (float32 images, one-byte labels, not compressed)."""
    voxels = settings.size[0] * settings.size[1] * settings.size[2]
    per_voxel = (
        4 * len(sample.case.images) + (sample.case.label is not None) + len(sample.case.raters) for sample in samples
    )
    return voxels * sum(per_voxel)


def _cut(sample: Sample, settings: CropSettings, output: Path) -> dict[str, Any] | InputError:
    try:
        record = cut_sample(sample, settings, output)
        write_json_atomic(_record_file(sample, output), record)
    except InputError as fault:
        return fault
    except OSError as fault:
        return InputError(fault.filename or output, f"{sample.sample_id} cannot be written: {fault.strerror}")
    return record


def _finished(sample: Sample, settings: CropSettings, output: Path) -> dict[str, Any] | None:
    """Give the record of a sample that was made before with the same settings and files, when all of it is there."""
    path = _record_file(sample, output)
    if not path.is_file():
        return None
    record: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if record["digest"] != sample_digest(sample, settings):
        return None
    return dict(record) if all((output / file).is_file() for file in record.get("files", ())) else None


def _record_file(sample: Sample, output: Path) -> Path:
    return output / RECORDS / f"{sample.sample_id}.json"

"""Getting the one series that is meant, from wherever it is, into a folder that is gone afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipelines.delivery.discretion import discreet
from pipelines.delivery.job import Job
from pipelines.pacs.address import FolderAddress
from pipelines.pacs.archive import Archive, SeriesFound
from pipelines.pacs.series_rules import SeriesRules, select_series

INPUT = "--input"
# What lies beside the volumes of a study: objects without pixels of their own, results, and (below) single pictures.
NO_IMAGES = ("SEG", "SR", "PR", "KO", "REG", "DOC", "AU", "RTSTRUCT", "RTPLAN", "RTDOSE", "RTRECORD")


@contextmanager
def source_folder(job: Job) -> Iterator[Path]:
    """Give a folder with the images of the series.

    A folder of files without subfolders is taken as it is when no rule says which series of it is meant; of
    everything else the series is copied, into a folder that nobody else can read and that is removed at the end,
    whatever happens.

    Raises:
        InputError: when there is no such series, several are, or it cannot be fetched whole. Refusals name the option,
            not a folder or a file.
    """
    if isinstance(job.source, FolderAddress):
        place = job.source.path
        with discreet(place, INPUT):
            if job.rules == SeriesRules() and not any(entry.is_dir() for entry in place.iterdir()):
                yield place
                return
    with tempfile.TemporaryDirectory(prefix="concord-") as private:
        folder = Path(private, "series")
        archive = job.open(job.source)
        try:
            _fetch(job, archive, folder)
        finally:
            archive.close()
        with discreet(folder, INPUT):
            yield folder


def _fetch(job: Job, archive: Archive, folder: Path) -> None:
    if isinstance(job.source, FolderAddress):
        with discreet(job.source.path, INPUT):
            archive.fetch_series(select_series(_images(job, archive), job.rules, INPUT), folder)
    else:
        archive.fetch_series(select_series(_images(job, archive), job.rules, str(job.source)), folder)


def _images(job: Job, archive: Archive) -> Sequence[SeriesFound]:
    found = archive.find_series(job.rules.query())
    if job.rules.modality is not None or job.rules.series_uid is not None:
        return found
    return [series for series in found if series.modality not in NO_IMAGES and series.instances != 1]

"""A series on its way into a folder: whole it appears there, or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from pipelines.pacs.archive import SeriesFound
from pipelines.pacs.instances import NotAnInstance, file_name, read_names
from transforms.io.atomic import atomic_path
from transforms.io.input_error import InputError


class ArrivingSeries:
    """Takes instances in any order, each as often as it comes, and puts them in place when ``finish`` is called.

    A context manager: what has not been finished is removed at its end.

    Args:
        subject: the archive's address, for messages.
        found: the series that is fetched.
        folder: where its files shall be; it must be empty or not be there.

    Raises:
        InputError: when ``folder`` holds something or cannot be written.
    """

    def __init__(self, subject: str, found: SeriesFound, folder: Path) -> None:
        self.subject, self.found, self.folder = subject, found, folder
        self.received: set[str] = set()
        self._announced = found.instances
        try:
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise InputError(folder, "is not empty, and a fetched series needs a folder of its own")
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._waiting = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".part-"))
        except OSError as fault:
            raise InputError(folder, f"cannot be written: {fault.strerror}") from fault

    def __enter__(self) -> ArrivingSeries:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._waiting, ignore_errors=True)

    def take(self, content: bytes) -> None:
        """Write one instance, in the DICOM file format.

        Raises:
            InputError: when it is no DICOM instance, belongs to another series, or cannot be written.
        """
        try:
            names = read_names(content)
        except NotAnInstance as fault:
            raise InputError(self.subject, f"sent an instance that {fault}") from None
        if names.series_uid != self.found.series_uid:
            raise InputError(self.subject, "sent an instance of another series than was asked for")
        try:
            with atomic_path(self._waiting / file_name(names.uid)) as temporary:
                temporary.write_bytes(content)
        except OSError as fault:
            raise InputError(self.folder, f"cannot be written: {fault.strerror}") from fault
        self.received.add(names.uid)

    def told(self) -> str:
        """Say how many have come, of how many."""
        return f"{len(self.received)} of {'an unknown number of' if self._announced is None else self._announced}"

    def finish(self, listed: Iterable[str] = ()) -> list[Path]:
        """Put the files in place.

        Args:
            listed: the SOP Instance UIDs that the archive has listed for the series, if it has.

        Returns:
            The files, sorted by name.

        Raises:
            InputError: when fewer instances have come than were announced or listed, or the folder cannot be made.
        """
        listed = set(listed)
        announced = max(self._announced or 0, len(listed))
        come = self.received & listed if listed else self.received
        if not come or len(come) < announced:
            raise InputError(self.subject, f"announced {announced} instances of the series and sent {len(come)}")
        try:
            # Nobody else may read it: it keeps the rights of a temporary folder.
            self._waiting.replace(self.folder)
        except OSError as fault:
            raise InputError(self.folder, f"cannot be written: {fault.strerror}") from fault
        return sorted(self.folder.iterdir())

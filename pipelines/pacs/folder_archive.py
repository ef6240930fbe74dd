"""A folder of DICOM files as an archive: its series are found by reading headers, in subfolders too."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.pacs.address import FolderAddress
from pipelines.pacs.archive import SeriesFound, SeriesQuery, StoreReport
from pipelines.pacs.arriving_series import ArrivingSeries
from pipelines.pacs.instances import NotAnInstance, file_name, names_of
from pipelines.pacs.storing import Outgoing, Tell, store_instances
from transforms.io.atomic import atomic_path
from transforms.io.input_error import InputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_ASKED = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "AccessionNumber",
    "Modality",
    "SeriesNumber",
    "SeriesDescription",
    "BodyPartExamined",
    "SeriesDate",
    "SeriesTime",
)
_SUFFIXES = (".dcm", ".ima")
_MODALITY = re.compile(r"[A-Z0-9]{1,16}")


class FolderArchive:
    """A folder.

    Args:
        address: the folder; it is made by the first store.
    """

    def __init__(self, address: FolderAddress) -> None:
        self._folder = address.path

    def close(self) -> None:
        """Do nothing."""

    def find_series(self, query: SeriesQuery) -> list[SeriesFound]:
        """Give the series that match; files that are not DICOM are passed over. See ``Archive``.

        Raises:
            InputError: when the folder is none, or a file cannot be read, or is named like a slice and is none.
        """
        series: dict[str, dict[str, Any]] = {}
        for _, header in self._headers():
            if _matches(header, query):
                about = series.setdefault(_text(header, "SeriesInstanceUID"), {"header": header, "uids": set()})
                about["uids"].add(_text(header, "SOPInstanceUID"))
        return [_series(series[uid]["header"], len(series[uid]["uids"])) for uid in sorted(series)]

    def fetch_series(self, found: SeriesFound, folder: Path) -> list[Path]:
        """Copy the files of a series; see ``Archive``."""
        with ArrivingSeries(str(self._folder), found, folder) as arriving:
            for path, header in self._headers():
                if _text(header, "SeriesInstanceUID") == found.series_uid:
                    arriving.take(_read(path))
            return arriving.finish()

    def store(self, datasets: Sequence[Dataset]) -> StoreReport:
        """Write instances, as files whose names tell the modality and nothing else; see ``Archive``."""
        return store_instances(str(self._folder), datasets, self)

    def missing(self, datasets: Sequence[Dataset]) -> list[str]:
        """Give the SOP Instance UIDs of which there is no file here; see ``Archive``."""
        there = {_text(header, "SOPInstanceUID") for _, header in self._headers()} if self._folder.exists() else set()
        return [str(data.SOPInstanceUID) for data in datasets if str(data.SOPInstanceUID) not in there]

    def present(self, outgoing: Sequence[Outgoing]) -> set[str]:
        """Give the SOP Instance UIDs of those that ``store`` has written here before."""
        return {item.names.uid for item in outgoing if self._file(item).exists()}

    def read_back(self, outgoing: Outgoing) -> bytes | None:
        """Give what a file of ours holds."""
        return _read(self._file(outgoing))

    def send(self, outgoing: Sequence[Outgoing], tell: Tell) -> None:
        """Write instances, each whole or not at all.

        Raises:
            InputError: when one cannot be written.
        """
        for item in outgoing:
            try:
                with atomic_path(self._file(item)) as temporary:
                    temporary.write_bytes(item.content)
            except OSError as fault:
                raise InputError(self._folder, f"cannot be written: {fault.strerror}") from fault
            tell(item.names.uid, None)

    def _file(self, item: Outgoing) -> Path:
        modality = str(item.dataset.get("Modality", ""))
        prefix = f"{modality}-" if _MODALITY.fullmatch(modality) else ""
        return self._folder / f"{prefix}{file_name(item.names.uid)}"

    def _headers(self) -> list[tuple[Path, Dataset]]:
        if not self._folder.is_dir():
            raise InputError(self._folder, "is no folder" if self._folder.exists() else "does not exist")
        found = []

        def refuse(fault: OSError) -> None:
            raise InputError(self._folder, f"cannot be read: {fault.strerror}") from fault

        # Links to folders are not followed: they can make a circle.
        for place, folders, names in os.walk(self._folder, onerror=refuse):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                path = Path(place, name)
                if name.startswith(".") or name.upper() == "DICOMDIR" or not path.is_file():
                    continue
                header = self._header(path)
                if header is not None:
                    found.append((path, header))
        return found

    def _header(self, path: Path) -> Dataset | None:
        """Read what is asked for of one file; None when it is no DICOM. A file's name may tell a patient's."""
        import pydicom
        from pydicom.errors import InvalidDicomError

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_ASKED))
            names_of(header)
        except InvalidDicomError:
            if path.suffix.lower() in _SUFFIXES:
                reason = f"a file named *{path.suffix} in it is not a DICOM file; a slice may be lost"
                raise InputError(self._folder, reason) from None
            return None
        except NotAnInstance as fault:
            raise InputError(self._folder, f"a DICOM file in it {fault}") from None
        except OSError as fault:
            raise InputError(self._folder, f"a file in it cannot be read: {fault.strerror or 'damaged'}") from None
        except Exception as fault:
            raise InputError(self._folder, f"a DICOM file in it is damaged ({type(fault).__name__})") from None
        return header


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as fault:
        raise InputError(path.parent, f"a file in it cannot be read: {fault.strerror}") from None


def _text(header: Dataset, keyword: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = header.get(keyword)
        except (ValueError, TypeError):
            return ""
    return "" if value is None else str(value).strip("\0 ")


def _matches(header: Dataset, query: SeriesQuery) -> bool:
    asked = {
        "StudyInstanceUID": query.study_uid,
        "SeriesInstanceUID": query.series_uid,
        "AccessionNumber": query.accession and query.accession.strip(),
        "Modality": query.modality,
    }
    return all(value is None or _text(header, name) == value for name, value in asked.items())


def _series(header: Dataset, instances: int) -> SeriesFound:
    return SeriesFound(
        study_uid=_text(header, "StudyInstanceUID"),
        series_uid=_text(header, "SeriesInstanceUID"),
        modality=_text(header, "Modality"),
        number=_text(header, "SeriesNumber"),
        body_part=_text(header, "BodyPartExamined"),
        instances=instances,
        description=_text(header, "SeriesDescription"),
        made=_text(header, "SeriesDate") + _text(header, "SeriesTime"),
    )

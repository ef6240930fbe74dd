"""Which one of the series that an archive has is meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipelines.pacs.archive import SeriesFound, SeriesQuery
from transforms.io.input_error import InputError

PREFERENCES = ("newest", "largest")
_SHOWN = 8


@dataclass(frozen=True)
class SeriesRules:
    """What the series must be; what is None does not matter.

    Args:
        study_uid: its Study Instance UID.
        series_uid: its Series Instance UID.
        accession: accession number of its study. It is sent to the archive and shown nowhere.
        modality: ``CT``, ``MR``...
        description: regular expression that is found in the series description, in capitals or not.
        body_part: Body Part Examined, in capitals or not.
        min_instances: least number of instances; a series of unknown size passes.
        prefer: ``newest`` or ``largest`` decides between several that are left; None refuses them.

    Raises:
        InputError: for an invalid pattern or preference, and as ``SeriesQuery``.
    """

    study_uid: str | None = field(default=None, repr=False)
    series_uid: str | None = field(default=None, repr=False)
    accession: str | None = field(default=None, repr=False)
    modality: str | None = None
    description: str | None = None
    body_part: str | None = None
    min_instances: int = 1
    prefer: str | None = None

    def __post_init__(self) -> None:
        self.query()
        if self.prefer not in (None, *PREFERENCES):
            raise InputError("series preference", f"is one of {', '.join(PREFERENCES)}, not {self.prefer!r}")
        if self.min_instances < 1:
            raise InputError("least number of instances", "must be 1 or more")
        try:
            re.compile(self.description or "")
        except re.error as fault:
            raise InputError("series description", f"is no regular expression: {fault}") from None

    def query(self) -> SeriesQuery:
        """Give the part of the rules that the archive is asked with; the rest is for ``select_series``."""
        return SeriesQuery(self.study_uid, self.series_uid, self.accession, self.modality)

    def fit(self, found: SeriesFound) -> bool:
        """Say whether a series that the archive has found passes the rest of the rules."""
        return (
            (self.modality is None or found.modality == self.modality)
            and (self.series_uid is None or found.series_uid == self.series_uid)
            and (self.study_uid is None or found.study_uid == self.study_uid)
            and (self.body_part is None or found.body_part.lower() == self.body_part.lower())
            and (self.description is None or bool(re.search(self.description, found.description, re.IGNORECASE)))
            and (found.instances is None or found.instances >= self.min_instances)
        )


def select_series(
    found: Sequence[SeriesFound], rules: SeriesRules, subject: str, *, show_descriptions: bool = False
) -> SeriesFound:
    """Give the one series that is meant.

    Args:
        found: what the archive has found.
        rules: what it must be.
        subject: the archive's address, for the message.
        show_descriptions: tell the descriptions of the candidates too; people write names in them.

    Raises:
        InputError: when none is left, or several are and the rules do not decide; with the candidates by number,
            modality and count of instances.
    """
    left = [series for series in found if rules.fit(series)]
    if len(left) > 1 and rules.prefer is not None:
        left = _preferred(left, rules.prefer)
    if len(left) == 1:
        return left[0]
    if not found:
        raise InputError(subject, "has no series that was asked for")
    if not left:
        raise InputError(subject, f"has no series that fits the rules, among: {_told(found, show_descriptions)}")
    reason = f"has {len(left)} series that fit the rules; narrow them: {_told(left, show_descriptions)}"
    raise InputError(subject, reason)


def _preferred(left: Sequence[SeriesFound], prefer: str) -> list[SeriesFound]:
    """Give those that are equally newest or largest; one whose date or size is unknown is neither."""
    if prefer == "newest":
        best = max(series.made for series in left)
        return [series for series in left if series.made == best] if best else list(left)
    most = max(series.instances or 0 for series in left)
    return [series for series in left if (series.instances or 0) == most]


def _told(series: Sequence[SeriesFound], show_descriptions: bool) -> str:
    shown = []
    for each in series[:_SHOWN]:
        count = "? instances" if each.instances is None else f"{each.instances} instances"
        text = f"number {each.number or '?'} {each.modality or '?'}, {count}"
        shown.append(f"{text}, {each.description!r}" if show_descriptions else text)
    more = len(series) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")

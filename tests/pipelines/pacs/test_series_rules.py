"""Choosing one series by rules."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.pacs.archive import SeriesFound
from pipelines.pacs.series_rules import SeriesRules, select_series
from transforms.io.input_error import InputError

HEAD = SeriesFound("1.1", "1.1.1", "CT", "2", "HEAD", 30, "Head Axial 5mm CANARY", "20250101")
THIN = replace(HEAD, series_uid="1.1.2", number="3", instances=200, description="head axial 1mm", made="20250102")
SCOUT = replace(HEAD, series_uid="1.1.3", number="1", instances=1, description="Scout", body_part="", made="")
LIVER = SeriesFound("1.2", "1.2.1", "MR", "7", "ABDOMEN", None, "T2", "20240101")
FOUND = [HEAD, THIN, SCOUT, LIVER]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (SeriesRules(series_uid="1.1.2"), THIN),
        (SeriesRules(modality="MR"), LIVER),
        (SeriesRules(description="AXIAL.*5MM"), HEAD),
        (SeriesRules(min_instances=50, modality="CT"), THIN),
        (SeriesRules(body_part="head", min_instances=50), THIN),
        (SeriesRules(study_uid="1.2"), LIVER),
        (SeriesRules(modality="CT", prefer="largest"), THIN),
        (SeriesRules(modality="CT", prefer="newest"), THIN),
        (SeriesRules(description="scout"), SCOUT),
        (SeriesRules(min_instances=500), LIVER),
    ],
)
def test_each_rule(rules, expected):
    assert select_series(FOUND, rules, "pacs") == expected


def test_none_and_several_are_refused_with_the_candidates():
    with pytest.raises(InputError, match="has no series that was asked for"):
        select_series([], SeriesRules(), "pacs")
    with pytest.raises(InputError, match=r"no series that fits.*number 2 CT, 30 instances; .*number 7 MR, \? inst"):
        select_series(FOUND, SeriesRules(modality="PT"), "pacs")
    with pytest.raises(InputError, match="has 2 series that fit.*number 2 CT, 30 instances; number 3 CT") as refusal:
        select_series(FOUND, SeriesRules(body_part="HEAD"), "pacs")
    assert "CANARY" not in str(refusal.value)
    assert "1.1.1" not in str(refusal.value)
    with pytest.raises(InputError, match="CANARY"):
        select_series(FOUND, SeriesRules(body_part="HEAD"), "pacs", show_descriptions=True)


def test_preferences_do_not_guess():
    twins = [HEAD, replace(HEAD, series_uid="1.1.9")]
    for prefer in ("newest", "largest"):
        with pytest.raises(InputError, match="has 2 series"):
            select_series(twins, SeriesRules(prefer=prefer), "pacs")
    undated = [replace(HEAD, made=""), replace(THIN, made="")]
    with pytest.raises(InputError, match="has 2 series"):
        select_series(undated, SeriesRules(prefer="newest"), "pacs")


def test_many_candidates_are_told_briefly():
    many = [replace(HEAD, series_uid=f"1.1.{number}") for number in range(40)]
    with pytest.raises(InputError, match="and 32 more$"):
        select_series(many, SeriesRules(), "pacs")


@pytest.mark.parametrize(
    "wrong",
    [{"description": "("}, {"prefer": "best"}, {"min_instances": 0}, {"study_uid": "x"}, {"modality": "c t"}],
)
def test_wrong_rules_are_refused(wrong):
    with pytest.raises(InputError):
        SeriesRules(**wrong)


def test_the_query_takes_what_an_archive_understands():
    query = SeriesRules(study_uid="1.1", accession="ACC-CANARY", modality="CT", description="x").query()
    assert (query.study_uid, query.accession, query.modality) == ("1.1", "ACC-CANARY", "CT")
    assert "CANARY" not in repr(query) + repr(SeriesRules(accession="ACC-CANARY"))

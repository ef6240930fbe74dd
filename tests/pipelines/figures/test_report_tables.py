"""Numbers of a report: formats, order, undefined values, counts, escaping."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from pipelines.figures.report_tables import (
    aggregate_table,
    case_score,
    case_table,
    class_names,
    describe_case,
    dice_strip,
    facts,
    metric_columns,
    number,
    tiles,
    tree,
)


def values(dice: float | None, state: str = "both_present") -> dict[str, Any]:
    return {"dice": dice, "hd95_mm": None if not dice else 10 * (1 - dice), "state": state}


def stats(mean: float | None, undefined: int = 0) -> dict[str, Any]:
    interval = None if mean is None else [mean - 0.05, mean + 0.05]
    return {"mean": mean, "sd": 0.1, "median": mean, "ci95": interval, "n": 4 - undefined, "undefined": undefined}


SUMMARY: dict[str, Any] = {
    "cases": [
        {"case_id": "b", "classes": {"head": values(0.9), "tail": values(0.8)}, "seconds": 1.0},
        {"case_id": "a", "classes": {"head": values(0.7), "tail": values(0.0, "missed")}, "seconds": 2.0},
        {"case_id": "c", "classes": {"head": values(None, "both_empty"), "tail": values(0.6)}, "seconds": 3.0},
        {"case_id": "d<i>", "classes": {"head": values(0.8), "tail": values(0.0, "spurious")}, "seconds": 4.0},
    ],
    "aggregate": {
        "head": {"dice": stats(0.8, 1), "hd95_mm": stats(2.0, 1)},
        "tail": {"dice": stats(0.35), "hd95_mm": stats(None, 4)},
        "mean": {"dice": stats(0.575), "hd95_mm": stats(2.0)},
    },
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.12345, "0.123"), (0, "0.000"), (None, "–"), (math.nan, "–"), (math.inf, "–"), ("x", "–"), (True, "–")],
)
def test_number(value: Any, expected: str) -> None:
    assert number(value, 3) == expected


def test_columns_and_classes_in_their_order() -> None:
    assert [column.key for column in metric_columns(SUMMARY)] == ["dice", "hd95_mm"]
    assert class_names(SUMMARY) == ["head", "tail"]
    other = {"cases": [], "aggregate": {"x": {"volume_ml": {}, "dice": {}}, "mean": {}}}
    assert [column.name for column in metric_columns(other)] == ["Dice", "volume ml"]
    assert class_names(other) == ["x"]


def rows(html: str) -> list[list[str]]:
    found = re.findall(r"<tr>(.*?)</tr>", html.split("<tbody>")[1])
    return [[re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in found]


def test_cases_are_sorted_worst_first_and_undefined_last() -> None:
    head = rows(case_table(SUMMARY, "head"))
    assert [row[0] for row in head] == ["a", "d&lt;i&gt;", "b", "c"]
    assert head[-1] == ["c", "–", "–", "absent in both", "3.0"]
    tail = rows(case_table(SUMMARY, "tail"))
    assert [(row[0], row[3]) for row in tail[:2]] == [("a", "missed"), ("d&lt;i&gt;", "spurious")]
    assert tail[0][2] == "–"


def test_sort_keys_are_whole_numbers_not_rounded_ones() -> None:
    table = case_table({"cases": [{"case_id": "a", "classes": {"x": {"dice": 0.123456}}, "seconds": 1}]}, "x")
    assert 'data-value="0.123456"' in table
    assert 'style="background-size:12.3% 70%"' in table


def test_aggregate_shows_spread_interval_and_what_is_missing() -> None:
    head, tail, over = rows(aggregate_table(SUMMARY))
    assert head[:2] == ["head", "0.800 ± 0.100[0.750 – 0.850]n = 3"]
    assert head[3] == "1 absent in both"
    assert tail[1:] == ["0.350 ± 0.100[0.300 – 0.400]", "–", "1 missed, 1 spurious"]
    assert over[0] == "mean over classes"


def test_one_class_needs_no_mean_over_classes() -> None:
    one = {"cases": [], "aggregate": {"x": {"dice": stats(0.5)}, "mean": {"dice": stats(0.5)}}}
    assert [row[0] for row in rows(aggregate_table(one))] == ["x"]


def test_tiles_show_the_mean_over_classes_and_the_counts() -> None:
    text = re.sub(r"<[^>]+>", " ", tiles(SUMMARY))
    assert "0.575" in text
    assert "0.525 – 0.625" in text
    assert "1 absent in both, 1 missed, 1 spurious" in text
    assert "none missed, none spurious" in tiles({"cases": [], "aggregate": {}})


def test_score_and_description_use_what_is_defined() -> None:
    assert [case_score(case) for case in SUMMARY["cases"]] == pytest.approx([0.85, 0.35, 0.6, 0.4])
    assert case_score({"classes": {"x": {"dice": None}}}) is None
    assert describe_case(SUMMARY, "a") == "head: Dice 0.700, HD95 3.00 mm; tail: Dice 0.000, missed"
    assert describe_case(SUMMARY, "c") == "head: absent in both; tail: Dice 0.600, HD95 4.00 mm"
    assert describe_case(SUMMARY, "unknown") == ""


def test_strip_has_a_dot_per_defined_dice_in_order() -> None:
    strip = dice_strip(SUMMARY)
    dots = [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', strip)]
    assert len(dots) == 3 + 4
    first = [x for x, y in dots if y == dots[0][1]]
    assert sorted(first, reverse=True)[0] == first[0], "0.9 lies rightmost"
    assert all(190 <= x <= 970 for x, _ in dots)
    assert dice_strip({"cases": [], "aggregate": {}}) == ""


def test_tree_nests_folds_and_escapes() -> None:
    html = tree({"a": {"<b>": [1, 2]}, "n": None, "x": 0.1, "files": {str(index): "&" for index in range(13)}})
    assert "&lt;b&gt;" in html
    assert "1, 2" in html
    assert "<summary>13 entries</summary>" in html
    assert html.count("&amp;") == 13
    assert "<summary>" not in tree(dict.fromkeys("abcdefghijklmnopq", 1), fold=False)
    assert tree([{"a": 1}, [2]]).count("<table") == 2


def test_facts_escape_and_widen() -> None:
    html = facts([("command", "a <b>"), ("seed", "0")], wide=("command",))
    assert '<div class="wide"><dt>command</dt><dd><code>a &lt;b&gt;</code></dd></div>' in html

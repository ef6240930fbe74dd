"""The numbers of a report as HTML: tiles, tables, the strip of all cases and nested facts; all text is escaped here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

OVER_CLASSES = "mean"
UNDEFINED = "–"
STATES = {
    "both_present": "",
    "both_empty": "absent in both",
    "missed": "missed",
    "spurious": "spurious",
}
_FOLDED_FROM = 12

Summary = Mapping[str, Any]


@dataclass(frozen=True)
class _Column:
    """How a metric is headed and written."""

    key: str
    name: str
    unit: str
    digits: int


_KNOWN = (
    _Column("dice", "Dice", "", 3),
    _Column("jaccard", "Jaccard", "", 3),
    _Column("asd_mm", "ASD", "mm", 2),
    _Column("hd95_mm", "HD95", "mm", 2),
    _Column("nsd", "NSD", "", 3),
    _Column("asd_voxel", "ASD", "voxels", 2),
    _Column("hd95_voxel", "HD95", "voxels", 2),
)
_TILES = ("dice", "jaccard", "asd_mm", "hd95_mm", "nsd")


def defined(value: Any) -> bool:
    """Whether ``value`` is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def number(value: Any, digits: int) -> str:
    """A number with so many decimals; an en dash for what is undefined (None, NaN, infinite)."""
    return f"{float(value):.{digits}f}" if defined(value) else UNDEFINED


def metric_columns(summary: Summary) -> list[_Column]:
    """The metrics that a summary holds: those known in their usual order, then any others as they are called."""
    found: dict[str, None] = {}
    for metrics in summary.get("aggregate", {}).values():
        found.update(dict.fromkeys(metrics))
    for case in summary.get("cases", ()):
        for values in case["classes"].values():
            found.update(dict.fromkeys(key for key in values if key != "state"))
    known = [column for column in _KNOWN if column.key in found]
    names = {column.key for column in _KNOWN}
    return known + [_Column(key, key.replace("_", " "), "", 3) for key in found if key not in names]


def class_names(summary: Summary) -> list[str]:
    """The classes of a summary in the order of its cases, or of its aggregate when it has no case."""
    found: dict[str, None] = {}
    for case in summary.get("cases", ()):
        found.update(dict.fromkeys(case["classes"]))
    return list(found) or [name for name in summary.get("aggregate", {}) if name != OVER_CLASSES]


def case_score(case: Mapping[str, Any]) -> float | None:
    """A case's mean Dice over the classes that have one; None when no class has."""
    scores = [float(values["dice"]) for values in case["classes"].values() if defined(values.get("dice"))]
    return math.fsum(scores) / len(scores) if scores else None


def describe_case(summary: Summary, case_id: str) -> str:
    """The main metrics of a case on one line of plain text, per class when there are several."""
    columns = [column for column in metric_columns(summary) if column.key in ("dice", "asd_mm", "hd95_mm")]
    for case in summary.get("cases", ()):
        if case["case_id"] == case_id:
            parts = []
            for name, values in case["classes"].items():
                told = [
                    f"{column.name} {number(values[column.key], column.digits)} {column.unit}".strip()
                    for column in columns
                    if defined(values.get(column.key))
                ]
                state = STATES.get(values.get("state", ""), "")
                told += [state] if state else []
                parts.append((f"{name}: " if len(case["classes"]) > 1 else "") + ", ".join(told))
            return "; ".join(parts)
    return ""


def tiles(summary: Summary) -> str:
    """The aggregate over classes, one tile a metric, and one that counts the cases."""
    aggregate = summary.get("aggregate", {})
    over: Summary = aggregate.get(OVER_CLASSES) or next(iter(aggregate.values()), {})
    pieces: list[str] = []
    for column in metric_columns(summary):
        values = over.get(column.key)
        if column.key not in _TILES or not values:
            continue
        unit = f"<small>{escape(column.unit)}</small>" if column.unit else ""
        first = " first" if not pieces else ""
        pieces.append(
            f'<div class="tile{first}"><div class="name">mean {escape(column.name)}</div>'
            f'<div class="value">{number(values.get("mean"), column.digits)}{unit}</div>'
            f'<div class="range">95&#8239;% CI <span>{_interval(values, column.digits)}</span></div></div>'
        )
    pieces.append(
        f'<div class="tile"><div class="name">cases</div><div class="value">{len(summary.get("cases", ()))}</div>'
        f'<div class="range">{escape(_state_text(summary, class_names(summary)))}</div></div>'
    )
    return f'<div class="tiles">{"".join(pieces)}</div>'


def aggregate_table(summary: Summary) -> str:
    """Mean, standard deviation and interval of every metric, a row per class, and how many cases had none."""
    names, columns = class_names(summary), metric_columns(summary)
    aggregate = summary.get("aggregate", {})
    rows = [name for name in names if name in aggregate]
    if OVER_CLASSES in aggregate and len(rows) != 1:
        rows.append(OVER_CLASSES)
    body = []
    for name in rows:
        cells = "".join(_aggregate_cell(aggregate[name].get(column.key) or {}, column) for column in columns)
        label = "<em>mean over classes</em>" if name == OVER_CLASSES else escape(name)
        states = "" if name == OVER_CLASSES else escape(_state_text(summary, [name]))
        body.append(f'<tr><td>{label}</td>{cells}<td class="text">{states}</td></tr>')
    head = "<th>class</th>" + "".join(_head(column) for column in columns) + '<th class="text">missed, spurious</th>'
    told = "mean ± standard deviation over cases, [95&#8239;% interval of the mean], n where it is undefined for some"
    return (
        f'<div class="scroll"><table><caption>{told}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def case_table(summary: Summary, name: str) -> str:
    """One class: a row per case, the worst first; cases without a Dice come last."""
    columns = metric_columns(summary)
    rows = [(case, case["classes"][name]) for case in summary.get("cases", ()) if name in case["classes"]]
    rows.sort(key=lambda row: (not defined(row[1].get("dice")), row[1].get("dice") or 0.0, row[0]["case_id"]))
    body = []
    for case, values in rows:
        state, case_id = values.get("state", ""), escape(str(case["case_id"]))
        cells = "".join(_case_cell(values.get(column.key), column) for column in columns)
        told = STATES.get(state, state)
        body.append(
            f'<tr><td class="mono" data-value="{case_id}">{case_id}</td>{cells}'
            f'<td class="text {escape(state)}" data-value="{escape(told)}">{escape(told)}</td>'
            f"{_cell(case.get('seconds'), 1)}</tr>"
        )
    head = "<th>case</th>" + "".join(_head(column) for column in columns)
    head = head.replace("<th>Dice", '<th aria-sort="ascending">Dice', 1)
    head += '<th class="text">state</th><th>time<br><span class="unit">s</span></th>'
    return (
        f'<div class="scroll"><table class="sortable"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def dice_strip(summary: Summary) -> str:
    """Every case's Dice as a dot on a line per class, with the mean and its interval."""
    names = class_names(summary)
    scores = {
        name: [case["classes"][name]["dice"] for case in summary.get("cases", ()) if _has_dice(case, name)]
        for name in names
    }
    names = [name for name in names if scores[name]]
    if not names:
        return ""
    lowest = min(min(scores[name]) for name in names)
    low = min(max(math.floor(10 * lowest - 0.2) / 10, 0.0), 0.9)
    step = 0.02 if low >= 0.9 else 0.05 if low >= 0.7 else 0.1 if low >= 0.3 else 0.2
    low = step * math.floor(low / step + 1e-9)
    left, wide, row = 190, 780, 34

    def at(value: float) -> float:
        return left + wide * (value - low) / (1 - low)

    height = row * len(names) + 30
    ticks = [low + step * index for index in range(round((1 - low) / step) + 1)]
    parts = [
        f'<line x1="{at(tick):.1f}" x2="{at(tick):.1f}" y1="4" y2="{height - 24}" stroke="currentColor" opacity=".15"/>'
        f'<text x="{at(tick):.1f}" y="{height - 8}" text-anchor="middle" fill="currentColor">{tick:.2f}</text>'
        for tick in ticks
    ]
    for index, name in enumerate(names):
        middle = row * index + row / 2 + 2
        label = name if len(name) <= 26 else name[:25] + "…"
        parts.append(
            f'<text x="{left - 12}" y="{middle + 4:.1f}" text-anchor="end" fill="currentColor">{escape(label)}</text>'
        )
        stats = summary.get("aggregate", {}).get(name, {}).get("dice", {})
        parts.append(_mean_mark(stats, at, middle))
        parts += [
            f'<circle cx="{at(score):.1f}" cy="{middle:.1f}" r="4" fill="var(--accent)" fill-opacity=".55"/>'
            for score in scores[name]
        ]
    title = "Dice of every case; the bar is the 95 % interval of the mean, the line in it the mean"
    return (
        f'<svg class="strip" viewBox="0 0 1000 {height}" role="img" aria-label="{title}"><title>{title}</title>'
        f'{"".join(parts)}</svg><p class="soft">{title}.</p>'
    )


def facts(pairs: Iterable[tuple[str, str]], wide: Sequence[str] = ()) -> str:
    """Names and values side by side; those in ``wide`` take a line each, in the letters of a terminal."""
    pieces = []
    for name, value in pairs:
        kind, inner = (' class="wide"', f"<code>{escape(value)}</code>") if name in wide else ("", escape(value))
        pieces.append(f"<div{kind}><dt>{escape(name)}</dt><dd>{inner}</dd></div>")
    return f'<dl class="facts">{"".join(pieces)}</dl>'


def tree(value: Any, fold: bool = True) -> str:
    """Nested mappings and lists as nested tables; long ones are folded, the outermost one only with ``fold``."""
    if isinstance(value, Mapping) and value:
        rows = "".join(f"<tr><td>{escape(str(key))}</td><td>{tree(inner)}</td></tr>" for key, inner in value.items())
        return _folded(f'<table class="tree"><tbody>{rows}</tbody></table>', len(value) if fold else 0)
    if isinstance(value, (list, tuple)) and any(isinstance(inner, (Mapping, list, tuple)) for inner in value):
        rows = "".join(f"<tr><td>{index}</td><td>{tree(inner)}</td></tr>" for index, inner in enumerate(value))
        return _folded(f'<table class="tree"><tbody>{rows}</tbody></table>', len(value))
    if isinstance(value, (list, tuple)):
        return _folded(escape(", ".join(str(inner) for inner in value)), len(value))
    if value is None or value == {}:
        return UNDEFINED
    return escape(f"{value:g}" if isinstance(value, float) else str(value))


def _folded(inner: str, count: int) -> str:
    return f"<details><summary>{count} entries</summary>{inner}</details>" if count > _FOLDED_FROM else inner


def _has_dice(case: Mapping[str, Any], name: str) -> bool:
    return defined(case["classes"].get(name, {}).get("dice"))


def _interval(values: Mapping[str, Any], digits: int) -> str:
    low, high = values.get("ci95") or (None, None)
    return f"{number(low, digits)} – {number(high, digits)}" if defined(low) and defined(high) else UNDEFINED


def _state_text(summary: Summary, names: Sequence[str]) -> str:
    """How many masks were missed, spurious or absent in both, in words."""
    states = [
        case["classes"][name].get("state")
        for case in summary.get("cases", ())
        for name in names
        if name in case["classes"]
    ]
    told = [f"{states.count(state)} {words}" for state, words in STATES.items() if words and states.count(state)]
    return ", ".join(told) or "none missed, none spurious"


def _aggregate_cell(values: Mapping[str, Any], column: _Column) -> str:
    if not defined(values.get("mean")):
        return f"<td>{UNDEFINED}</td>"
    spread = (
        f' <span class="spread">± {number(values.get("sd"), column.digits)}</span>' if defined(values.get("sd")) else ""
    )
    interval = _interval(values, column.digits)
    below = f'<span class="below">[{interval}]</span>' if interval != UNDEFINED else ""
    below += f'<span class="below">n = {tree(values.get("n"))}</span>' if values.get("undefined") else ""
    return f"<td>{number(values['mean'], column.digits)}{spread}{below}</td>"


def _case_cell(value: Any, column: _Column) -> str:
    """A cell; shares of 1 have a bar behind the number."""
    share = column.key in ("dice", "jaccard", "nsd") and defined(value)
    bar = f' class="bar" style="background-size:{100 * min(max(value, 0), 1):.1f}% 70%"' if share else ""
    return f'<td{bar} data-value="{value if defined(value) else ""}">{number(value, column.digits)}</td>'


def _cell(value: Any, digits: int) -> str:
    return f'<td data-value="{value if defined(value) else ""}">{number(value, digits)}</td>'


def _head(column: _Column) -> str:
    unit = f'<br><span class="unit">{escape(column.unit)}</span>' if column.unit else ""
    return f"<th>{escape(column.name)}{unit}</th>"


def _mean_mark(stats: Mapping[str, Any], at: Any, middle: float) -> str:
    mark = ""
    if defined((stats.get("ci95") or [None])[0]):
        low, high = (at(max(bound, 0.0)) for bound in stats["ci95"])
        mark += (
            f'<rect x="{low:.1f}" y="{middle - 10:.1f}" width="{max(high - low, 1):.1f}" height="20" rx="3" '
            'fill="currentColor" opacity=".14"/>'
        )
    if defined(stats.get("mean")):
        x = at(stats["mean"])
        mark += (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{middle - 12:.1f}" y2="{middle + 12:.1f}" stroke="currentColor" '
            'stroke-width="2"/>'
        )
    return mark

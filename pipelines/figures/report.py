"""The report of a run: one HTML file that holds everything it shows, opens offline and prints well."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from pipelines.console import NOT_FOR_DIAGNOSIS
from pipelines.figures.curves import curves_png
from pipelines.figures.report_slices import animation_figure, slices_section
from pipelines.figures.report_style import SCRIPT, STYLE, content_policy
from pipelines.figures.report_tables import (
    Summary,
    aggregate_table,
    case_score,
    case_table,
    class_names,
    defined,
    describe_case,
    dice_strip,
    facts,
    tiles,
    tree,
)
from pipelines.figures.slice_animation import Animation
from transforms.io.atomic import write_text_atomic

__all__ = ["Picture", "describe_case", "pick_cases", "write_report"]


@dataclass(frozen=True)
class Picture:
    """A picture of the report.

    Attributes:
        png: the file's content.
        title: the heading above it, such as ``worst: case 17``.
        caption: a line below the heading, such as ``describe_case`` gives.
    """

    png: bytes
    title: str
    caption: str = ""


def pick_cases(summary: Summary) -> dict[str, str]:
    """Choose the cases to show, by their mean Dice over the classes that have one.

    Args:
        summary: the content of ``summary.json``.

    Returns:
        Case ids under ``best``, ``median`` (the lower of two) and ``worst``; few cases appear under several names.
        Empty when no case has a Dice.
    """
    scored = [
        (score, str(case["case_id"])) for case in summary.get("cases", ()) if (score := case_score(case)) is not None
    ]
    if not scored:
        return {}
    ranked = [case_id for _, case_id in sorted(scored)]
    return {"best": ranked[-1], "median": ranked[(len(ranked) - 1) // 2], "worst": ranked[0]}


def write_report(
    path: str | Path,
    *,
    title: str,
    run: Mapping[str, Any],
    summary: Summary | None = None,
    metrics_csv: str | Path | None = None,
    config_text: str = "",
    pictures: Sequence[Picture] = (),
    labels: Sequence[Picture] = (),
    notes: Sequence[str] = (),
    animations: Sequence[Animation] = (),
) -> None:
    """Write the report, whole or not at all.

    Whatever is missing is left out; nothing in the arguments is taken for HTML.

    Args:
        path: the HTML file.
        title: its heading.
        run: the content of ``run.json``; ``command``, ``started``, ``wall_seconds``, ``device``, ``seed``,
            ``iterations``, ``peak_host_mib``, ``peak_gpu_mib`` and ``git_revision`` come to the top, ``data`` gets a
            section of its own, and the rest is listed at the end.
        summary: the content of ``summary.json``; None when nothing was evaluated.
        metrics_csv: the log of the training.
        config_text: the resolved configuration.
        pictures: pictures of cases, as ``pipelines.figures.overlays.case_png`` draws them, in the order to show.
        labels: pictures of how far each noisy label came to be trusted.
        notes: what the reader must know first, a sentence each.
        animations: ways through the slices of cases, in the order to show.
    """
    sections = [_top(title, run, summary, notes)]
    if summary is not None:
        # Who only detects has no masks to measure.
        sections += [_results(summary)] if summary.get("cases") or not summary.get("detection") else []
        sections.append(slices_section(summary))
    if animations:
        shown = "".join(animation_figure(animation) for animation in animations)
        sections.append(f"<h2>Slice by slice</h2>{shown}")
    if pictures:
        sections.append("<h2>Cases</h2>" + "".join(_figure(picture) for picture in pictures))
    if summary is not None and summary.get("cases"):
        sections.append(_per_case(summary))
    if labels:
        sections.append("<h2>Trust in each label</h2>" + "".join(_figure(picture) for picture in labels))
    sections.append(_training(metrics_csv))
    if summary is not None and summary.get("definitions"):
        sections.append(f"<h2>What the numbers mean</h2>{tree(summary['definitions'], fold=False)}")
    sections.append(_provenance(run, summary, config_text))
    write_text_atomic(path, _page(title, "\n".join(section for section in sections if section)))


def _page(title: str, body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{content_policy()}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n"
        f"<footer>{NOT_FOR_DIAGNOSIS} Written by Concord; this file needs no network.</footer>\n"
        f"</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _top(title: str, run: Mapping[str, Any], summary: Summary | None, notes: Sequence[str]) -> str:
    """Heading, what was run, when, where and for how long, and the notes."""
    command = run.get("command", "")
    told = {
        "command": shlex.join(map(str, command)) if isinstance(command, (list, tuple)) else str(command or ""),
        "started": str(run.get("started") or "").replace("T", " ").replace("+00:00", " UTC"),
        # What was computed before an interruption is not known to the process that went on.
        "time since the last resume" if run.get("resumed") else "wall time": _duration(run.get("wall_seconds")),
        "device": str(run.get("device") or ""),
        "peak memory": _memory(run),
        "iterations": str(run.get("iterations") or ""),
        "seed": str(run.get("seed", "")),
        "source revision": str(run.get("git_revision") or ""),
        "evaluated on": _split(summary),
    }
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return (
        f'<header><h1>{escape(title)}</h1><span class="intended">{NOT_FOR_DIAGNOSIS}</span>'
        f"{facts(((name, value) for name, value in told.items() if value), wide=('command',))}</header>"
        + (f'<div class="notes"><ul>{listed}</ul></div>' if listed else "")
    )


def _results(summary: Summary) -> str:
    """Tiles, the strip of all cases, and the aggregate per class."""
    return f"<h2>Results</h2>{tiles(summary)}{dice_strip(summary)}{aggregate_table(summary)}"


def _per_case(summary: Summary) -> str:
    names = class_names(summary)
    tables = [(f"<h3>{escape(name)}</h3>" if len(names) > 1 else "") + case_table(summary, name) for name in names]
    return '<h2>Every case, worst first</h2><p class="soft">Click a heading to sort by it.</p>' + "".join(tables)


def _figure(picture: Picture) -> str:
    detail = f'<span class="detail">{escape(picture.caption)}</span>' if picture.caption else ""
    words = escape(f"{picture.title}. {picture.caption}".strip())
    return (
        f'<figure class="case"><figcaption><strong>{escape(picture.title)}</strong>{detail}</figcaption>'
        f'<img alt="{words}" src="{_data_url(picture.png)}"></figure>'
    )


def _training(metrics_csv: str | Path | None) -> str:
    """The curves, once for light and once for dark pages."""
    if metrics_csv is None or not Path(metrics_csv).is_file():
        return ""
    light, dark = (curves_png(metrics_csv, dark=shade) for shade in (False, True))
    if light is None or dark is None:
        return ""
    return (
        f'<h2>Training</h2><figure><picture><source media="screen and (prefers-color-scheme: dark)" '
        f'srcset="{_data_url(dark)}"><img alt="Losses, validation Dice and schedules over iterations" '
        f'src="{_data_url(light)}"></picture></figure>'
    )


def _provenance(run: Mapping[str, Any], summary: Summary | None, config_text: str) -> str:
    """What is needed to repeat the run, folded."""
    above = ("data", "command", "started", "intended_use")
    rest = {name: value for name, value in run.items() if name not in above}
    parts = [
        ("Data fingerprint", tree(run["data"]) if run.get("data") else ""),
        ("Evaluation settings", tree(summary["settings"]) if summary and summary.get("settings") else ""),
        ("Resolved configuration", f"<pre>{escape(config_text)}</pre>" if config_text.strip() else ""),
        ("Run record", tree(rest) if rest else ""),
    ]
    folds = [f"<details><summary>{name}</summary>{inner}</details>" for name, inner in parts if inner]
    return f"<h2>Data, configuration and environment</h2>{''.join(folds)}" if folds else ""


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _duration(seconds: Any) -> str:
    if not defined(seconds):
        return ""
    hours, rest = divmod(round(float(seconds)), 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {left:02d} s" if minutes else f"{left} s"


def _memory(run: Mapping[str, Any]) -> str:
    """Peak memory of the host and of the GPU, in GiB above one of them."""
    told = []
    for key, place in (("peak_host_mib", "host"), ("peak_gpu_mib", "GPU")):
        if defined(run.get(key)):
            mib = float(run[key])
            told.append(f"{mib / 1024:.1f} GiB {place}" if mib >= 1024 else f"{mib:.0f} MiB {place}")
    return ", ".join(told)


def _split(summary: Summary | None) -> str:
    if summary is None or not summary.get("cases"):
        return ""
    count = len(summary["cases"])
    return f"{count} {summary.get('split', '')} case{'s' if count != 1 else ''}".replace("  ", " ")

"""What a report says of networks that look at slices: detections, Dice of volumes, and a way through the slices."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from typing import Any

from pipelines.figures.detection_charts import detection_png
from pipelines.figures.report_tables import Summary
from pipelines.figures.slice_animation import Animation

_SCORES = (
    ("auc", "AUC"),
    ("average_precision", "average precision"),
    ("sensitivity", "sensitivity"),
    ("specificity", "specificity"),
    ("ece", "ECE"),
    ("brier", "Brier"),
)


def slices_section(summary: Summary) -> str:
    """Give HTML of the published volume Dice, the detections and what it took; empty where there is nothing of it."""
    parts = []
    if summary.get("volume_dice"):
        parts.append(f"<h2>Dice of whole volumes, as published</h2>{_volume_dice(summary['volume_dice'])}")
    if summary.get("detection"):
        parts.append(f"<h2>Detection</h2>{_detection(summary['detection'])}")
    if summary.get("resources"):
        parts.append(_resources(summary["resources"]))
    return "".join(parts)


def animation_figure(animation: Animation) -> str:
    """Give HTML of frames with a slider; without scripts the middle frame shows."""
    count = len(animation.frames)
    middle = count // 2
    shown = "".join(
        f'<img alt="{escape(told)}" src="data:image/jpeg;base64,{base64.b64encode(frame).decode()}"'
        f"{'' if index == middle else ' hidden'}>"
        for index, (frame, told) in enumerate(zip(animation.frames, animation.told, strict=True))
    )
    legend = "".join(
        f'<i class="swatch" style="background:{colour}"></i>{escape(name)}' for name, colour in animation.legend
    )
    detail = f'<span class="detail">{escape(animation.caption)}</span>' if animation.caption else ""
    return (
        f'<figure class="case slices"><figcaption><strong>{escape(animation.title)}</strong>{detail}'
        f'<span class="detail">{legend}</span></figcaption>'
        f'<div class="keys" hidden><button type="button">Play</button><input type="range" min="0" max="{count - 1}" '
        f'value="{middle}" step="1" aria-label="slice"></div>'
        f'<p class="soft told">{escape(animation.told[middle])}</p>{shown}</figure>'
    )


def _volume_dice(found: Mapping[str, Any]) -> str:
    heads = ("class", "Dice", "volumes", "without the class", "of these with false positives", "false positives, mL")
    rows = [
        (name, _number(row["dice"]), row["volumes"], row["absent"], row["false_positive_volumes"])
        + (_number(row["false_positive_ml"], 4),)
        for name, row in found["classes"].items()
    ]
    return _table(heads, [*rows, ("mean over classes", _number(found["dice"]), "", "", "", "")])


def _detection(found: Mapping[str, Any]) -> str:
    """Tables of both levels, and the charts of the slices, or of the volumes where there are no slices."""
    parts = []
    levels = [level for level in ("slices", "volumes") if found.get(level, {}).get("n")]
    for level in levels:
        rows = [
            (name, row["positives"], row["negatives"], *(_number(row[score]) for score, _ in _SCORES))
            for name, row in found[level]["kinds"].items()
        ]
        means = [_number(found[level]["mean"].get(score)) for score, _ in _SCORES]
        heads = ("kind", "holding it", "not", *(head for _, head in _SCORES))
        parts.append(f"<h3>{level.capitalize()}</h3>" + _table(heads, [*rows, ("mean over kinds", "", "", *means)]))
    for level in levels[:1]:
        light, dark = (detection_png(found, level, dark=shade) for shade in (False, True))
        if light is not None and dark is not None:
            parts.append(
                '<figure><picture><source media="screen and (prefers-color-scheme: dark)" '
                f'srcset="{_png_url(dark)}"><img alt="ROC curves and reliability of the detections, {level}" '
                f'src="{_png_url(light)}"></picture></figure>'
            )
    return "".join(parts)


def _resources(found: Mapping[str, Any]) -> str:
    told = [f"{found['seconds_per_volume']:.2f} s per volume"] if found.get("seconds_per_volume") is not None else []
    for key, place in (("peak_host_mib", "of host memory"), ("peak_gpu_mib", "of GPU memory")):
        if found.get(key) is not None:
            told.append(f"at most {found[key]:.0f} MiB {place}")
    return f'<p class="soft">It took {", ".join(told)}.</p>' if told else ""


def _table(heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _number(value: float | None, digits: int = 3) -> str:
    return "\u2013" if value is None else f"{value:.{digits}f}"


def _png_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"

"""The page of a study of losses: one HTML file that holds everything it shows and opens offline."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps

from pipelines.console import NOT_FOR_DIAGNOSIS, progress
from pipelines.figures.loss_maps import (
    DIFFERENCE_COLOURS,
    KINDS,
    MapScale,
    chosen_moments,
    common_scales,
    picture_of,
)
from pipelines.figures.report_style import STYLE
from pipelines.figures.study_charts import DASHES, PANELS, measure_rows, style_of
from pipelines.figures.study_script import STUDY_SCRIPT, study_policy
from pipelines.loss_study.landscape import PLANES
from pipelines.loss_study.recording import Moment, PicturedCase, read_cases, read_moment, recorded_iterations
from pipelines.loss_study.study import StudiedRun, findings
from transforms.io.atomic import write_text_atomic

MOMENTS = 12
_DIGITS = 5
_COLUMNS = (
    ("iou", "IoU"),
    ("pixel_accuracy", "accuracy"),
    ("confidence_foreground", "conf. of foregr."),
    ("confidence_background", "conf. of backgr."),
    ("ece", "ECE"),
    ("ace", "ACE"),
    ("brier", "Brier"),
)
_STYLE = """
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: .4rem 1.2rem; }
.charts.narrow { grid-template-columns: repeat(auto-fill, minmax(165px, 1fr)); }
.charts figure { margin: .3rem 0 .6rem; min-width: 0; }
svg.chart { width: 100%; height: auto; display: block; touch-action: pan-y; }
svg.chart text { fill: var(--soft); font-size: 11px; } svg.chart text.title { fill: var(--ink); font-size: 12.5px;
  font-weight: 600; } svg.chart .end { text-anchor: end; } svg.chart .middle { text-anchor: middle; }
svg.chart .grid { stroke: var(--line); } svg.chart .mark { stroke: var(--soft); stroke-dasharray: 3 3; }
.told { font-size: .78rem; color: var(--soft); display: flex; flex-wrap: wrap; gap: 0 .8rem; min-height: 1.2em;
  font-variant-numeric: tabular-nums; }
.told i, i.swatch { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .35em; }
.bar-top { position: sticky; top: 0; z-index: 2; background: var(--page); border-bottom: 1px solid var(--line);
  padding: .5rem 0; display: flex; gap: 1rem; align-items: center; flex-wrap: wrap; }
.bar-top input { flex: 1 1 240px; accent-color: var(--accent); }
button, select { font: inherit; font-size: .88rem; color: var(--ink); background: var(--card);
  border: 1px solid var(--line); border-radius: 6px; padding: .2rem .7rem; }
canvas.map { width: 100%; min-width: 120px; image-rendering: pixelated; display: block; border-radius: 4px; }
table.ends th { white-space: normal; min-width: 0; } table.ends td:first-child { min-width: 11rem; max-width: 15rem; }
table.maps { table-layout: fixed; }
table.maps th, table.maps td { text-align: left; white-space: normal; border-bottom: 0; }
table.maps th:first-child { width: 7.5rem; }
.surfaces { display: grid; grid-template-columns: 1.5fr 1fr; gap: 1rem; align-items: center; margin-top: .6rem; }
.surfaces canvas { width: 100%; height: auto; border-radius: 6px; } #solid { cursor: grab; touch-action: none; }
#flat { image-rendering: pixelated; cursor: crosshair; }
ul.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0; font-size: .85rem; }
ul.legend i { display: inline-block; width: .9em; height: .9em; margin-right: .4em; border-radius: 3px; }
"""

Study = Mapping[str, Any]


def write_study_page(path: Path, runs: Sequence[StudiedRun], study: Study) -> None:
    """Write the page, whole or not at all; nothing in the arguments is taken for HTML or for a script.

    Maps, reliability diagrams and surfaces are those of the first seed; curves are means over the seeds.

    Args:
        path: the HTML file.
        runs: all trainings.
        study: as :func:`pipelines.loss_study.study.gather_study` gives it.
    """
    data = _data([run for run in runs if run.seed == runs[0].seed], study)
    # In a script element only "<" could end the data.
    embedded = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    body = "\n".join([_top(study), _table(study), _moving(data), _curves(study), _surfaces(data), _words(study)])
    write_text_atomic(
        path,
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{study_policy()}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Study of losses</title>\n<style>{STYLE}{_STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n"
        f"<footer>{NOT_FOR_DIAGNOSIS} Written by Concord; this file needs no network.</footer>\n</main>\n"
        f'<script type="application/json" id="study">{embedded}</script>\n'
        f"<script>{STUDY_SCRIPT}</script>\n</body>\n</html>\n",
    )


def _data(runs: Sequence[StudiedRun], study: Study) -> dict[str, Any]:
    """Everything that the script draws; ``runs`` are those of one seed, in the order of the study's losses."""
    shared = set.intersection(*(set(recorded_iterations(run.recording)) for run in runs))
    steps = chosen_moments(sorted(shared), MOMENTS)
    moments = [[read_moment(run.recording, step) for step in steps] for run in progress(runs, "page")]
    cases = [case for case in read_cases(runs[0].recording) if case.label.ndim == 2]
    scales = common_scales([moment for found in moments for moment in found]) if cases else {}
    return {
        "moments": steps,
        "measures": [{"name": name, "title": title} for name, title, _ in PANELS],
        "kinds": ["prediction", *(kind for kind in KINDS if kind in scales)],
        "scales": {kind: vars(scale) for kind, scale in scales.items()},
        "colours": {**{kind: _table_of(KINDS[kind][1]) for kind in KINDS}, "surface": _table_of("viridis")},
        "difference": {
            "0": [[0, 0, 0], "background, found as such"],
            **{str(code): [_rgb(colour), words] for code, (colour, words) in DIFFERENCE_COLOURS.items()},
        },
        "cases": [_of_case(case) for case in cases],
        "losses": [
            _of_loss(index, loss, run, found, len(cases), scales)
            for index, (loss, run, found) in enumerate(zip(study["losses"], runs, moments, strict=True))
        ],
    }


def _of_loss(
    index: int,
    loss: Mapping[str, Any],
    run: StudiedRun,
    moments: Sequence[Moment],
    cases: int,
    scales: Mapping[str, MapScale],
) -> dict[str, Any]:
    iterations = measure_rows(loss, "iou")[0]
    return {
        "text": loss["text"],
        "colour": style_of(index)[0],
        "dash": "" if style_of(index)[1] == DASHES[0] else "5 3",
        "iterations": iterations,
        "series": {name: _mean(measure_rows(loss, name)[1]) for name, _, _ in PANELS},
        "curve": None if loss["curve"] is None else {name: _rounded(part) for name, part in loss["curve"].items()},
        "bins": [moment.scores.foreground_bins.to_json() for moment in moments],
        "ece": [moment.scores.values["ece"] for moment in moments],
        "ace": [moment.scores.values["ace"] for moment in moments],
        "maps": [
            {kind: _sprite(moments, kind, case, scales.get(kind)) for kind in ("prediction", *KINDS)}
            for case in range(cases)
        ],
        "surfaces": {
            plane: {name: _rounded(part) for name, part in loss["runs"][0]["landscape"][plane].items()}
            for plane in PLANES
            if plane in loss["runs"][0]["landscape"]
        },
        "folder": run.folder.name,
    }


def _sprite(moments: Sequence[Moment], kind: str, case: int, scale: MapScale | None) -> str | None:
    """A map at all moments, one below the other, as a picture of 8 bit; None where there is no such map."""
    if kind not in moments[0].maps:
        return None
    parts = [moment.maps[kind][case] for moment in moments]
    codes = [part if scale is None else np.rint(255 * np.nan_to_num(scale.shares(part), nan=1.0)) for part in parts]
    return _picture(np.concatenate(codes).astype(np.uint8))


def _of_case(case: PicturedCase) -> dict[str, Any]:
    high, wide = case.label.shape
    return {
        "id": case.case_id,
        "width": wide,
        "height": high,
        "picture": _picture(np.rint(255 * picture_of(case)).astype(np.uint8)),
        "label": _picture(case.label.astype(np.uint8)),
    }


def _picture(pixels: np.ndarray) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _top(study: Study) -> str:
    told = findings(study, study["threshold"]["share"], study["threshold"]["iou"])
    seeds = ", ".join(map(str, study["seeds"]))
    told += [
        f"Seeds: {seeds}. All but the test column is measured on the validation cases, on the network's own grid",
        *(["One seed tells nothing of how much of a difference is chance"] if len(study["seeds"]) == 1 else []),
    ]
    listed = "".join(f"<li>{escape(line)}.</li>" for line in told)
    return (
        f'<header><h1>Study of losses</h1><span class="intended">{NOT_FOR_DIAGNOSIS}</span></header>'
        f'<div class="notes"><ul>{listed}</ul></div>'
    )


def _table(study: Study) -> str:
    heads = ["loss", "iterations to the IoU", *(title for _, title in _COLUMNS), "test IoU", "seconds"]
    rows = []
    for index, loss in enumerate(study["losses"]):
        reached = loss["reached_iteration"]
        cells = [_spread(loss["final"][name]) for name, _ in _COLUMNS]
        cells += [_spread(loss["test"].get("iou")), _spread(loss["training_seconds"], 0)]
        swatch = f'<i class="swatch" style="background:{style_of(index)[0]}"></i>'
        detail = escape("; ".join(part for part in (loss["formula"], loss["paper"]) if part))
        rows.append(
            f'<tr><td>{swatch}{escape(loss["text"])}<span class="below">{detail}</span></td>'
            f"<td>{'never' if reached is None else f'{reached:g}'}</td>"
            f"{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        )
    return (
        '<h2>At the end</h2><div class="scroll"><table class="ends"><thead><tr>'
        + "".join(f"<th>{escape(head)}</th>" for head in heads)
        + f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _moving(data: Mapping[str, Any]) -> str:
    """The parts that follow the slider."""
    last = len(data["moments"]) - 1
    maps = "".join(f"<th>{escape(_title(kind))}</th>" for kind in data["kinds"])
    legend = "".join(
        f'<li><i style="background:{colour}"></i>{escape(words)}</li>' for colour, words in DIFFERENCE_COLOURS.values()
    )
    shown = (
        f'<h2>Maps</h2><p><label>Case <select id="case"></select></label> <span id="pixel" class="soft">Point at a map '
        f'to read it.</span></p><ul class="legend">{legend}</ul><div class="scroll"><table class="maps" id="maps">'
        f"<thead><tr><th></th>{maps}</tr></thead><tbody></tbody></table></div>"
        if data["cases"]
        else ""
    )
    return (
        '<noscript><p class="notes">Without scripts the figures folder beside this page shows the same.</p></noscript>'
        '<div class="bar-top"><button id="play" type="button">Play</button><input id="moment" type="range" min="0" '
        f'max="{last}" value="{last}" step="1" aria-label="moment of training"><b id="now"></b></div>'
        '<h2>Through training</h2><div class="charts" id="progress"></div>'
        '<h2>Reliability of the foreground\'s probability</h2><p class="soft">How often pixels are foreground where '
        "the network says so with a probability; on the diagonal it is right about itself. Bars: how many pixels, on a "
        f'logarithmic scale.</p><div class="charts narrow" id="reliability"></div>{shown}'
    )


def _title(kind: str) -> str:
    return "right and wrong" if kind == "prediction" else KINDS[kind][0]


def _curves(study: Study) -> str:
    without = [loss["text"] for loss in study["losses"] if loss["curve"] is None]
    note = f" Not made of pixels' own losses: {escape(', '.join(without))}." if without else ""
    return (
        '<h2>Loss and gradient of a pixel</h2><p class="soft">Against the probability of its own class.'
        f'{note}</p><div class="charts" id="curves"></div>'
    )


def _surfaces(data: Mapping[str, Any]) -> str:
    if not any(loss["surfaces"] for loss in data["losses"]):
        return ""
    planes = {"random": "random directions, filter-normalised", "trajectory": "the training's own two directions"}
    options = "".join(f'<option value="{plane}">{words}</option>' for plane, words in planes.items())
    return (
        '<h2>Around the solution</h2><p class="soft">Each loss over a plane of weights, of a few training cases. Drag '
        "to turn, or use the arrow keys; point at the map to read it. The loss is drawn by the logarithm of its height "
        'above the lowest point.</p><p><label>Loss <select id="surface-loss"></select></label> '
        f'<label>Plane <select id="surface-plane">{options}</select></label> <label>Height <select id="surface-value">'
        '<option value="loss">loss</option><option value="iou">IoU</option></select></label></p>'
        '<div class="surfaces"><canvas id="solid" width="720" height="520" tabindex="0" role="img" '
        'aria-label="surface"></canvas><canvas id="flat" width="420" height="420" role="img" aria-label="map of the '
        'surface"></canvas></div><p class="soft" id="surface-told"></p>'
    )


def _words(study: Study) -> str:
    listed = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(words)}</td></tr>" for name, words in study["definitions"].items()
    )
    return f'<h2>What the numbers mean</h2><table class="tree">{listed}</table>'


def _spread(values: Mapping[str, float | None] | None, digits: int = 4) -> str:
    if values is None or values["mean"] is None:
        return "&ndash;"
    spread = "" if values["sd"] is None else f' <span class="spread">&plusmn; {values["sd"]:.{digits}f}</span>'
    return f"{values['mean']:.{digits}f}{spread}"


def _mean(rows: np.ndarray) -> list[float | None]:
    """Mean over the seeds where one is defined."""
    means = [float(column[np.isfinite(column)].mean()) if np.isfinite(column).any() else None for column in rows.T]
    return [None if mean is None else round(mean, _DIGITS) for mean in means]


def _rounded(values: Any) -> Any:
    """Numbers in nested lists to five significant digits, to keep the page small."""
    if isinstance(values, list):
        return [_rounded(value) for value in values]
    if isinstance(values, float):
        return float(f"{values:.{_DIGITS}g}") if math.isfinite(values) else None
    return values


def _table_of(name: str) -> list[list[int]]:
    return [[round(255 * part) for part in colormaps[name](place)[:3]] for place in range(256)]


def _rgb(colour: str) -> list[int]:
    return [int(colour[start : start + 2], 16) for start in (1, 3, 5)]

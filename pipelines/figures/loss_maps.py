"""Maps of what a loss sees in each pixel, all losses and moments on one scale of colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch

from pipelines.figures.study_charts import INK, labelled
from pipelines.loss_study.pixel_maps import difference_map
from pipelines.loss_study.recording import Moment, PicturedCase

# Kind of map: its words, its colours, and how it is stretched (1: as it is, 0.5: by its root, for small values).
KINDS: dict[str, tuple[str, str, float]] = {
    "loss": ("loss of the pixel", "viridis", 0.5),
    "confidence": ("probability of the true class", "cividis", 1.0),
    "gradient": ("length of the gradient, times the number of pixels", "magma", 0.5),
}
DIFFERENCE = "difference"
# Okabe and Ito's colours of right and wrong foreground; what is right background shows the image.
DIFFERENCE_COLOURS = {
    1: ("#F0E442", "foreground found"),
    2: ("#D55E00", "foreground missed"),
    3: ("#0072B2", "background taken for foreground"),
    4: ("#CC79A7", "foreground of another class"),
}
_SHARE_SHOWN = 99.9


@dataclass(frozen=True)
class MapScale:
    """The one scale of a kind of map.

    Attributes:
        low: the value of the first colour.
        high: the value of the last; larger ones have that colour too.
        power: 1 for even steps of value, 0.5 for even steps of its root.
    """

    low: float
    high: float
    power: float

    def shares(self, values: np.ndarray) -> np.ndarray:
        """Place of each value on the scale, 0 to 1."""
        return np.asarray(np.clip((values - self.low) / (self.high - self.low), 0.0, 1.0) ** self.power)


def common_scales(moments: Sequence[Moment]) -> dict[str, MapScale]:
    """Find one scale for each kind of map that is there, over all losses, moments and cases.

    Loss and gradient reach from zero to the value that one pixel in a thousand exceeds; probabilities from zero to one.
    """
    scales = {}
    for kind, (_, _, power) in KINDS.items():
        parts = [part.ravel() for moment in moments for part in moment.maps.get(kind, ())]
        if not parts:
            continue
        values = np.concatenate(parts)
        values = values[np.isfinite(values)]
        high = float(np.percentile(values, _SHARE_SHOWN)) if values.size and kind != "confidence" else 1.0
        scales[kind] = MapScale(0.0, high if high > 0 else 1.0, power)
    return scales


def chosen_moments(iterations: Sequence[int], count: int) -> list[int]:
    """Choose so many of the iterations, the first and the last among them, closer to each other at the beginning, where
    most happens.
    """
    if len(iterations) <= count:
        return list(iterations)
    places = (len(iterations) - 1) * np.linspace(0.0, 1.0, count) ** 2
    chosen: list[int] = []
    for order, place in enumerate(places):
        least, most = (chosen[-1] + 1 if chosen else 0), len(iterations) - count + order
        chosen.append(min(max(round(place), least), most))
    return [iterations[place] for place in chosen]


def picture_of(case: PicturedCase) -> np.ndarray:
    """Give a case's image as grey values (H, W) from 0 to 1, its 1st to 99th percentile."""
    grey = case.image.mean(axis=0)
    low, high = (float(bound) for bound in np.percentile(grey, (1, 99)))
    return np.asarray(np.clip((grey - low) / max(high - low, 1e-6), 0.0, 1.0))


def coloured_difference(prediction: np.ndarray, case: PicturedCase) -> np.ndarray:
    """Give (H, W, 3) uint8: the image in grey, and right and wrong foreground in the colours above."""
    pixels = np.repeat((picture_of(case) * 200).astype(np.uint8)[..., None], 3, axis=2)
    codes = difference_map(prediction, case.label)
    for code, (colour, _) in DIFFERENCE_COLOURS.items():
        pixels[codes == code] = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    return pixels


def draw_maps(
    kind: str,
    case: PicturedCase,
    index: int,
    moments: Mapping[str, Sequence[Moment]],
    scales: Mapping[str, MapScale],
) -> Figure | None:
    """Draw one kind of map of one case: a row a loss, a column a moment.

    Args:
        kind: one of ``KINDS``, or ``difference``.
        case: what is shown, 2D.
        index: its number among the pictured cases.
        moments: by loss, the same moments for each.
        scales: as :func:`common_scales` gives them.

    Returns:
        None when no loss has such a map.
    """
    rows = {text: found for text, found in moments.items() if _key(kind) in found[0].maps}
    if not rows:
        return None
    columns = len(next(iter(rows.values())))
    high, wide = case.label.shape
    inches = 1.5 * high / wide
    # Pictures keep their proportions, which the layout does not know when it makes room for the names of the losses.
    layout = ConstrainedLayoutEngine(rect=(0.02, 0, 0.98, 1))
    figure = Figure(figsize=(1.5 * columns + 2.4, inches * len(rows) + 0.9), facecolor="white", layout=layout)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (text, found) in enumerate(rows.items()):
        for axis, moment in zip(axes[line], found, strict=True):
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            _show(axis, kind, moment.maps[_key(kind)][index], case, scales)
            if line == 0:
                axis.set_title(f"{moment.iteration}", fontsize=8.5, color=INK)
        axes[line][0].set_ylabel(labelled([text])[0], fontsize=8.5, color=INK)
    _explain(figure, axes, kind, case, scales)
    return figure


def _key(kind: str) -> str:
    return "prediction" if kind == DIFFERENCE else kind


def _show(axis: Any, kind: str, values: np.ndarray, case: PicturedCase, scales: Mapping[str, MapScale]) -> None:
    if kind == DIFFERENCE:
        axis.imshow(coloured_difference(values, case), interpolation="nearest")
        return
    axis.imshow(scales[kind].shares(values), cmap=KINDS[kind][1], vmin=0, vmax=1, interpolation="nearest")
    if case.label.any() and not case.label.all():
        axis.contour(case.label > 0, levels=[0.5], colors=["white"], linewidths=0.6)


def _explain(figure: Figure, axes: Any, kind: str, case: PicturedCase, scales: Mapping[str, MapScale]) -> None:
    """Title, and what the colours mean."""
    if kind == DIFFERENCE:
        shown = {code: words for code, words in DIFFERENCE_COLOURS.items() if code < 4 or case.label.max() > 1}
        patches = [Patch(color=colour, label=words) for colour, words in shown.values()]
        figure.legend(handles=patches, loc="outside lower center", ncols=4, frameon=False, fontsize=8.5, labelcolor=INK)
        figure.suptitle(f"{case.case_id}: right and wrong, by iteration", fontsize=10, color=INK)
        return
    words, colours, power = KINDS[kind]
    scale = scales[kind]
    mappable = ScalarMappable(PowerNorm(power, scale.low, scale.high), colormaps[colours])
    bar = figure.colorbar(mappable, ax=axes, extend="neither" if kind == "confidence" else "max", shrink=0.9)
    bar.ax.tick_params(labelsize=8, colors=INK)
    figure.suptitle(f"{case.case_id}: {words}, by iteration; one scale for all losses", fontsize=10, color=INK)

"""The picture of a case: planes through what is segmented, contours of reference and prediction, and the level set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike

from pipelines.figures.planes import Array, Plane, choose_planes, to_lps
from pipelines.figures.png import png_bytes
from transforms.io.atomic import atomic_path

# Okabe and Ito's colours, which people with any kind of colour vision tell apart: (reference, prediction) of a class.
PAIRS = (("#56B4E9", "#E69F00"), ("#009E73", "#CC79A7"), ("#F0E442", "#D55E00"))
SINGLES = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2")
PAGE, INK = "#0b0d10", "#d5dae1"
# Brightness of red, green and blue (ITU-R BT.601).
_LUMINANCE = (0.299, 0.587, 0.114)
_WIDTH_INCHES, _HIGHEST_INCHES, _LEGEND_INCHES, _TITLE_INCHES, _BAR_INCHES = 10.0, 5.0, 0.34, 0.26, 0.62
# What a title needs, and in the legend a further row, a letter, and a line with the gap beside it.
_TITLE_WIDTH, _ROW_INCHES, _LETTER_INCHES, _HANDLE_INCHES = 1.1, 0.2, 0.063, 0.5


@dataclass(frozen=True)
class _Stroke:
    """How a contour is drawn."""

    colour: str
    width: float
    dashes: Literal["solid", "dashed"]


@dataclass(frozen=True)
class _Case:
    """A case with all its parts in the orientation of the page; a part that is missing is None."""

    image: Array
    reference: Array | None
    prediction: Array | None
    level_set: Array | None
    spacing_mm: tuple[float, ...]
    oriented: bool
    flipped: tuple[bool, ...]

    @property
    def segmented(self) -> Array:
        masks = [part > 0 for part in (self.reference, self.prediction) if part is not None and (part > 0).any()]
        return masks[0] if masks else np.zeros(self.image.shape, bool)


def contour_strokes(classes: int) -> list[tuple[_Stroke, _Stroke]]:
    """How the contours of reference and prediction are drawn, for each class.

    Up to three classes have a colour each for reference and prediction; more share one colour, and the prediction is
    dashed. The reference is wider and lies below, so that both show where they agree.
    """
    if classes <= len(PAIRS):
        return [(_Stroke(first, 3.0, "solid"), _Stroke(second, 1.4, "solid")) for first, second in PAIRS[:classes]]
    colours = [SINGLES[index % len(SINGLES)] for index in range(classes)]
    return [(_Stroke(colour, 1.6, "solid"), _Stroke(colour, 1.6, "dashed")) for colour in colours]


def draw_case(
    image: ArrayLike,
    *,
    reference: ArrayLike | None = None,
    prediction: ArrayLike | None = None,
    level_set: ArrayLike | None = None,
    class_names: Sequence[str] = ("foreground",),
    spacing_mm: Sequence[float] | None = None,
    affine: ArrayLike | None = None,
    window: tuple[float, float] | None = None,
    is_picture: bool = False,
) -> Figure:
    """Draw a case.

    Args:
        image: (X, Y[, Z]) or (C, X, Y[, Z]), of which the first channel is shown. In 2D the first axis points right and
            the second down the page.
        reference: (X, Y[, Z]) or (1, X, Y[, Z]) integer label map 0..K.
        prediction: the same.
        level_set: (X, Y[, Z]) or (K, X, Y[, Z]), negative inside; of several the smallest is shown. Gets a row of
            its own.
        class_names: names of the classes 1..K.
        spacing_mm: voxel size, in the order of the axes; 1 when neither it nor ``affine`` is given.
        affine: (4, 4) voxel index to NIfTI world millimetres. With it a volume is shown as radiologists do, the
            patient's right at the left, with the directions written at the edges, whatever way the file stores it.
        window: signal shown black and white; by default the 1st and 99th percentile around what is segmented.
        is_picture: the parts are those of a PNG, JPEG or TIFF: 2D, rows before columns, measured in pixels. Of three
            channels the brightness is shown.

    Returns:
        A figure without ties to any global state.

    Raises:
        ValueError: when the shapes do not fit.
    """
    case = _prepared(image, reference, prediction, level_set, spacing_mm, affine, is_picture)
    planes = choose_planes(case.segmented, case.spacing_mm, case.oriented, case.flipped)
    rows = 1 if case.level_set is None else 2
    strokes = contour_strokes(len(class_names))
    entries = _legend_entries(case, class_names, strokes)
    columns = _legend_columns([name for name, _ in entries], len(class_names))
    figure, axes = _page(planes, rows, -(-len(entries) // columns))
    low, high = window or _percentile_window(case, planes)
    for axis, plane in zip(axes[0], planes, strict=True):
        _show(axis, plane, plane.cut(case.image), cmap="gray", vmin=low, vmax=high)
        for side, part in enumerate((case.reference, case.prediction)):
            if part is not None:
                for value, pair in enumerate(strokes, start=1):
                    _outline(axis, plane.cut(part) == value, pair[side], halo=case.reference is None or side == 0)
        known = is_picture or affine is not None or spacing_mm is not None
        _annotate(axis, plane, unit="pixels" if is_picture else "mm", with_bar=known and plane is planes[0])
    if case.level_set is not None:
        _level_set_row(figure, axes[1], planes, case.level_set, case.reference)
    _legend(figure, entries, columns)
    return figure


def case_png(image: ArrayLike, **parts: Any) -> bytes:
    """The picture of a case as a PNG; arguments as for ``draw_case``."""
    return png_bytes(draw_case(image, **parts))


def write_case_picture(path: str | Path, image: ArrayLike, **parts: Any) -> None:
    """Write the picture of a case as a PNG file, whole or not at all; arguments as for ``draw_case``."""
    content = case_png(image, **parts)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _prepared(
    image: ArrayLike,
    reference: ArrayLike | None,
    prediction: ArrayLike | None,
    level_set: ArrayLike | None,
    spacing_mm: Sequence[float] | None,
    affine: ArrayLike | None,
    is_picture: bool,
) -> _Case:
    """Check the parts' shapes, drop their channels and turn them to the page's orientation."""
    shown = np.asarray(image)
    labels = [None if part is None else np.asarray(part) for part in (reference, prediction)]
    axes = shown.ndim - 1 if _has_channels(shown, [*labels, level_set], spacing_mm, affine) else shown.ndim
    if axes not in (2, 3):
        raise ValueError(f"A case has 2 or 3 spatial axes, got an image of shape {shown.shape}.")
    if shown.ndim > axes:
        shown = np.tensordot(_LUMINANCE, shown, 1) if is_picture and len(shown) == 3 else shown[0]
    surface = None if level_set is None else np.asarray(level_set)
    if surface is not None and surface.ndim > axes:
        surface = surface.min(axis=0)
    parts: list[Any] = [
        shown,
        *(part[0] if part is not None and part.ndim > axes else part for part in labels),
        surface,
    ]
    for part in parts:
        if part is not None and part.shape != shown.shape:
            raise ValueError(f"The parts of a case must have one shape, got {part.shape} beside {shown.shape}.")
    if is_picture:
        parts = [None if part is None else part.T for part in parts]
    oriented = affine is not None and axes == 3
    flipped: tuple[bool, ...] = (False,) * 3
    if affine is not None and oriented:
        _, spacing, flipped = to_lps(shown, affine)
        parts = [None if part is None else to_lps(part, affine)[0] for part in parts]
    elif affine is not None:
        spacing = tuple(float(length) for length in np.linalg.norm(np.asarray(affine, float)[:3, :2], axis=0))
    else:
        spacing = tuple(float(step) for step in (spacing_mm if spacing_mm is not None else (1,) * axes))
    return _Case(parts[0], parts[1], parts[2], parts[3], spacing, oriented, flipped)


def _has_channels(image: Array, others: Sequence[Any], spacing_mm: Sequence[float] | None, affine: Any) -> bool:
    """Whether the image's first axis is the channel: three axes may be a volume, or the channels of a 2D image."""
    if image.ndim != 3:
        return image.ndim == 4
    if spacing_mm is not None:
        return len(spacing_mm) == 2
    shapes = [np.shape(other) for other in others if other is not None]
    if image.shape[0] == 1 or affine is not None:
        return image.shape[0] == 1
    is_volume = any(shape == image.shape or len(shape) == 4 for shape in shapes)
    return not is_volume and any(shape[-2:] == image.shape[1:] for shape in shapes)


def _page(planes: Sequence[Plane], rows: int, legend_rows: int) -> tuple[Figure, list[list[Axes]]]:
    """Axes of one scale side by side on a dark page: a millimetre is as long in every plane.

    A second row lies below the first, or, when there is one plane only, beside it.
    """
    gap, bar = 0.06, _BAR_INCHES if rows > 1 else 0.0
    columns, lines = (list(planes), rows) if len(planes) > 1 else (list(planes) * rows, 1)
    wide, tall = sum(plane.size_mm[0] for plane in columns), max(plane.size_mm[1] for plane in planes)
    free = _WIDTH_INCHES - bar - gap * (len(columns) + 1)
    inches = min(free / wide, _HIGHEST_INCHES / tall)
    narrow = [plane for plane in columns if plane.title and inches * plane.size_mm[0] < _TITLE_WIDTH]
    if narrow and len(narrow) < len(columns):  # leave their titles room
        wide -= sum(plane.size_mm[0] for plane in narrow)
        inches = min((free - _TITLE_WIDTH * len(narrow)) / wide, inches)
    slots = [max(inches * plane.size_mm[0], _TITLE_WIDTH if plane.title else 0.0) for plane in columns]
    titles = _TITLE_INCHES if rows > 1 or any(plane.title for plane in planes) else gap
    width = max(sum(slots) + bar + gap * (len(columns) + 1), 4.5)
    height = _LEGEND_INCHES + _ROW_INCHES * max(0, legend_rows - 1) + lines * (inches * tall + gap) + titles
    figure = Figure(figsize=(width, height), facecolor=PAGE)
    axes: list[Axes] = []
    for line in range(lines):
        left = (width - sum(slots) - bar - gap * (len(columns) - 1)) / 2
        bottom = height - titles - (line + 1) * inches * tall - line * gap
        for plane, slot in zip(columns, slots, strict=True):
            across, along = inches * plane.size_mm[0], inches * plane.size_mm[1]
            low = bottom + (inches * tall - along) / 2
            middle = left + (slot - across) / 2
            axes.append(figure.add_axes((middle / width, low / height, across / width, along / height)))
            left += slot + gap
    return figure, [axes[: len(planes)], axes[len(planes) :]]


def _percentile_window(case: _Case, planes: Sequence[Plane]) -> tuple[float, float]:
    """The 1st and 99th percentile near the segmented part, or of what is shown when there is none."""
    from scipy.ndimage import binary_dilation

    near = []
    for plane in planes:
        shown, mask = plane.cut(case.image), plane.cut(case.segmented)
        reach = max(round(12 / min(plane.spacing_mm)), 1)
        around = binary_dilation(mask, iterations=reach) if mask.any() else np.ones(mask.shape, bool)
        near.append(np.asarray(shown[around], np.float32))
    values = np.concatenate(near)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = (float(bound) for bound in np.percentile(values, (1, 99)))
    return low, high if high > low else low + 1.0


def _show(axis: Axes, plane: Plane, picture: Array, **how: Any) -> Any:
    axis.set_axis_off()
    return axis.imshow(
        np.asarray(picture, np.float32),
        interpolation="nearest",
        aspect=plane.spacing_mm[1] / plane.spacing_mm[0],
        **how,
    )


def _outline(axis: Axes, mask: Array, stroke: _Stroke, halo: bool = True) -> None:
    """Draw the border of a mask; a mask that reaches the edge of the plane is closed there."""
    if not mask.any():
        return
    padded = np.pad(mask.astype(np.float32), 1)
    columns, rows = np.arange(-1, mask.shape[1] + 1), np.arange(-1, mask.shape[0] + 1)
    drawn = axis.contour(
        columns, rows, padded, levels=[0.5], colors=[stroke.colour], linewidths=stroke.width, linestyles=stroke.dashes
    )
    if halo:
        drawn.set_path_effects([withStroke(linewidth=stroke.width + 1.2, foreground="#000000a0")])
    axis.set_xlim(-0.5, mask.shape[1] - 0.5)
    axis.set_ylim(mask.shape[0] - 0.5, -0.5)


def _annotate(axis: Axes, plane: Plane, unit: str, with_bar: bool) -> None:
    """Title, directions and, once a row, a bar of a round length."""
    dark = [withStroke(linewidth=2, foreground="#000000c0")]
    if plane.title:
        axis.set_title(plane.title, color=INK, fontsize=8.5, pad=4)
    places = ((0.02, 0.5, "left", "center"), (0.98, 0.5, "right", "center"), (0.5, 0.98, "center", "top"))
    for letter, (x, y, across, along) in zip(plane.letters, (*places, (0.5, 0.02, "center", "bottom")), strict=False):
        axis.text(x, y, letter, color=INK, fontsize=8, ha=across, va=along, transform=axis.transAxes, path_effects=dark)
    if with_bar:
        wide = plane.size_mm[0]
        length = max((size for size in (0.5, 1, 2, 5, 10, 20, 50, 100) if size <= wide / 3), default=wide / 3)
        share = length / wide
        line = Line2D(
            [0.03, 0.03 + share], [0.03, 0.03], color=INK, linewidth=2, transform=axis.transAxes, path_effects=dark
        )
        axis.add_line(line)
        axis.text(
            0.03,
            0.05,
            f"{length:g} {unit}",
            color=INK,
            fontsize=7.5,
            va="bottom",
            transform=axis.transAxes,
            path_effects=dark,
        )


def _level_set_row(
    figure: Figure, axes: Sequence[Axes], planes: Sequence[Plane], level_set: Array, reference: Array | None
) -> None:
    """The signed distance in colours that are neutral on the contour, with its zero level and the reference."""
    pictures = [plane.cut(level_set) for plane in planes]
    values = np.concatenate([picture.ravel() for picture in pictures])
    values = np.abs(values[np.isfinite(values)])
    limit = float(np.percentile(values, 99.5)) if values.size else 1.0
    limit = limit if limit > 0 else 1.0
    for axis, plane, picture in zip(axes, planes, pictures, strict=True):
        shown = _show(axis, plane, picture, cmap="RdBu_r", vmin=-limit, vmax=limit)
        if reference is not None:
            _outline(axis, plane.cut(reference) > 0, _Stroke(PAIRS[0][0], 3.0, "solid"))
        _outline(axis, picture < 0, _Stroke("#000000", 1.2, "solid"), halo=False)
    last = axes[-1].get_position()
    scale = figure.add_axes((last.x1 + 0.012, last.y0, 0.011, last.height))
    bar = figure.colorbar(shown, cax=scale)
    bar.outline.set_edgecolor(INK)
    scale.tick_params(colors=INK, labelsize=7, length=2)
    scale.set_title("level set", color=INK, fontsize=7.5, pad=4)


def _legend_entries(
    case: _Case, class_names: Sequence[str], strokes: Sequence[tuple[_Stroke, _Stroke]]
) -> list[tuple[str, Line2D]]:
    """Name every kind of line that can be on the page: all of the reference, then all of the prediction."""
    entries = []
    for part, side, name in ((case.reference, 0, "reference"), (case.prediction, 1, "prediction")):
        if part is not None:
            for label, pair in zip(class_names, strokes, strict=True):
                line = Line2D([], [], color=pair[side].colour, linewidth=pair[side].width, linestyle=pair[side].dashes)
                entries.append((f"{name}: {label}" if len(class_names) > 1 else name, line))
    if case.level_set is not None:
        effects = [withStroke(linewidth=3.2, foreground="#dddddd")]
        zero = Line2D([], [], color="#000000", linewidth=1.2, path_effects=effects)
        entries.append(("zero of the level set", zero))
    return entries


def _legend_columns(names: Sequence[str], classes: int) -> int:
    """Give as many columns as fit on the page: all of the names side by side, or those of one part."""
    needed = sum(len(name) * _LETTER_INCHES + _HANDLE_INCHES for name in names)
    if needed <= _WIDTH_INCHES:
        return max(1, len(names))
    longest = max(len(name) for name in names) * _LETTER_INCHES + _HANDLE_INCHES
    return max(1, min(classes, int(_WIDTH_INCHES / longest)))


def _legend(figure: Figure, entries: Sequence[tuple[str, Line2D]], columns: int) -> None:
    """Write the legend row by row; matplotlib fills columns."""
    ordered = [entry for column in range(columns) for entry in entries[column::columns]]
    if ordered:
        figure.legend(
            [line for _, line in ordered],
            [name for name, _ in ordered],
            loc="lower center",
            ncols=columns,
            frameon=False,
            fontsize=8.5,
            labelcolor=INK,
            borderpad=0.2,
            handlelength=2.2,
            columnspacing=1.6,
        )

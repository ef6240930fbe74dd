"""A volume slice by slice: the image, the truth and what each network found, side by side."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import ArrayLike

from pipelines.figures.overlays import INK, PAGE, contour_strokes
from pipelines.figures.planes import Array

MAX_FRAMES, MAX_BYTES = 40, 3_000_000
_PAGE_PIXELS, _COLUMNS, _GAP, _TITLE_PIXELS = 1080, 3, 6, 20
_FILL, _SMALLEST = 0.22, 9
# Quality of the frames and size of the panels, from the first that fits into the budget.
_QUALITIES = ((80, 1.0), (65, 1.0), (50, 0.8), (40, 0.65), (30, 0.5), (20, 0.35))


@dataclass(frozen=True)
class Animation:
    """Frames through a volume.

    Attributes:
        title: the heading above it.
        caption: a line below the heading.
        frames: JPEG files of one size.
        told: of each frame, which slice it is and what is there.
        legend: name and colour of each line.
    """

    title: str
    caption: str
    frames: tuple[bytes, ...]
    told: tuple[str, ...]
    legend: tuple[tuple[str, str], ...]


def shown_slices(count: int, most: int = MAX_FRAMES) -> list[int]:
    """Give the slices to show, all of them or ``most`` at even distances, both ends included."""
    if count <= most:
        return list(range(count))
    return sorted({round(float(place)) for place in np.linspace(0, count - 1, most)})


def animate_slices(
    image: ArrayLike,
    *,
    truth: ArrayLike | None,
    predictions: Mapping[str, ArrayLike],
    class_names: Sequence[str],
    slice_axis: int = -1,
    presence: ArrayLike | None = None,
    title: str = "",
    caption: str = "",
    max_frames: int = MAX_FRAMES,
    max_bytes: int = MAX_BYTES,
) -> Animation:
    """Draw the slices of a volume.

    Each frame has the image as it is, then with the contours of the truth, then with those of each prediction; lesions
    are filled lightly. A pixel is as high as it is wide.

    Args:
        image: (H, W, D) or (C, H, W, D), of which the first channel is shown; grey from its 1st to 99.5th percentile.
        truth: (H, W, D) integer label map 0..K; None when it is not known.
        predictions: such label maps by the name of what made them.
        class_names: names of the classes 1..K.
        slice_axis: axis of the label maps along which slices follow each other.
        presence: (K, D) probabilities that a slice holds a class, told beside each frame.
        title: the heading above it.
        caption: a line below the heading.
        max_frames: at most; of more slices some at even distances are shown.
        max_bytes: of all frames together. Quality and size are lowered until they fit, as far as that goes.

    Raises:
        ValueError: when the shapes differ.
    """
    grey = np.asarray(image)
    grey = grey[0] if grey.ndim == 4 else grey
    maps = {**({} if truth is None else {"truth": np.asarray(truth)})}
    maps |= {name: np.asarray(labels) for name, labels in predictions.items()}
    for name, labels in maps.items():
        if labels.shape != grey.shape:
            raise ValueError(f"{name} has shape {labels.shape}, but the image has {grey.shape}.")
    slices = shown_slices(grey.shape[slice_axis], max_frames)
    strokes = contour_strokes(len(class_names))
    sides = {name: 0 if name == "truth" and truth is not None else 1 for name in maps}
    colours = {name: [_rgb(pair[side].colour) for pair in strokes] for name, side in sides.items()}
    low, high = _window(np.take(grey, slices, slice_axis))
    told = tuple(_told(index, grey.shape[slice_axis], class_names, presence) for index in slices)

    def drawn(index: int, quality: int, scale: float) -> bytes:
        shown = np.clip((np.take(grey, index, slice_axis).astype(np.float32) - low) / (high - low), 0, 1)
        found = {name: np.take(labels, index, slice_axis) for name, labels in maps.items()}
        return _jpeg(_frame(shown, found, colours, scale), quality)

    frames: tuple[bytes, ...] = ()
    for quality, scale in _QUALITIES:
        tried = [len(drawn(index, quality, scale)) for index in slices[len(slices) // 6 :: max(len(slices) // 3, 1)]]
        if (quality, scale) == _QUALITIES[-1] or max(tried) * len(slices) <= max_bytes:
            frames = tuple(drawn(index, quality, scale) for index in slices)
            if sum(map(len, frames)) <= max_bytes:
                break
    legend = tuple(
        (f"{word}: {name}", strokes[number][side].colour)
        for side, word in ((0, "truth"), (1, "prediction"))
        if side in sides.values()
        for number, name in enumerate(class_names)
    )
    return Animation(title, caption, frames, told, legend)


def _frame(grey: Array, maps: Mapping[str, Array], colours: Mapping[str, Sequence[Array]], scale: float) -> Any:
    """Draw the panels of one slice, at most three in a row."""
    from PIL import Image, ImageDraw

    panels: list[tuple[str, Array | None]] = [("image", None), *maps.items()]
    columns = min(len(panels), _COLUMNS)
    rows = -(-len(panels) // columns)
    room = (_PAGE_PIXELS * scale - _GAP * (columns + 1)) / columns
    # Small pictures are shown larger, but not so that pixels become tiles.
    wide = round(min(room, 3 * grey.shape[1]))
    high = max(round(wide * grey.shape[0] / grey.shape[1]), 1)
    size = (columns * (wide + _GAP) + _GAP, rows * (high + _TITLE_PIXELS + _GAP) + _GAP)
    page = Image.new("RGB", size, PAGE)
    draw = ImageDraw.Draw(page)
    shown = Image.fromarray((255 * grey).astype(np.uint8)).resize((wide, high), Image.Resampling.BILINEAR)
    base = np.repeat(np.asarray(shown, np.float32)[..., None], 3, axis=2)
    font = _font()
    for number, (name, labels) in enumerate(panels):
        left = _GAP + (number % columns) * (wide + _GAP)
        top = _GAP + (number // columns) * (high + _TITLE_PIXELS + _GAP)
        draw.text((left + 1, top + 1), _shortened(name, wide, font), fill=INK, font=font)
        panel = base if labels is None else _overlaid(base, labels, colours[name])
        page.paste(Image.fromarray(panel.astype(np.uint8)), (left, top + _TITLE_PIXELS))
    return page


def _overlaid(base: Array, labels: Array, colours: Sequence[Array]) -> Array:
    """Fill the classes lightly and draw their borders, two pixels wide."""
    from PIL import Image
    from scipy.ndimage import binary_dilation, binary_erosion

    size = (base.shape[1], base.shape[0])
    panel = base.copy()
    for number, colour in enumerate(colours, start=1):
        whole = labels == number
        if not whole.any():
            continue
        mask = np.asarray(Image.fromarray(whole.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)) > 0
        if np.count_nonzero(mask) < _SMALLEST:
            # A lesion of a few pixels may fall between those of a smaller panel.
            rows, columns = np.nonzero(whole)
            mask = np.zeros(mask.shape, bool)
            mask[rows * size[1] // whole.shape[0], columns * size[0] // whole.shape[1]] = True
            mask = binary_dilation(mask, np.ones((3, 3)))
        border = mask & ~binary_erosion(mask, iterations=2, border_value=0)
        panel[mask] = (1 - _FILL) * panel[mask] + _FILL * colour
        panel[border] = colour
    return panel


def _window(values: Array) -> tuple[float, float]:
    low, high = (float(bound) for bound in np.percentile(values[np.isfinite(values)], (1, 99.5)))
    return low, high if high > low else low + 1.0


def _told(index: int, count: int, class_names: Sequence[str], presence: ArrayLike | None) -> str:
    place = f"slice {index + 1} of {count}"
    if presence is None:
        return place
    values = np.asarray(presence)[:, index]
    return f"{place}; present: " + ", ".join(
        f"{name} {value:.2f}" for name, value in zip(class_names, values, strict=True)
    )


def _shortened(name: str, wide: int, font: Any) -> str:
    if font.getlength(name) <= wide:
        return name
    while name and font.getlength(f"{name}...") > wide:
        name = name[:-1]
    return f"{name}..."


def _font() -> Any:
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), 12)


def _rgb(colour: str) -> Array:
    return 255 * np.array(to_rgb(colour), np.float32)


def _jpeg(page: Any, quality: int) -> bytes:
    stream = io.BytesIO()
    # Colours at the full resolution: contours are thin.
    page.save(stream, format="JPEG", quality=quality, subsampling=0)
    return stream.getvalue()

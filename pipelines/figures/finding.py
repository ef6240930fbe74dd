"""The picture that goes with a result to an archive: what was found, how large it is, and what it is not for."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from pipelines.console import NOT_FOR_DIAGNOSIS
from pipelines.figures.overlays import INK, draw_case
from pipelines.figures.png import png_bytes

_LINE_INCHES = 0.24


def finding_png(
    image: ArrayLike, labels: ArrayLike, affine: ArrayLike, class_names: Sequence[str], lines: Sequence[str]
) -> bytes:
    """Draw contours of what was found on planes through it, with lines of text above.

    Nothing of the patient is written on it: neither name, id nor date.

    Args:
        image: (X, Y, Z).
        labels: (X, Y, Z) integers 0..K; the middle of the volume is shown when there is nothing.
        affine: (4, 4) voxel index to NIfTI world millimetres.
        class_names: names of the classes 1..K.
        lines: what to write, as the volumes; the statement of intended use is added.

    Returns:
        The file's content.
    """
    figure = draw_case(image, prediction=labels, class_names=class_names, affine=affine)
    _write_above(figure, [*lines, NOT_FOR_DIAGNOSIS])
    return png_bytes(figure)


def png_pixels(content: bytes) -> np.ndarray:
    """Give the pixels (rows, columns, 3) of a PNG, uint8."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture.convert("RGB"))


def _write_above(figure: Figure, lines: Sequence[str]) -> None:
    """Make the page higher and write on what it gained."""
    width, height = figure.get_size_inches()
    gained = _LINE_INCHES * (len(lines) + 0.5)
    share = height / (height + gained)
    for axis in figure.axes:
        place = axis.get_position()
        axis.set_position((place.x0, place.y0 * share, place.width, place.height * share))
    figure.set_size_inches(width, height + gained)
    for index, line in enumerate(lines):
        above = (_LINE_INCHES * (index + 0.75)) / (height + gained)
        figure.text(0.01, 1 - above, line, color=INK, fontsize=9, ha="left", va="center")

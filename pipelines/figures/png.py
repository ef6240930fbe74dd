"""From a figure to the bytes of a PNG, the same bytes for the same figure."""

from __future__ import annotations

import io
import warnings

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text


def png_bytes(figure: Figure, dpi: float = 110) -> bytes:
    """Draw ``figure`` and give it as a PNG.

    Text is taken literally (a ``$`` in a name starts no formula) and a letter that the font lacks is drawn as a box.

    Args:
        figure: made as ``matplotlib.figure.Figure``; pyplot and its global state are not involved.
        dpi: pixels per inch.

    Returns:
        The file's content; it holds no time and no version.
    """
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        FigureCanvasAgg(figure).print_figure(
            stream, format="png", dpi=dpi, facecolor=figure.get_facecolor(), metadata={"Software": None}
        )
    return stream.getvalue()

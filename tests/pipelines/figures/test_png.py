"""A figure becomes the same PNG every time, whatever its texts hold."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from pipelines.figures.png import png_bytes


def figure(text: str = "words") -> Figure:
    made = Figure(figsize=(2, 1), facecolor="#102030")
    made.text(0.1, 0.5, text, color="white")
    return made


def test_size_page_and_repeatability() -> None:
    first = png_bytes(figure(), dpi=50)
    assert first == png_bytes(figure(), dpi=50)
    with Image.open(io.BytesIO(first)) as image:
        assert image.size == (100, 50)
        assert np.asarray(image)[0, 0, :3].tolist() == [0x10, 0x20, 0x30]
        assert "Software" not in image.info


def test_names_are_no_formulas_and_may_hold_any_letter() -> None:
    plain = png_bytes(figure("price"))
    for name in ("$\\frac{1", "case_$1_$2", "肝 späce"):
        assert png_bytes(figure(name)) != plain

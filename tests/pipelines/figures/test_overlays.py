"""Pictures of cases: contours of the right colour at the right place, true proportions, no global state."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from pipelines.figures.overlays import PAIRS, case_png, contour_strokes, draw_case, write_case_picture
from pipelines.figures.planes import choose_planes
from pipelines.figures.png import png_bytes

IMAGE = np.tile(np.linspace(0, 100, 60, dtype=np.float32)[:, None], (1, 50))
DPI = 200


def box(shape: tuple[int, ...], start: int, stop: int, value: int = 1) -> np.ndarray:
    label = np.zeros(shape, np.uint8)
    label[(slice(start, stop),) * len(shape)] = value
    return label


def pixels(figure: Figure) -> np.ndarray:
    with Image.open(io.BytesIO(png_bytes(figure, dpi=DPI))) as image:
        return np.asarray(image.convert("RGB"), np.float32) / 255


def places(figure: Figure, colour: str, axis: int = 0) -> np.ndarray:
    """Where on the axes, in data coordinates (x, y), the picture has ``colour``."""
    picture = pixels(figure)
    rows, columns = np.nonzero(np.abs(picture - np.array(to_rgb(colour))).max(-1) < 0.02)
    display = np.stack([columns + 0.5, picture.shape[0] - rows - 0.5], -1) * figure.dpi / DPI
    extent = figure.axes[axis].get_window_extent()
    kept = display[((display > extent.min) & (display < extent.max)).all(1)]
    return figure.axes[axis].transData.inverted().transform(kept) if len(kept) else kept


def test_contours_lie_on_the_edges_in_the_palettes_colours() -> None:
    figure = draw_case(IMAGE, reference=box((60, 50), 15, 35), prediction=box((60, 50), 20, 40))
    window = (15 - 10, 15 - 10)  # the picture is cropped 10 mm beside the reference
    for side, (start, stop) in enumerate(((15, 35), (20, 40))):
        found = places(figure, PAIRS[0][side])
        edges = np.array([[start - 0.5, stop - 0.5]]) - np.array([window]).T
        off = np.abs(found[:, :, None] - edges[None]).min(2).min(1)
        assert len(found) > 200
        assert off.max() < 1
        for axis in range(2):
            for edge in edges[axis]:
                assert (np.abs(found[:, axis] - edge) < 0.5).sum() > 20, "all four sides are drawn"


def test_agreement_shows_both_colours() -> None:
    label = box((60, 50), 15, 35)
    figure = draw_case(IMAGE, reference=label, prediction=label)
    assert all(len(places(figure, colour)) > 100 for colour in PAIRS[0])


def test_every_class_has_its_colours_and_many_share_dashed_ones() -> None:
    label = box((60, 50), 10, 25) + box((60, 50), 25, 40, 2)
    figure = draw_case(IMAGE, reference=label, prediction=label, class_names=("one", "two"))
    for pair in PAIRS[:2]:
        assert all(len(places(figure, colour)) > 50 for colour in pair)
    many = contour_strokes(5)
    assert len({reference.colour for reference, _ in many}) == 5
    assert all(reference.colour == prediction.colour for reference, prediction in many)
    assert {(reference.dashes, prediction.dashes) for reference, prediction in many} == {("solid", "dashed")}


def test_a_mask_at_the_images_edge_is_closed_there() -> None:
    figure = draw_case(IMAGE, reference=np.ones((60, 50), np.uint8))
    found = places(figure, PAIRS[0][0])
    assert (found[:, 0] < 0.5).any()
    assert (found[:, 0] > 58.5).any()


def test_volume_has_three_planes_of_one_scale() -> None:
    volume = np.random.default_rng(0).normal(size=(40, 30, 20))
    label = np.zeros(volume.shape, np.uint8)
    label[10:30, 8:22, 5:15] = 1
    affine = np.diag([-1.0, -1.5, 3.0, 1.0])
    figure = draw_case(volume, reference=label, affine=affine)
    assert [axis.get_title().split()[0] for axis in figure.axes] == ["axial", "coronal", "sagittal"]
    scales = []
    for axis, spacing in zip(figure.axes, ((1, 1.5), (1, 3), (1.5, 3)), strict=True):
        box_ = axis.get_window_extent()
        across, along = (abs(np.diff(limits)[0]) for limits in (axis.get_xlim(), axis.get_ylim()))
        scales += [box_.width / (across * spacing[0]), box_.height / (along * spacing[1])]
    assert np.ptp(scales) / np.mean(scales) < 0.01
    assert {text.get_text() for text in figure.axes[0].texts} >= {"R", "L", "A", "P", "10 mm"}


def test_orientation_of_the_file_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    volume, label = rng.normal(size=(24, 22, 20)).astype(np.float32), box((24, 22, 20), 6, 14)
    one = case_png(volume, reference=label, affine=np.diag([-1.0, -1, 1, 1]))
    turned = np.eye(4)[[2, 0, 1, 3]].T
    affine = np.diag([1.0, 1, -1, 1]) @ turned
    # World axes of the second file: its first axis is z downwards, then x and y to the right and to the front.
    back, mask = (np.transpose(part[::-1, ::-1, ::-1], (2, 0, 1)) for part in (volume, label))
    other = case_png(back, reference=mask, affine=affine)
    with Image.open(io.BytesIO(one)) as first, Image.open(io.BytesIO(other)) as second:
        a, b = (np.asarray(image.convert("L"), float) for image in (first, second))
    assert a.shape == b.shape
    assert np.abs(a - b)[40:].mean() < 1, "equal but for the slice numbers in the titles"


def test_level_set_row_is_neutral_at_zero_and_coloured_by_sign() -> None:
    volume = np.zeros((30, 30, 30), np.float32)
    axes = np.stack(np.meshgrid(*(np.arange(30) - 14.5,) * 3, indexing="ij"))
    level_set = np.sqrt((axes**2).sum(0)) - 9
    figure = draw_case(volume, prediction=(level_set < 0).astype(np.uint8), level_set=level_set[None])
    assert len(figure.axes) == 7
    shown = figure.axes[3].images[0]
    assert shown.get_clim()[0] == -shown.get_clim()[1]
    red, _, blue, _ = shown.to_rgba(np.array(-5.0))
    assert blue > red
    assert min(shown.to_rgba(np.array(0.0))[:3]) > 0.9
    contour = places(figure, "#000000", axis=3)
    radius = np.linalg.norm(contour - contour.mean(0), axis=1)
    assert np.median(radius) == pytest.approx(9, abs=0.7)


def test_window_follows_the_organ_not_the_metal() -> None:
    image = np.full((100, 100), -1000.0)
    image[30:70, 30:70] = np.random.default_rng(0).normal(50, 10, (40, 40))
    image[:5, :5] = 30000
    figure = draw_case(image, reference=box((100, 100), 45, 55), spacing_mm=(1, 1))
    low, high = figure.axes[0].images[0].get_clim()
    assert 0 < low < 50 < high < 100
    assert draw_case(image, window=(-100, 200)).axes[0].images[0].get_clim() == (-100, 200)


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"reference": np.zeros((60, 50), np.uint8), "prediction": np.zeros((60, 50), np.uint8)},
        {"reference": box((60, 50), 5, 9)[None]},
        {"level_set": np.zeros((2, 60, 50))},
        {"reference": box((60, 50), 5, 9), "class_names": ("$x_{", "b", "c", "d")},
        {"spacing_mm": (0.01, 0.01)},
    ],
)
def test_odd_cases_are_drawn(parts: dict[str, Any]) -> None:
    assert case_png(IMAGE, **parts).startswith(b"\x89PNG")


def test_unfit_for_drawing_values_are_survived() -> None:
    image = IMAGE.copy()
    image[:10] = np.nan
    image[50] = np.inf
    assert case_png(image, reference=box((60, 50), 5, 30)).startswith(b"\x89PNG")
    assert case_png(np.full((20, 20), np.nan)).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("image", "parts", "spatial"),
    [
        (np.zeros((3, 30, 20)), {"reference": np.zeros((30, 20), np.uint8)}, 2),
        (np.zeros((3, 30, 20)), {"spacing_mm": (1, 1)}, 2),
        (np.zeros((3, 30, 20)), {"reference": np.zeros((1, 30, 20), np.uint8)}, 2),
        (np.zeros((1, 30, 20)), {"reference": np.zeros((1, 30, 20), np.uint8), "affine": np.eye(4)}, 2),
        (np.zeros((20, 20, 20)), {"prediction": np.zeros((1, 20, 20, 20), np.uint8)}, 3),
        (np.zeros((10, 30, 20)), {"spacing_mm": (1, 1, 1)}, 3),
        (np.zeros((2, 10, 30, 20)), {}, 3),
        (np.zeros((10, 30, 20)), {}, 3),
    ],
)
def test_channels_are_told_from_space(image: np.ndarray, parts: dict[str, Any], spatial: int) -> None:
    assert len(draw_case(image, **parts).axes) == (1 if spatial == 2 else 3)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one shape, got \(50, 60\) beside \(60, 50\)"):
        draw_case(IMAGE, reference=np.zeros((50, 60), np.uint8))
    with pytest.raises(ValueError, match=r"2 or 3 spatial axes, got an image of shape \(4,\)"):
        draw_case(np.zeros(4))


def test_file_is_written_and_repeats(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_case_picture(tmp_path / name, IMAGE, reference=box((60, 50), 5, 30))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_no_global_plotting_state() -> None:
    code = (
        "import sys, pipelines.figures.report, pipelines.figures.overlays; sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("channels", [0, 3])
def test_a_picture_stands_upright_and_is_measured_in_pixels(channels: int) -> None:
    grey = np.arange(40 * 60, dtype=np.float32).reshape(40, 60)
    mask = np.zeros((40, 60), np.uint8)
    mask[2:9, 45:58] = 1
    image = np.stack([grey, 0 * grey, 2 * grey]) if channels else grey
    figure = draw_case(image, prediction=mask, spacing_mm=(1.0, 1.0), affine=np.eye(4), is_picture=True)
    (axis,) = figure.axes
    (shown,) = axis.get_images()
    factor = 0.299 + 2 * 0.114 if channels else 1.0
    window = choose_planes(mask.T > 0, (1.0, 1.0), oriented=False)[0].window
    np.testing.assert_allclose(shown.get_array(), factor * grey[window[1], window[0]], rtol=1e-5)
    assert [text.get_text() for text in axis.texts if text.get_text()] == ["5 pixels"]


@pytest.mark.parametrize("level_set", [False, True])
def test_long_names_and_thin_planes_stay_on_the_page(level_set: bool) -> None:
    """A macula in OCT: 128 pixels across, 64 deep and 16 slices, which are far apart."""
    label = np.zeros((64, 128, 16), np.uint8)
    label[20:50, 30:90, 4:12] = 1
    affine = np.array([[0.0, 0.1, 0, 0], [-0.03, 0, 0, 0], [0, 0, 0.4, 0], [0, 0, 0, 1]])
    names = ["retinal oedema", "subretinal fluid", "pigment epithelial detachment"]
    parts = {"reference": label, "prediction": label, **({"level_set": 1.0 - label} if level_set else {})}
    figure = draw_case(label.astype(np.float32), affine=affine, class_names=names, **parts)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 6 + level_set
    written = [legend, *(axis.title for axis in figure.axes if axis.get_title())]
    assert len(written) > 3
    for part in written:
        box = part.get_window_extent(canvas.get_renderer())
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width
        assert box.y0 >= 0
    lowest = min(axis.get_window_extent().y0 for axis in figure.axes)
    assert legend.get_window_extent(canvas.get_renderer()).y1 <= lowest

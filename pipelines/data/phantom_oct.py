"""A synthetic macula in optical coherence tomography: a volume of B-scans with retinal layers and three lesion kinds.

Sizes and frequencies of the lesions are those of the AI Challenger 2018 on retinal oedema, as counted by github
ShawnBIT/AI-Challenger-Retinal-Edema-Segmentation. Of 70 patients with 128 B-scans of 512 x 1024 each, 70, 55 and 29
hold retinal oedema (REA), subretinal fluid (SRF) and detachment of the pigment epithelium (PED); 4664, 2934 and 402 of
the 8960 B-scans do, with 62355, 13502 and 3223 pixels each on average.

Depth counts as a share of the image's height; across a B-scan (x) and from B-scan to B-scan (y) the field of view goes
from -1 to 1. So an eye keeps its shape whatever the number of voxels is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.data.phantom_acquisition import blurred
from pipelines.data.phantom_shapes import Array, spline_noise

LESIONS = ("retinal oedema", "subretinal fluid", "pigment epithelial detachment")
REA, SRF, PED = 1, 2, 3
PATIENTS = (70, 55, 29)
_GOLDEN = (5**0.5 - 1) / 2
# Depth from the inner to the outer border of an unswollen retina, and its brightness there, of 255: nerve fibres,
# ganglion cells, inner nuclear, outer plexiform, outer nuclear layer, photoreceptors.
_DEPTHS = (0.0, 0.03, 0.11, 0.15, 0.33, 0.37, 0.44, 0.47, 0.53, 0.57, 0.78, 0.81, 0.86, 0.89, 1.0)
_LAYERS = (90, 150, 140, 100, 92, 58, 56, 96, 90, 44, 42, 135, 140, 82, 100)
_VITREOUS, _FLUID, _CYST, _UNDER_RPE, _RPE, _CHOROID = 11, 15, 24, 52, 190, 96
_RPE_THICKNESS = 0.022
# The middle of the retina, in shares of its unswollen thickness, is where it swells.
_INNER, _OUTER = 0.34, 0.30


@dataclass(frozen=True)
class _Eye:
    """What is where: depths as shares of the height, all (W, D)."""

    membrane: Array
    """Bruch's membrane, on which all else lies."""
    detachment: Array
    """Height of the pigment epithelium above it."""
    fluid: Array
    """Height of the retina above the pigment epithelium."""
    healthy: Array
    """Thickness of the retina without its swelling."""
    oedema: Array
    """0 where the retina is healthy, up to 1."""
    swelling: Array
    """What the oedema adds to the thickness."""
    light: Array
    """What the vessels leave of the light."""


def lesions_of(number: int) -> tuple[bool, bool, bool]:
    """Say which lesion kinds the patient of a case has, REA, SRF and PED.

    Dealt out by number, not drawn: multiples of the golden ratio are spread so evenly that any two cases in a row hold
    SRF, and any three hold PED, so that every part of a small cohort with three cases or more has all kinds; of many
    cases, as many have them as published. The first case has them all.

    Args:
        number: of the case, from 1.
    """
    share = (0.3 + (number - 1) * _GOLDEN) % 1
    return True, share >= 1 - PATIENTS[1] / PATIENTS[0], share < PATIENTS[2] / PATIENTS[0]


def draw_oct(
    rng: np.random.Generator, shape: Sequence[int], spacing_mm: Sequence[float], number: int
) -> tuple[Array, Array]:
    """Draw one case.

    Args:
        rng: where every draw comes from.
        shape: voxels in depth, across a B-scan, and B-scans.
        spacing_mm: not needed: the field of view always holds the same part of the eye.
        number: of the case, which says what lesion kinds it has.

    Returns:
        (image, label), both uint8 of ``shape``; labels 1 REA, 2 SRF, 3 PED.
    """
    height, width, scans = shape
    fine = max(1, round(192 / height))  # rows are averaged over finer ones, since layers are about a voxel thick
    depth = (np.arange(height * fine) + 0.5) / (height * fine)
    x, y = ((2 * np.arange(count) + 1) / count - 1 for count in (width, scans))
    eye = _draw_eye(rng, x, y, lesions_of(number))
    pockets = spline_noise(rng, (2 * depth[fine // 2 :: fine] - 1, x, y), (0.11, 0.09, 0.2))
    mottle = spline_noise(rng, (2 * depth[fine // 2 :: fine] - 1, x, y), (0.10, 0.10, 0.2))
    image, label = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
    middles = (np.arange(height) + 0.5) / height
    for scan in range(scans):
        part = {name: np.asarray(value)[:, scan] for name, value in vars(eye).items()}
        textures = (np.repeat(field[..., scan], fine, axis=0) for field in (pockets, mottle))
        signal = _signal(_Eye(**part), depth[:, None], *textures)
        signal = signal.reshape(height, fine, width).mean(1)
        image[..., scan] = _scanned(rng, signal, x)
        label[..., scan] = _labels(_Eye(**part), middles[:, None])
    return image, label


def _draw_eye(rng: np.random.Generator, x: Array, y: Array, lesions: Sequence[bool]) -> _Eye:
    """Draw one macula, bent and tilted, with its lesions."""

    def noise(across: float, along: float) -> Array:
        return spline_noise(rng, (np.zeros(1), x, y), (1.0, across, along))[0]

    wide, long = x[:, None], y[None, :]
    fovea = rng.uniform(-0.15, 0.15, 2)
    bend = rng.uniform(0.02, 0.10) * (wide - fovea[0]) ** 2 + rng.uniform(0.0, 0.04) * (long - fovea[1]) ** 2
    tilt = rng.uniform(-0.06, 0.06) * wide + rng.uniform(-0.03, 0.03) * long
    drift = 0.004 * rng.standard_normal(len(y))[None, :]  # the eye moves between B-scans
    membrane = rng.uniform(0.62, 0.68) - bend + tilt + 0.008 * noise(0.5, 0.7) + drift
    pit = np.exp(-((wide - fovea[0]) ** 2) / 0.02 - (long - fovea[1]) ** 2 / 0.06)
    rim = np.exp(-((wide - fovea[0]) ** 2) / 0.16 - (long - fovea[1]) ** 2 / 0.4)
    healthy = rng.uniform(0.15, 0.18) * (1 - 0.62 * pit + 0.22 * rim) * (1 + 0.03 * noise(0.4, 0.6))
    oedema = _patch(rng, wide, long, noise(0.35, 0.45), half=(0.75, 1.15), along=(0.31, 0.67), roughness=0.10)
    swelling = rng.uniform(0.09, 0.165) * np.sqrt(oedema) * (1 + 0.12 * noise(0.3, 0.4))
    fluid, detachment = np.zeros_like(membrane), np.zeros_like(membrane)
    if lesions[SRF - 1]:
        lens = _patch(rng, wide, long, noise(0.3, 0.4), half=(0.34, 0.62), along=(0.26, 0.58), roughness=0.05)
        fluid = rng.uniform(0.085, 0.145) * lens**0.75
    if lesions[PED - 1]:
        dome = _patch(rng, wide, long, noise(0.3, 0.4), half=(0.11, 0.17), along=(0.088, 0.136), roughness=0.02)
        detachment = rng.uniform(0.070, 0.105) * np.sqrt(dome)
    return _Eye(membrane, detachment, fluid, healthy, oedema, swelling, _shadows(rng, wide, long))


def _patch(
    rng: np.random.Generator,
    wide: Array,
    long: Array,
    noise: Array,
    *,
    half: tuple[float, float],
    along: tuple[float, float],
    roughness: float,
) -> Array:
    """Draw where a lesion is, seen from the front: (W, D), 1 in its middle, 0 outside, a parabola of the radius.

    It is an ellipse of drawn half widths, ``half`` across and ``along`` from B-scan to B-scan, with a wavy border that
    lies in the field of view from its first B-scan to its last.
    """
    across, length = rng.uniform(*half), rng.uniform(*along)
    middle = rng.uniform(-0.45, 0.45) * min(1.0, 1.3 - across / 2), rng.uniform(-0.75, 0.75) * (1 - length)
    step = 2 / long.size
    if 2 * length < step:  # not to fall between two B-scans
        middle = middle[0], float(long[0, np.abs(long[0] - middle[1]).argmin()])
    radius = np.hypot((wide - middle[0]) / across, (long - middle[1]) / length) * (1 + roughness * noise)
    return np.clip(1 - radius**2, 0, None)


def _shadows(rng: np.random.Generator, wide: Array, long: Array) -> Array:
    """What the vessels of the retina, which cross the B-scans, leave of the light behind them."""
    light = np.ones(np.broadcast_shapes(wide.shape, long.shape))
    for _ in range(int(rng.integers(5, 10))):
        place = rng.uniform(-1, 1) + rng.uniform(-0.35, 0.35) * long + 0.05 * np.sin(rng.uniform(2, 5) * long)
        size = rng.uniform(0.008, 0.024)
        light *= 1 - rng.uniform(0.35, 0.7) * np.exp(-(((wide - place) / size) ** 2))
    return light


def _surfaces(eye: _Eye) -> tuple[Array, Array, Array, Array]:
    """Depths, (W,), of the retina's inner and outer border, and of the epithelium's inner and outer one."""
    under = eye.membrane - eye.detachment
    epithelium = under - _RPE_THICKNESS
    outer = epithelium - eye.fluid
    return outer - eye.healthy - eye.swelling, outer, epithelium, under


def _oedema_band(eye: _Eye) -> tuple[Array, Array]:
    """Depths, (W,), between which the retina holds oedema; the band gets thinner towards its ends."""
    inner, outer, _, _ = _surfaces(eye)
    top, bottom = inner + _INNER * eye.healthy * 0.6, outer - _OUTER * eye.healthy * 0.7
    middle, half = (top + bottom) / 2, (bottom - top) / 2 * np.minimum(1, np.sqrt(eye.oedema / 0.25))
    return middle - half, middle + half


def _labels(eye: _Eye, depth: Array) -> Array:
    """The label of one B-scan, (H, W), at depths (H, 1)."""
    _, outer, epithelium, under = _surfaces(eye)
    top, bottom = _oedema_band(eye)
    label = np.zeros(np.broadcast_shapes(depth.shape, outer.shape), np.uint8)
    label[(depth >= top) & (depth < bottom) & (eye.oedema > 0)] = REA
    label[(depth >= outer) & (depth < epithelium) & (eye.fluid > 0)] = SRF
    label[(depth >= under) & (depth < eye.membrane) & (eye.detachment > 0)] = PED
    return label


def _signal(eye: _Eye, depth: Array, pockets: Array, mottle: Array) -> Array:
    """The light that comes back from one B-scan, (H, W), at depths (H, 1)."""
    inner, outer, epithelium, under = _surfaces(eye)
    from_inner, from_outer = (depth - inner) / eye.healthy, (outer - depth) / eye.healthy
    room = (outer - inner) / eye.healthy - _INNER - _OUTER
    swollen = _INNER + (1 - _INNER - _OUTER) * (from_inner - _INNER) / np.maximum(room, 1e-6)
    layer = np.where(from_inner < _INNER, from_inner, np.where(from_outer < _OUTER, 1 - from_outer, swollen))
    retina = np.interp(layer, _DEPTHS, _LAYERS) * (1 + 0.08 * mottle)
    top, bottom = _oedema_band(eye)
    edge = np.clip((np.minimum(depth - top, bottom - depth)) / 0.015 + 0.3, 0, 1) * (eye.oedema > 0)
    cysts = edge * np.clip(1.6 * pockets + 0.35, 0, 1) * np.minimum(1, eye.oedema / 0.2 + 0.3)
    retina = retina * (1 - 0.22 * edge) * (1 - cysts) + _CYST * cysts
    signal = np.where(depth < inner, _VITREOUS, retina)
    signal = np.where(depth >= outer, _FLUID, signal)
    signal = np.where(depth >= epithelium, _RPE, signal)
    signal = np.where(depth >= under, _UNDER_RPE * (1 + 0.25 * mottle), signal)
    behind = depth - eye.membrane
    choroid = _CHOROID * np.exp(-np.maximum(behind, 0) / 0.13) * (1 + 0.28 * np.tanh(1.5 * mottle)) + 8
    signal = np.where(behind >= 0, choroid, signal)
    signal = np.where((behind >= 0) & (behind < 0.006) & (eye.detachment > 0), 110, signal)
    # Fluid lets more light through to what lies behind it; oedema less.
    clear = 1 + 0.9 * eye.fluid - 0.9 * eye.swelling
    signal = np.where(depth >= epithelium, signal * clear, signal)
    in_shadow = np.clip((depth - inner) / 0.03, 0, 1)
    return np.asarray(signal * (1 - in_shadow * (1 - eye.light)))


def _scanned(rng: np.random.Generator, signal: Array, x: Array) -> Array:
    """Speckle, which multiplies, light that fades towards one side, and noise; uint8."""
    speckle = np.asarray(rng.gamma(4.5, 1 / 4.5, signal.shape))
    # Grains are wider than deep, and rows of them are no coarser in a fine image.
    grains = blurred(speckle[..., None], 0.45)[..., 0]
    fading = rng.uniform(0.88, 1.08) * (1 + rng.uniform(-0.12, 0.12) * x) * (1 - 0.12 * x**4)
    noisy = blurred(signal[..., None], 0.35)[..., 0] * grains * fading + rng.normal(4, 3.5, signal.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)

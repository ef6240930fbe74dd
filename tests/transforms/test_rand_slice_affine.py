"""Moved slices, against scipy; what is padded never carries a lesion."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose
from scipy.ndimage import affine_transform

from transforms.rand_slice_affine import RandSliceAffine, RandSliceAffined

SHAPE = (24, 31)
RNG = np.random.default_rng(0)
IMAGE = RNG.random((2, *SHAPE))
LABEL = RNG.integers(0, 4, (1, *SHAPE)).astype(np.uint8)


def seeded(seed: int, **settings: object) -> RandSliceAffine:
    return RandSliceAffine(**{"prob": 1.0, "degrees": 40.0, "scale": 0.4, "shift": 0.3, **settings}).set_random_state(
        seed
    )


@pytest.mark.parametrize("seed", range(12))
def test_no_padded_pixel_carries_a_lesion(seed: int) -> None:
    """Lesions everywhere: what scipy fills from outside must be 255, and all else the lesion still."""
    mover = seeded(seed, scale=0.1)
    moved = mover(np.ones((1, *SHAPE), np.uint8), is_label=True)
    matrix = mover.matrix(SHAPE)
    places = np.einsum("ij,jhw->ihw", matrix[:2], np.stack([*np.indices(SHAPE), np.ones(SHAPE)]))
    last = np.array(SHAPE)[:, None, None]
    outside = ((places < -0.5 - 1e-4) | (places > last - 0.5 + 1e-4)).any(0)
    inside = ((places > -0.5 + 1e-4) & (places < last - 0.5 - 1e-4)).all(0)
    assert np.all(moved[0][outside] == 255)
    assert np.all(moved[0][inside] == 1)
    assert outside.sum() > 20


@pytest.mark.parametrize("seed", range(4))
def test_images_as_scipy_moves_them(seed: int) -> None:
    mover = seeded(seed)
    moved = mover(IMAGE)
    matrix = mover.matrix(SHAPE)
    wanted = np.stack([affine_transform(one, matrix, order=1, mode="nearest") for one in IMAGE])
    np.testing.assert_allclose(moved, wanted, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_labels_as_scipy_moves_them(seed: int) -> None:
    mover = seeded(seed)
    moved = mover(LABEL, is_label=True)
    wanted = affine_transform(LABEL[0], mover.matrix(SHAPE), order=0, mode="constant", cval=255)
    known = (moved[0] != 255) & (wanted != 255)
    assert moved.dtype == np.uint8
    assert set(np.unique(moved)) <= {0, 1, 2, 3, 255}
    assert (moved[0] == wanted)[known].mean() > 0.995  # ties fall either way
    assert known.mean() > 0.3


def test_by_hand() -> None:
    """A shift by two rows down, and a quarter turn."""
    mover = seeded(0)
    mover.randomize()
    mover._turn, mover._growth, mover._move = 0.0, 1.0, np.array([2 / 24, 0])
    moved = mover(LABEL, is_label=True, randomize=False)
    np.testing.assert_array_equal(moved[0, 2:], LABEL[0, :-2])
    assert np.all(moved[0, :2] == 255)
    np.testing.assert_allclose(mover(IMAGE, randomize=False)[:, :3], IMAGE[:, [0, 0, 0]], atol=1e-12)
    mover._turn, mover._move = np.pi / 2, np.zeros(2)
    square = LABEL[:, :, :24]
    assert any(np.array_equal(mover(square, True, False)[0], np.rot90(square[0], k)) for k in (1, -1))


def test_seeds_and_probability() -> None:
    assert np.array_equal(seeded(3)(IMAGE), seeded(3)(IMAGE))
    assert not np.array_equal(seeded(3)(IMAGE), seeded(4)(IMAGE))
    assert seeded(0, prob=0.0)(IMAGE) is IMAGE
    mover = RandSliceAffine(prob=0.3).set_random_state(0)
    assert 15 < sum(mover(IMAGE) is IMAGE for _ in range(30)) < 27


@pytest.mark.parametrize("kind", [torch.as_tensor, MetaTensor])
def test_torch_in_torch_out(kind) -> None:
    moved = seeded(1)(kind(torch.from_numpy(IMAGE)))
    assert type(moved) is type(kind(torch.zeros(1)))
    assert moved.dtype == torch.float64
    np.testing.assert_allclose(np.asarray(moved), seeded(1)(IMAGE))


def test_the_affine_follows() -> None:
    affine = np.array([[0, 2.0, 0, 5], [3, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]])
    image = MetaTensor(torch.from_numpy(IMAGE), affine=torch.from_numpy(affine))
    mover = seeded(2)
    moved = mover(image)
    place = mover.matrix(SHAPE) @ [4, 9, 1]
    np.testing.assert_allclose(moved.affine.numpy() @ [4, 9, 0, 1], affine @ [*place[:2], 0, 1])
    np.testing.assert_array_equal(image.affine, affine)


def test_dictionary_moves_all_keys_alike() -> None:
    step = RandSliceAffined(("image", "label", "fov"), prob=1.0, degrees=30, shift=0.2, allow_missing_keys=True)
    chain = Compose([step])
    chain.set_random_state(5)
    data = {"image": np.repeat(LABEL.astype(float), 3, 0), "label": LABEL}
    moved = chain(data)
    known = moved["label"][0] != 255
    sharp = moved["image"][0] == np.rint(moved["image"][0])
    assert np.abs(moved["image"][0] - moved["label"][0])[known & sharp].max() == 0
    assert data["label"] is LABEL
    chain.set_random_state(5)
    assert np.array_equal(chain(data)["image"], moved["image"])
    assert not np.array_equal(chain(data)["image"], moved["image"])


@pytest.mark.parametrize(
    "settings", [{"prob": 1.1}, {"degrees": -1}, {"scale": 1.0}, {"shift": -0.1}, {"shift": (0.1, -0.1)}]
)
def test_refused_settings(settings: dict) -> None:
    with pytest.raises(ValueError, match="must"):
        RandSliceAffine(**settings)
    with pytest.raises(ValueError, match="shape"):
        RandSliceAffine()(IMAGE[0])

"""Phantoms are reproducible to the byte, laid out as the data contract asks, and not segmented by a threshold."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import label as connected_parts

from pipelines.data.phantoms import KINDS, Phantom, choose_ending, make_case, make_cohort, share_cases
from transforms.io.input_error import InputError

SMALL = {"atrium": (32, 28, 16), "atrium2d": (32, 28), "ct_organ": (32, 28, 12), "two_class": (18, 25, 18)}
SMALL |= {"raters": SMALL["atrium"], "raters2d": SMALL["atrium2d"], "vessels2d": (32, 28), "fundus": (32, 28)}
SMALL |= {"oct": (32, 48, 8)}
# Millilitres per class (square centimetres for the slice): what a reader would accept for such an organ.
SIZES = {"atrium": (22, 75), "atrium2d": (5, 25), "ct_organ": (15, 60), "two_class": (0.4, 2.6)}
SIZES |= {"raters": (18, 75), "raters2d": SIZES["atrium2d"], "vessels2d": (0.004, 0.015), "fundus": (0.018, 0.036)}
SIZES |= {"oct": (2e-5, 0.03)}


@cache
def drawn(kind: str, number: int = 1, seed: int = 0) -> Phantom:
    return make_case(kind, number, seed=seed)


def best_threshold_dice(image: np.ndarray, mask: np.ndarray) -> float:
    """The Dice of the best band of intensities, chosen with knowledge of the mask."""
    edges = np.percentile(image, np.arange(0, 101, 4))
    bands = [(image >= low) & (image <= high) for i, low in enumerate(edges) for high in edges[i + 1 :]]
    return max(2 * (band & mask).sum() / (band.sum() + mask.sum()) for band in bands)


@pytest.mark.parametrize("kind", KINDS)
def test_case_has_the_declared_form(kind: str) -> None:
    case, declared = drawn(kind), KINDS[kind]
    assert case.image.shape == (*declared.shape, *((3,) if declared.colour else ()))
    assert case.label.shape == declared.shape
    assert case.spacing_mm == declared.spacing_mm
    eight_bit = declared.colour or kind == "oct"
    assert (case.image.dtype, case.label.dtype) == (np.uint8 if eight_bit else np.int16, np.uint8)
    assert np.unique(case.label).tolist() == list(range(len(declared.labels) + 1))
    assert case.image.std() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_no_threshold_segments_it(kind: str) -> None:
    for number in (1, 2, 3):
        case = drawn(kind, number)
        for channel in np.moveaxis(case.image, -1, 0) if KINDS[kind].colour else (case.image,):
            for value in np.unique(case.label)[1:]:
                assert best_threshold_dice(channel, case.label == value) < 0.7


@pytest.mark.parametrize("kind", KINDS)
def test_every_class_has_a_plausible_size(kind: str) -> None:
    low, high = SIZES[kind]
    for number in (1, 2, 3):
        case = drawn(kind, number)
        unit = 100 if case.label.ndim == 2 else 1000
        for value in np.unique(case.label)[1:]:
            assert low < (case.label == value).sum() * np.prod(case.spacing_mm) / unit < high


@pytest.mark.parametrize("kind", ["atrium", "ct_organ", "two_class"])
def test_the_organ_is_in_one_piece_and_its_shape_varies(kind: str) -> None:
    masks = [drawn(kind, number).label > 0 for number in (1, 2, 3)]
    assert all(connected_parts(mask)[1] == 1 for mask in masks)
    overlap = 2 * (masks[0] & masks[1]).sum() / (masks[0].sum() + masks[1].sum())
    assert overlap < 0.9


def test_oct_lies_in_the_patient_as_an_eye_does() -> None:
    case = drawn("oct")
    steps = (0.0039 * 8, 0.0117 * 8, 0.047 * 8)
    # Depth to the back, across to the left, from B-scan to B-scan to the head.
    assert np.allclose(case.affine[:3, :3], np.array([[0, -1, 0], [-1, 0, 0], [0, 0, 1]]) * steps)
    assert np.allclose(case.affine @ [31.5, 63.5, 7.5, 1], [0, 0, 0, 1])
    fine = make_case("oct", 1, shape=(128, 64, 16))
    assert fine.spacing_mm == pytest.approx((0.0039 * 4, 0.0117 * 16, 0.047 * 8))
    assert make_case("oct", 1, shape=(16, 16, 8), spacing_mm=[0.005]).spacing_mm == (0.005,) * 3


def test_two_classes_touch_and_keep_their_order() -> None:
    label = drawn("two_class").label
    touching = (label[:, :-1] == 1) & (label[:, 1:] == 2)
    assert touching.sum() > 10
    front, back = (np.argwhere(label == value)[:, 1].mean() for value in (1, 2))
    assert front < back


def test_ct_holds_air_fat_and_bone_in_hounsfield_units() -> None:
    case = drawn("ct_organ")
    assert (case.image < -850).mean() > 0.02
    assert ((case.image > -150) & (case.image < -50)).mean() > 0.1
    assert (case.image > 250).mean() > 0.01
    assert 60 < case.image[case.label == 1].mean() < 120


def test_a_case_depends_on_kind_seed_and_number_alone() -> None:
    case = drawn("atrium")
    again = make_case("atrium", 1, seed=0)
    assert np.array_equal(case.image, again.image)
    assert np.array_equal(case.label, again.label)
    for other in (make_case("atrium", 2, seed=0), make_case("atrium", 1, seed=1)):
        assert not np.array_equal(case.image, other.image)


def test_the_anatomy_is_the_same_at_another_resolution() -> None:
    coarse = make_case("atrium", 1, shape=(40, 36, 22), spacing_mm=[2.5]).label > 0
    fine = drawn("atrium").label.reshape(40, 2, 36, 2, 22, 2).mean((1, 3, 5)) > 0.5
    assert 2 * (coarse & fine).sum() / (coarse.sum() + fine.sum()) > 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_cohort_twice_gives_the_same_bytes(kind: str, tmp_path: Path) -> None:
    def write(folder: str) -> dict[str, str]:
        root = tmp_path / folder
        make_cohort(kind, root, 4, shape=SMALL[kind], seed=5)
        files = sorted(path for path in root.rglob("*") if path.is_file())
        return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    first, second = write("one"), write("two")
    assert first == second
    # The list, four images and two labels, of the one training case what five raters drew, and fields of view.
    assert len(first) == 1 + 4 + 2 + 5 * KINDS[kind].raters + 4 * (kind == "fundus")


def test_cohort_layout_and_files(tmp_path: Path) -> None:
    import nibabel

    listing = make_cohort("two_class", tmp_path, 6, labeled=1, unlabeled=2, validation=1, shape=(18, 25, 18))
    told = json.loads(listing.read_text())
    assert told["labels"] == {"0": "background", "1": "anterior", "2": "posterior"}
    assert {part: len(told[part]) for part in ("training", "unlabeled", "validation", "test")} == {
        "training": 1,
        "unlabeled": 2,
        "validation": 1,
        "test": 2,
    }
    assert all("label" not in entry for entry in told["unlabeled"])
    assert len(list((tmp_path / "labels").iterdir())) == 4
    for entry in told["training"] + told["validation"] + told["test"]:
        image, label = (nibabel.Nifti1Image.from_filename(tmp_path / entry[key]) for key in ("image", "label"))
        assert np.array_equal(image.affine, label.affine)
        assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
        assert image.header.get_zooms() == (1.0, 1.0, 1.0)
        assert image.header.get_xyzt_units()[0] == "mm"
        assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (1, 1)
        assert np.allclose(image.affine @ [8.5, 12, 8.5, 1], [0, 0, 0, 1])
        assert (image.get_data_dtype(), label.get_data_dtype()) == (np.int16, np.uint8)


def test_files_tell_neither_time_nor_name(tmp_path: Path) -> None:
    make_cohort("two_class", tmp_path, 1, shape=(18, 25, 18))
    header = (tmp_path / "images" / "two_class_0001.nii.gz").read_bytes()[:10]
    assert header[3] == 0, "no name, comment or extra field"
    assert header[4:8] == b"\0\0\0\0", "no time"


def test_png_cohort(tmp_path: Path) -> None:
    from PIL import Image

    make_cohort("atrium2d", tmp_path, 2, shape=(32, 28))
    with Image.open(tmp_path / "images" / "atrium2d_0001.png") as image:
        assert image.size == (32, 28)
        assert image.mode == "L"
        assert np.asarray(image).min() == 0
        assert np.asarray(image).max() == 255
    with Image.open(tmp_path / "labels" / "atrium2d_0001.png") as label:
        assert set(np.unique(np.asarray(label))) == {0, 1}


def test_colour_cohort_with_fields_of_view(tmp_path: Path) -> None:
    from pipelines.data.dataset import read_dataset
    from pipelines.data.integrity import check_dataset
    from transforms.io.volume import read_volume

    make_cohort("fundus", tmp_path, 3, labeled=1, unlabeled=1, test=1, shape=(40, 32))
    dataset = read_dataset(tmp_path)
    report = check_dataset(dataset)
    assert report.faults == ()
    assert report.fingerprint["summary"]["channels"] == {"3": 3}
    for _, case in dataset.cases:
        assert case.fov is not None
        drawn_again = make_case("fundus", int(case.case_id[-4:]), shape=(40, 32))
        image, fov = read_volume(case.images[0]).array, read_volume(case.fov).array
        assert image.shape == (3, 32, 40)
        assert np.array_equal(image, drawn_again.image.T)
        assert np.array_equal(fov, drawn_again.fov.T)
    assert dataset.unlabeled[0].label is None


def test_more_cases_change_no_case(tmp_path: Path) -> None:
    make_cohort("two_class", tmp_path / "few", 2, shape=(18, 25, 18))
    make_cohort("two_class", tmp_path / "many", 5, shape=(18, 25, 18))
    name = "images/two_class_0002.nii.gz"
    assert (tmp_path / "few" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()


@pytest.mark.parametrize(
    ("cases", "given", "expected"),
    [
        (24, {}, (6, 12, 0, 6)),
        (1, {}, (1, 0, 0, 0)),
        (2, {}, (1, 0, 0, 1)),
        (3, {}, (1, 1, 0, 1)),
        (5, {}, (1, 3, 0, 1)),
        (10, {"labeled": 2}, (2, 6, 0, 2)),
        (10, {"validation": 2}, (2, 4, 2, 2)),
        (10, {"unlabeled": 0}, (5, 0, 0, 5)),
        (9, {"labeled": 4, "unlabeled": 0, "test": 5}, (4, 0, 0, 5)),
        (9, {"labeled": 4, "unlabeled": 5}, (4, 5, 0, 0)),
    ],
)
def test_shares(cases: int, given: dict[str, int], expected: tuple[int, ...]) -> None:
    shares = share_cases(cases, **given)
    assert tuple(shares[part] for part in ("training", "unlabeled", "validation", "test")) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "atrim"}, "--kind: no kind 'atrim'; the nearest is 'atrium'"),
        ({"kind": "CT-Organ"}, "nearest is 'ct_organ'"),
        ({"cases": 0}, "--cases: must lie within 1 and 9999, got 0"),
        ({"cases": 4, "labeled": 3, "test": 2}, "--cases: 4 cases do not divide into the parts asked for"),
        ({"cases": 4, "labeled": 1, "unlabeled": 1, "test": 1}, "labeled 1, unlabeled 1, test 1"),
        ({"labeled": -1}, "--labeled: must not be negative"),
        ({"seed": -3}, "--seed: must lie within"),
        ({"shape": (32, 32)}, "--shape: atrium needs 3 sizes of at least 8"),
        ({"shape": (32, 32, 4)}, "--shape: atrium needs 3 sizes of at least 8"),
        ({"shape": (30000, 30000, 300)}, "--shape: at most"),
        ({"spacing_mm": (1.0, 0.0, 1.0)}, "--spacing: atrium needs 1 or 3 values"),
        ({"spacing_mm": (float("nan"),)}, "--spacing: atrium needs 1 or 3 values"),
        ({"spacing_mm": (1.0, 1.0)}, "--spacing: atrium needs 1 or 3 values"),
        ({"kind": "fundus", "file_ending": ".nii"}, "--file-ending: fundus can be written as .png, not '.nii'"),
        ({"file_ending": ".png"}, "--file-ending: atrium can be written as .nii.gz, .nii, not '.png'"),
    ],
)
def test_refusals_write_nothing(arguments: dict[str, object], message: str, tmp_path: Path) -> None:
    wanted = {"kind": "atrium", "cases": 4, "output": tmp_path / "cohort", **arguments}
    with pytest.raises(InputError, match=".*") as refusal:
        make_cohort(**wanted)  # type: ignore[arg-type]
    assert message in str(refusal.value)
    assert not (tmp_path / "cohort").exists()


def test_endings() -> None:
    assert choose_ending("atrium2d", None) == ".png"
    assert choose_ending("atrium2d", ".nii") == ".nii"

"""Identifiers follow from model and images: the same ones on a repeat, others for anything else."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from transforms.io.dicom_identity import RESEARCH_USE, SERIES_NUMBERS, ResultIdentity, derived_uid, dicom_text, stamp
from transforms.io.input_error import InputError

MODEL = ResultIdentity(
    model_name="tiny",
    model_version="1.0",
    model_hash="ab" * 32,
    source_series="1.2.3",
    source_instances=("1.2.3.1", "1.2.3.2"),
    moment=datetime(2026, 3, 4, 5, 6, 7),
)


def test_the_same_parts_give_the_same_uid_and_others_another():
    assert derived_uid("a", "b") == derived_uid("a", "b")
    different = [derived_uid(*parts) for parts in (("a", "b"), ("b", "a"), ("ab",), ("a", "b", ""), ("a,b",), ())]
    assert len(set(different)) == len(different)


def test_the_default_root_is_that_of_uuids():
    for part in range(200):
        uid = derived_uid(str(part))
        assert UID(uid).is_valid
        number = int(re.fullmatch(r"2\.25\.([0-9]+)", uid)[1])
        assert number < 2**128
        # Version 8 of RFC 9562, "custom", and its variant.
        assert (number >> 76) & 0xF == 8
        assert (number >> 62) & 0x3 == 2


@pytest.mark.parametrize("root", ["1.2.826.0.1", "1.3.6.1.4.1.14519.5.2.1.4429.7055.123456"[:39]])
def test_an_own_root_is_kept_and_the_length_is_too(root):
    uids = {derived_uid(str(part), root=root) for part in range(200)}
    assert len(uids) == 200
    for uid in uids:
        assert uid.startswith(f"{root}.")
        assert UID(uid).is_valid


@pytest.mark.parametrize("root", ["1.2.03", "1..2", "x", "1.2.", "3.1", "1." + "2" * 40, "1.2\n"])
def test_roots_that_are_none_are_refused(root):
    with pytest.raises(InputError, match="UID root") as refusal:
        derived_uid("a", root=root)
    assert "\n" not in refusal.value.reason


@pytest.mark.parametrize("kind", SERIES_NUMBERS)
def test_a_repeat_at_another_time_and_in_another_order_has_the_same_identifiers(kind):
    again = replace(MODEL, moment=datetime(2030, 1, 1), source_instances=MODEL.source_instances[::-1])
    assert again.instance_uid(kind) == MODEL.instance_uid(kind)
    assert again.series_uid(kind) == MODEL.series_uid(kind)
    assert again.tracking_uid(1) == MODEL.tracking_uid(1)


@pytest.mark.parametrize(
    "change",
    [
        {"model_name": "other"},
        {"model_version": "1.1"},
        {"model_hash": "cd" * 32},
        {"settings": "threshold 0.3"},
        {"source_series": "1.2.4"},
        {"source_instances": ("1.2.3.1",)},
        {"root": "1.2.826.0.1"},
    ],
)
def test_another_model_setting_or_image_has_others(change):
    other = replace(MODEL, **change)
    assert other.instance_uid("SEG") != MODEL.instance_uid("SEG")
    assert other.series_uid("SEG") != MODEL.series_uid("SEG")
    assert other.tracking_uid(1) != MODEL.tracking_uid(1)


def test_objects_of_one_job_are_told_apart():
    uids = [uid for kind in SERIES_NUMBERS for uid in (MODEL.series_uid(kind), MODEL.instance_uid(kind))]
    uids += [MODEL.instance_uid("SC", "2"), MODEL.tracking_uid(1), MODEL.tracking_uid(2), MODEL.device_uid]
    assert len(set(uids)) == len(uids)
    assert len(set(SERIES_NUMBERS.values())) == len(SERIES_NUMBERS)
    with pytest.raises(ValueError, match="'XX'"):
        MODEL.instance_uid("XX")


def test_the_model_as_a_device_is_the_same_for_all_images():
    assert replace(MODEL, source_series="9").device_uid == MODEL.device_uid
    assert replace(MODEL, model_hash="0").device_uid != MODEL.device_uid


@pytest.mark.parametrize("what", ["Segmentation", "", "x" * 100])
def test_descriptions_fit_and_end_with_the_intended_use(what):
    text = MODEL.describe(what)
    assert len(text) <= 64
    assert text.endswith(RESEARCH_USE)


def test_texts_fit_an_element():
    assert dicom_text("left\\right\n\tatrium ") == "left/right atrium"
    assert dicom_text("x" * 100) == "x" * 64
    assert dicom_text("ab cd", 3) == "ab"
    assert dicom_text("\n") == "unnamed"


def test_a_stamp_leaves_nothing_of_the_clock_or_of_chance():
    def drawn(number: str) -> Dataset:
        data, library, scanner, dimension = Dataset(), Dataset(), Dataset(), Dataset()
        data.SOPInstanceUID = "1.2.3"
        data.InstanceCreationDate = data.ContentDate = "2030010" + number
        data.InstanceCreationTime = data.ContentTime = "00000" + number
        library.Manufacturer, library.ContributionDateTime = "Highdicom open-source contributors", "2030010" + number
        scanner.Manufacturer, scanner.ContributionDateTime = "ACME", "20200101"
        data.ContributingEquipmentSequence = [scanner, library]
        dimension.DimensionOrganizationUID = "1.2.3." + number
        data.DimensionOrganizationSequence, data.DimensionIndexSequence = [dimension], [dimension]
        return data

    first, second = drawn("1"), drawn("2")
    assert first != second
    stamp(first, MODEL)
    stamp(second, MODEL)
    assert first == second
    assert (first.ContentDate, first.ContentTime) == ("20260304", "050607")
    assert first.ContributingEquipmentSequence[0].ContributionDateTime == "20200101"
    dimensions = first.DimensionOrganizationSequence[0], first.DimensionIndexSequence[0]
    assert dimensions[0].DimensionOrganizationUID == dimensions[1].DimensionOrganizationUID

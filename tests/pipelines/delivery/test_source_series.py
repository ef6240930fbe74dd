"""The one series that is meant, from folders of every shape; refusals name no file of a patient's."""

from __future__ import annotations

import argparse
import shutil

import pytest

from pipelines.delivery.job import Job
from pipelines.delivery.source_series import source_folder
from pipelines.pacs.address import FolderAddress, parse_address
from pipelines.pacs.series_rules import SeriesRules
from tests.transforms.io.dicom_phantom import SERIES, SLICES, phantom_slice, write_phantom
from transforms.io.dicom_series import read_series
from transforms.io.input_error import InputError


def job(source, **rules) -> Job:
    target = FolderAddress(source / "results")
    given = SeriesRules(**rules)
    return Job((), parse_address(str(source)), target, given, source / "receipt.json", argparse.Namespace())


@pytest.fixture
def study(tmp_path):
    """Two series in subfolders, and a report beside them; the folder is called after the patient."""
    folder = tmp_path / "Roe_Jane"
    write_phantom(folder / "a")

    def other(number, data):
        data.SeriesInstanceUID, data.SOPInstanceUID = f"{SERIES}.9", f"{SERIES}.9.{number + 1}"
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        data.SeriesDescription, data.SeriesNumber = "after contrast", 7

    write_phantom(folder / "b", other)
    report = phantom_slice(0)
    report.Modality, report.SeriesInstanceUID, report.SOPInstanceUID = "SR", f"{SERIES}.5", f"{SERIES}.5.1"
    del report.PixelData
    (folder / "c").mkdir()
    report.save_as(folder / "c" / "report.dcm", enforce_file_format=True)
    return folder


def test_a_plain_folder_is_read_where_it_is(study):
    with source_folder(job(study / "a")) as folder:
        assert folder == study / "a"


def test_a_rule_picks_a_series_and_its_copy_is_gone_afterwards(study):
    with source_folder(job(study, description="CONTRAST")) as folder:
        assert study not in folder.parents
        assert len(read_series(folder).paths) == SLICES
        assert {header.SeriesDescription for header in read_series(folder).headers} == {"after contrast"}
        assert folder.parent.stat().st_mode & 0o077 == 0
    assert not folder.parent.exists()


def test_results_beside_the_images_are_no_candidates(study):
    shutil.rmtree(study / "b")
    with source_folder(job(study)) as folder:
        assert len(list(folder.iterdir())) == SLICES


@pytest.mark.parametrize(
    ("rules", "reason"),
    [({}, "has 2 series that fit"), ({"modality": "CT"}, "no series"), ({"min_instances": 7}, "fits the rules")],
)
def test_none_or_several_are_refused_without_names(study, rules, reason):
    with pytest.raises(InputError, match=reason) as caught, source_folder(job(study, **rules)):
        pass
    assert str(caught.value).startswith("--input: ")
    assert "Roe" not in str(caught.value)
    assert str(study.parent) not in str(caught.value)


def test_a_damaged_file_is_told_by_its_number(study):
    torn = sorted((study / "a").iterdir())[2]
    torn.write_bytes(torn.read_bytes()[:200])
    told = r"^--input: file 3 of 6 in the order of names ends before it says which series"
    with pytest.raises(InputError, match=told) as caught, source_folder(job(study / "a")) as folder:
        read_series(folder)
    assert torn.name not in str(caught.value)


def test_the_copy_is_gone_after_a_fault_too(study):
    seen = []
    with pytest.raises(RuntimeError), source_folder(job(study, description="contrast")) as folder:
        seen.append(folder)
        raise RuntimeError
    assert not seen[0].parent.exists()

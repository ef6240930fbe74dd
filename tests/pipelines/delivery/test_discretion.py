"""A refusal tells the option and the number of the file, never a name that somebody gave after a patient."""

from __future__ import annotations

import pytest

from pipelines.delivery.discretion import discreet
from transforms.io.input_error import InputError


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "DOE^JANE"
    place.mkdir()
    for name in ("doe_jane_1.dcm", "doe_jane_2.dcm", "doe_jane_10.dcm"):
        (place / name).touch()
    return place


def told(folder, subject, reason):
    with pytest.raises(InputError) as caught, discreet(folder, "--input"):
        raise InputError(subject, reason)
    return str(caught.value)


def test_the_folder_becomes_the_option(folder):
    assert told(folder, folder, "holds two series") == "--input: holds two series"


def test_a_file_becomes_its_number(folder):
    # In the order of names: 1, 10, 2.
    assert (
        told(folder, folder / "doe_jane_2.dcm", "is damaged") == "--input: file 3 of 3 in the order of names is damaged"
    )


def test_names_within_the_reason_go_too(folder):
    text = told(folder, folder / "doe_jane_1.dcm", f"is the same as doe_jane_10.dcm in {folder}")
    assert "jane" not in text.lower()
    assert text.endswith("is the same as another file in another file")


def test_what_is_elsewhere_is_told_as_it_is(folder, tmp_path):
    assert told(folder, tmp_path / "bundle", "is no bundle") == f"{tmp_path / 'bundle'}: is no bundle"
    assert told(folder, "--head", "must be mask") == "--head: must be mask"


def test_the_cause_is_not_shown_either(folder):
    with pytest.raises(InputError) as caught, discreet(folder, "--input"):
        raise InputError(folder / "doe_jane_1.dcm", "is damaged")
    assert caught.value.__suppress_context__

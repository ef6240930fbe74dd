"""What is told from a run's record."""

from __future__ import annotations

import pytest

from pipelines.export.pictures import learnt_from_pictures


@pytest.mark.parametrize(
    ("files", "pictures"),
    [
        (["images/a.png", "labels/a.PNG"], True),
        (["images/a.jpg", "labels/a.png"], True),
        (["images/a.nii.gz", "labels/a.nii.gz"], False),
        (["images/a.nii.gz", "labels/a.png"], False),
        ([], False),
    ],
)
def test_by_the_files(files, pictures):
    assert learnt_from_pictures({"data": {"cases": {"a": {"files": dict.fromkeys(files, "0")}}}}) is pictures


def test_a_record_that_tells_none():
    assert not learnt_from_pictures({})

import re
from pathlib import Path

import pytest

from pipelines.consensus.parameter_source import parameter_file, rater_parameters
from transforms.io.input_error import InputError

RATERS = (Path("data/raters/a.nii.gz"), Path("data/raters/b.nii.gz"))


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "data_parameters.csv"
    path.write_text("case_id,rater,parameter\nx,raters/b.nii.gz,-2\nx,raters/a.nii.gz,0.5\ny,raters/c.nii.gz,9\n")
    return path


def test_run_or_table(table):
    assert parameter_file(table) == table
    assert parameter_file(table.parent) == table


def test_numbers():
    assert rater_parameters(["0.5", "-2"], RATERS) == (0.5, -2.0)


def test_rows_of_a_table(table):
    assert rater_parameters([str(table)], RATERS) == (0.5, -2.0)
    assert rater_parameters([str(table.parent)], RATERS[::-1]) == (-2.0, 0.5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["1"], "has 1 numbers for 2 raters"),
        (["1", "2", "3"], "has 3 numbers for 2 raters"),
        (["1", "nan"], "a finite number for each rater"),
        (["absent.csv"], "absent.csv: does not exist"),
        (["absent.csv", "1"], "one run or table"),
    ],
)
def test_refusals(given, message):
    with pytest.raises(InputError, match=re.escape(message)):
        rater_parameters(given, RATERS)


def test_no_table_or_no_row(table, tmp_path):
    with pytest.raises(InputError, match=re.escape("has no parameter for rater data/raters/z.nii.gz")):
        rater_parameters([str(table)], (Path("data/raters/z.nii.gz"),))
    table.write_text(table.read_text() + "y,raters/a.nii.gz,1\n")
    with pytest.raises(InputError, match="names 2 parameters for rater"):
        rater_parameters([str(table)], RATERS)
    empty = tmp_path / "run"
    empty.mkdir()
    with pytest.raises(InputError, match=r"has no data_parameters\.csv"):
        parameter_file(empty)

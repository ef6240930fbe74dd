from __future__ import annotations

import math

import pytest

from pipelines.data.data_parameters_table import COLUMNS, ParameterRow, read_data_parameters, write_data_parameters
from transforms.io.input_error import InputError

ROWS = [
    ParameterRow("a", "r/1.nii.gz", "atlas", 0, math.log(3.0), 12, 0.5, True),
    ParameterRow("a", "r/2.nii.gz", instance_index=1, parameter=-100.0),
]


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "data_parameters.csv"
    write_data_parameters(path, ROWS)
    lines = path.read_text().splitlines()
    assert lines[0].split(",") == list(COLUMNS)
    assert lines[1] == "a,r/1.nii.gz,atlas,0,1.09861229,0.75,12,0.5,1"
    assert lines[2].endswith(",,,")
    assert read_data_parameters(path) == {("a", "r/1.nii.gz"): 1.09861229, ("a", "r/2.nii.gz"): -100.0}


def test_the_weight_is_the_sigmoid():
    assert ROWS[0].weight == pytest.approx(0.75)
    assert ROWS[1].weight == pytest.approx(0.0, abs=1e-30)
    assert ParameterRow("a", "b").weight is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("case_id,rater\na,b\n", "has no column parameter"),
        ("case_id,rater,parameter\n", "holds no parameter"),
        ("case_id,rater,parameter\na,b,\n", "line 2 has '' where a parameter belongs"),
        ("case_id,rater,parameter\na,b,nan\n", "line 2 has the parameter nan"),
        ("case_id,rater,parameter\na,b,1\na,b,2\n", "line 3 gives a second parameter to b of a"),
        ("", "has no column"),
    ],
)
def test_tables_that_are_refused(tmp_path, text, said):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_data_parameters(path)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_data_parameters(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is no CSV file"):
        read_data_parameters(tmp_path / "bytes.csv")

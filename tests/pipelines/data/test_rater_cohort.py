from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.data.data_parameters_table import ParameterRow, write_data_parameters
from pipelines.data.dataset import Case
from pipelines.data.rater_cohort import filter_instances, keep_trusted
from pipelines.data.raters import Instance
from tests.pipelines.data.noisy_cohort import make_noisy_cohort, rater_cohort
from transforms.io.input_error import InputError

INSTANCES = [Instance(number, Case(f"case{number}", ()), Path("x"), f"r{number}") for number in range(5)]
VALUES = (-1.0, 0.0, 0.5, 0.5, 2.0)
PARAMETERS = {each.key: value for each, value in zip(INSTANCES, VALUES, strict=True)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_noisy_cohort(tmp_path_factory.mktemp("noisy") / "data")


def test_every_rater_of_every_training_case_is_an_instance(data, tmp_path, capsys):
    cohort = rater_cohort(data, tmp_path)
    assert [instance.index for instance in cohort.kept] == list(range(15))
    assert len(cohort.training) == 15
    assert (len(cohort.validation), len(cohort.test)) == (1, 1)
    assert "15 noisy labels of 3 images, 1 validation and 1 test cases" in capsys.readouterr().out
    experts = {str(instance.case.label) for instance in cohort.kept}
    assert not experts & {entry["label"] for entry in cohort.training}


def test_a_validation_case_is_drawn_whole(tmp_path):
    data = make_noisy_cohort(tmp_path / "data", validation=0)
    cohort = rater_cohort(data, tmp_path, validation=1)
    (drawn,) = cohort.validation
    assert len(cohort.kept) == 10
    assert drawn["case_id"] not in {instance.case.case_id for instance in cohort.kept}
    assert drawn["label"].endswith(f"labels/{drawn['case_id']}.png")
    with pytest.raises(InputError, match="--validation: is 3"):
        rater_cohort(data, tmp_path, validation=3)


def test_a_filter_leaves_the_numbers_alone(data, tmp_path, capsys):
    cohort = rater_cohort(data, tmp_path)
    rows = [ParameterRow(*each.key, instance_index=each.index, parameter=float(each.index)) for each in cohort.kept]
    write_data_parameters(tmp_path / "table.csv", rows)
    filtered = rater_cohort(data, tmp_path, parameters=tmp_path / "table.csv", keep_above=9.5)
    assert [instance.index for instance in filtered.kept] == [10, 11, 12, 13, 14]
    assert [entry["instance_index"] for entry in filtered.training] == [10, 11, 12, 13, 14]
    assert len(filtered.instances) == 15
    assert "5 of 15 noisy labels of 1 images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("quantile", "above", "kept"),
    [
        (0.0, None, [0, 1, 2, 3, 4]),
        (0.5, None, [2, 3, 4]),
        (1.0, None, [4]),
        (None, 0.0, [2, 3, 4]),
        (None, -9.0, [0, 1, 2, 3, 4]),
        (0.5, 0.5, [4]),
    ],
)
def test_the_bounds(quantile, above, kept):
    found = keep_trusted(INSTANCES, PARAMETERS, quantile, above, Path("table.csv"))
    assert [each.index for each in found] == kept


def test_what_a_filter_refuses(tmp_path):
    source = Path("table.csv")
    with pytest.raises(InputError, match="--keep-quantile: must lie between 0 and 1, got 2"):
        keep_trusted(INSTANCES, PARAMETERS, 2, None, source)
    with pytest.raises(InputError, match="--keep-above: leaves no label: the highest parameter in table.csv is 2"):
        keep_trusted(INSTANCES, PARAMETERS, None, 2.0, source)
    known = dict(list(PARAMETERS.items())[1:])
    with pytest.raises(InputError, match="table.csv: knows nothing of 1 of 5 labels, for example r0 of case0"):
        keep_trusted(INSTANCES, known, 0.5, None, source)
    with pytest.raises(InputError, match="--parameters: is of no use without"):
        filter_instances(INSTANCES, source, None, None)
    with pytest.raises(InputError, match="--keep-above: needs --parameters FILE"):
        filter_instances(INSTANCES, None, None, 0.0)
    assert filter_instances(INSTANCES, None, None, None) == INSTANCES

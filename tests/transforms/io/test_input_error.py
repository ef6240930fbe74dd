"""InputError: one line per fault."""

import pickle
from pathlib import Path

import pytest

from transforms.io.input_error import InputError, InputErrors

LINES = [
    ("scan.nii.gz", "is empty", "scan.nii.gz: is empty"),
    (Path("data") / "scan.nii.gz", "is empty", "data/scan.nii.gz: is empty"),
    ("--seed", "must be\n  a number,\tgot x ", "--seed: must be a number, got x"),
]


@pytest.mark.parametrize(("subject", "reason", "line"), LINES)
def test_one_line(subject, reason, line):
    fault = InputError(subject, reason)
    assert str(fault) == line
    assert line == f"{fault.subject}: {fault.reason}"
    assert isinstance(fault, ValueError)


FAULTS = [InputError("a", "is odd"), InputError("b", "is even"), InputError("c", "is gone")]


@pytest.mark.parametrize(
    ("count", "line"), [(1, "a: is odd"), (2, "a: is odd (and 1 more fault)"), (3, "a: is odd (and 2 more faults)")]
)
def test_many_faults_tell_the_first(count, line):
    faults = InputErrors(FAULTS[:count])
    assert str(faults) == line
    assert faults.faults == tuple(FAULTS[:count])
    assert faults.subject == "a"
    assert isinstance(faults, InputError)


def test_faults_are_read_once():
    assert InputErrors(fault for fault in FAULTS).faults == tuple(FAULTS)


def test_refuses_no_fault():
    with pytest.raises(ValueError, match="at least one fault"):
        InputErrors([])


@pytest.mark.parametrize("fault", [FAULTS[0], InputErrors(FAULTS)])
def test_survives_a_data_loading_process(fault):
    """An exception that cannot be unpickled breaks a process pool in place of being told."""
    copy = pickle.loads(pickle.dumps(fault))
    assert type(copy) is type(fault)
    assert str(copy) == str(fault)
    assert copy.subject == fault.subject
    assert copy.reason == fault.reason

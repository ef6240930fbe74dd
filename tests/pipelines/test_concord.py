"""The console command: what it lists, what it runs and what it refuses."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from pipelines.concord import describe_command, list_commands, main

COMMAND = '''
"""Count the cases.

More."""
def build_parser(): ...
def main(argv=None): ...
'''


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (COMMAND, "Count the cases."),
        (COMMAND.replace("Count", "Command ``count``: count"), "Count the cases."),
        (COMMAND.replace("Count", "``concord count``: count"), "Count the cases."),
        ("def build_parser(): ...\ndef main(argv=None): ...\n", ""),
        ('"""Parts that commands share."""\ndef main(argv=None): ...\n', None),
        ('"""Nothing to run."""\n', None),
    ],
)
def test_describes_commands_by_their_docstring_alone(tmp_path, source, expected):
    file = tmp_path / "count.py"
    file.write_text(source + "raise RuntimeError('imported')\n", encoding="utf-8")
    assert describe_command(file) == expected


def test_lists_the_commands_that_exist_and_no_other_module():
    commands = list_commands()
    assert {"check_data", "demo", "make_phantom", "train_dtc"} <= set(commands)
    assert not {"concord", "console", "keys", "workflow"} & set(commands)
    assert list(commands) == sorted(commands)


def test_every_command_says_what_it_does_in_one_line():
    too_long_or_silent = {name: text for name, text in list_commands().items() if not 10 <= len(text) <= 105}
    assert not too_long_or_silent


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["trian_dtc"], "error: trian_dtc: no such command; did you mean train_dtc?\n"),
        (["train-dtc"], "error: train-dtc: no such command; did you mean train_dtc?\n"),
        (["console"], "error: console: no such command; "),
        (["concord"], "error: concord: no such command; "),
        (["../pipelines/demo"], "error: ../pipelines/demo: no such command; "),
        (["qqq"], "error: qqq: no such command; concord --help lists them\n"),
        ([], "error: concord: name a command first; concord --help lists them\n"),
        (["--output", "x"], "error: --output: name a command first; concord --help lists them\n"),
    ],
)
def test_refuses_what_is_no_command_in_one_line(argv, error, capsys):
    assert main(argv) == 2
    told = capsys.readouterr()
    assert told.err.startswith(error)
    assert told.err.count("\n") == 1
    assert not told.out


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_names_every_command_and_the_intended_use(option, capsys):
    assert main([option]) == 0
    told = capsys.readouterr().out
    for name, text in list_commands().items():
        assert name in told
        assert text in told
    assert "not for diagnosis" in told


def test_version_is_told(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("concord ")


def test_hands_arguments_and_exit_status_through(tmp_path, capsys):
    assert main(["check_data", str(tmp_path / "absent")]) == 2
    assert "absent" in capsys.readouterr().err
    assert main(["make_phantom", "--help"]) == 0
    assert "concord make_phantom" in capsys.readouterr().out


def test_listing_and_refusing_import_nothing_heavy():
    probe = """
        import sys
        from pipelines.concord import main
        main(["--help"]), main(["nothing"])
        print(sorted({"torch", "monai", "numpy", "scipy", "matplotlib", "ignite"} & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(probe)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"

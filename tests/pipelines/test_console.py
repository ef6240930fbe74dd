"""What all commands share: exit statuses, one-line refusals, progress and the output folder."""

import io
import os
import signal
import subprocess
import sys
import threading

import pytest

from pipelines import console
from pipelines.console import add_run_arguments, claim_output, command_parser, progress, run_command, say
from transforms.io.input_error import InputError, InputErrors


def parser(data=False):
    made = command_parser("example", "Does nothing.")
    add_run_arguments(made, output="what is written")
    if data:
        made.add_argument("--data")
    return made


def raising(fault):
    def run(args):
        raise fault

    return run


ARGV = ["--output", "out"]


# ---- options ---------------------------------------------------------------------------------------------------------


def test_defaults():
    args = parser().parse_args(ARGV)
    assert str(args.output) == "out"
    assert (args.overwrite, args.device, args.seed, args.debug) == (False, "auto", 0, False)


def test_options_that_a_command_has_no_use_for():
    made = command_parser("example", "Does nothing.")
    add_run_arguments(made, output="what is written", seed=False, device=False)
    assert set(vars(made.parse_args(ARGV))) == {"output", "overwrite", "debug"}


def test_help_says_what_it_is_not_for(capsys):
    assert run_command(parser(), raising(AssertionError), ["--help"]) == 0
    shown = capsys.readouterr().out
    assert "concord example" in shown
    assert "not for diagnosis" in shown
    assert "(default: 0)" in shown


BAD_USAGE = [
    ([], "required: --output"),
    ([*ARGV, "--nonsense"], "unrecognized arguments: --nonsense"),
    ([*ARGV, "--seed", "x"], "invalid int value: 'x'"),
    ([*ARGV, "--over"], "unrecognized arguments: --over"),
]


@pytest.mark.parametrize(("argv", "reason"), BAD_USAGE)
def test_bad_usage_is_one_line(capsys, argv, reason):
    assert run_command(parser(), raising(AssertionError), argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: concord example: ")
    assert captured.err.count("\n") == 1
    assert reason in captured.err


# ---- exit statuses ---------------------------------------------------------------------------------------------------

MANY = [InputError(f"case{index}", "is odd") for index in range(7)]
STATUSES = [
    (InputError("scan.nii.gz", "is empty"), 2, "error: scan.nii.gz: is empty\n"),
    (InputErrors(MANY[:2]), 2, "error: case0: is odd\nerror: case1: is odd\n"),
    (KeyboardInterrupt(), 130, "interrupted\n"),
    (console.Terminated(), 143, "terminated\n"),
]


@pytest.mark.parametrize(("fault", "status", "told"), STATUSES)
def test_what_is_raised_becomes_a_status(capsys, fault, status, told):
    assert run_command(parser(), raising(fault), ARGV) == status
    captured = capsys.readouterr()
    assert captured.err == told
    assert captured.out == ""


@pytest.mark.parametrize("status", [0, 1])
def test_the_status_of_the_command_is_passed_on(status):
    assert run_command(parser(), lambda args: status, ARGV) == status


def test_a_fault_of_ours_shows_its_traceback(capsys):
    assert run_command(parser(), raising(ZeroDivisionError("by nothing")), ARGV) == 1
    told = capsys.readouterr().err
    assert told.startswith("Traceback")
    assert "ZeroDivisionError: by nothing" in told


def test_debug_shows_the_traceback_of_a_refusal(capsys):
    assert run_command(parser(), raising(InputError("a", "is odd")), [*ARGV, "--debug"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("Traceback")
    assert told.endswith("error: a: is odd\n")


def test_many_faults_of_a_data_set_are_cut_short(capsys):
    assert run_command(parser(data=True), raising(InputErrors(MANY)), [*ARGV, "--data", "heart"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[:5] == [f"error: case{index}: is odd" for index in range(5)]
    assert lines[5:] == ["and 2 more; see: concord check_data heart"]


def test_without_a_data_set_all_faults_are_told(capsys):
    assert run_command(parser(), raising(InputErrors(MANY)), ARGV) == 2
    assert len(capsys.readouterr().err.splitlines()) == 7


# ---- signals ---------------------------------------------------------------------------------------------------------


def test_sigterm_ends_the_command_and_its_handler_goes_again(capsys):
    before = signal.getsignal(signal.SIGTERM)
    cleaned = []

    def run(args):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            return 0
        finally:
            cleaned.append(True)

    assert run_command(parser(), run, ARGV) == 143
    assert cleaned == [True]
    assert signal.getsignal(signal.SIGTERM) is before


def test_commands_run_in_other_threads_too():
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(run_command(parser(), lambda args: 0, ARGV)))
    thread.start()
    thread.join()
    assert statuses == [0]


def test_a_reader_that_goes_away_is_no_fault():
    code = (
        "import sys\n"
        "from pipelines.console import command_parser, run_command, say\n"
        "def run(args):\n"
        "    for line in range(100_000):\n"
        "        say('x' * 80)\n"
        "    return 0\n"
        "sys.exit(run_command(command_parser('example', 'Talks.'), run, []))\n"
    )
    talker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    talker.stdout.readline()
    talker.stdout.close()
    told = talker.stderr.read()
    talker.stderr.close()
    assert talker.wait(timeout=30) == 0
    assert told == b""


# ---- progress and lines ----------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
@pytest.mark.parametrize("items", [range(4), []])
def test_progress_yields_the_items(monkeypatch, stream, items):
    monkeypatch.setattr(sys, "stderr", stream())
    assert list(progress(items, "counting")) == list(items)
    assert list(progress(iter(items), "counting", total=4)) == list(items)


def test_progress_in_plain_lines(capsys):
    assert list(progress("ab", "reading", every_s=0)) == ["a", "b"]
    assert list(progress(iter("ab"), "writing", every_s=0)) == ["a", "b"]
    lines = ["reading: 1 of 2", "reading: 2 of 2", "writing: 1", "writing: 2"]
    assert capsys.readouterr().err.splitlines() == lines


def test_progress_says_nothing_of_what_is_quick(capsys):
    assert list(progress(range(100), "counting")) == list(range(100))
    assert capsys.readouterr().err == ""


def test_progress_with_a_bar_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    list(progress(range(3), "reading cases"))
    assert "reading cases" in terminal.getvalue()
    assert "3" in terminal.getvalue()


def test_say(capsys):
    say("one")
    say("two")
    assert capsys.readouterr().out == "one\ntwo\n"


def test_a_process_that_fell_silent(monkeypatch, capsys):
    monkeypatch.setattr(console, "_silent", False)
    console.fall_silent()
    say("one")
    assert list(progress("ab", "reading", every_s=0)) == ["a", "b"]
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


# ---- the output folder -----------------------------------------------------------------------------------------------


def test_a_new_folder_is_made(tmp_path):
    claim_output(tmp_path / "a" / "b", overwrite=False, finished_by="summary.json")
    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize("options", [{"overwrite": True}, {"overwrite": False, "allow": True}])
def test_a_finished_run_may_be_replaced(tmp_path, options):
    (tmp_path / "summary.json").write_text("{}")
    claim_output(tmp_path, finished_by="summary.json", **options)
    assert (tmp_path / "summary.json").read_text() == "{}"


def test_an_unfinished_run_is_no_hindrance(tmp_path):
    (tmp_path / "metrics.csv").write_text("")
    claim_output(tmp_path, overwrite=False, finished_by="summary.json")
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_refuses_a_finished_run(tmp_path):
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(InputError, match=r"holds a finished run \(summary.json\); .* pass --overwrite"):
        claim_output(tmp_path, overwrite=False, finished_by="summary.json")


@pytest.mark.parametrize(("place", "reason"), [("file", "is a file"), ("file/below", "cannot be made: Not a dir")])
def test_refuses_a_file(tmp_path, place, reason):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=reason):
        claim_output(tmp_path / place, overwrite=True, finished_by="summary.json")
    assert (tmp_path / "file").read_text() == "mine"


def test_refuses_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match="cannot be written to"):
        claim_output(tmp_path, overwrite=False, finished_by="summary.json")


def test_importing_it_is_cheap():
    """A refusal must not wait for torch."""
    code = "import sys, pipelines.console; sys.exit('torch' in sys.modules or 'monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

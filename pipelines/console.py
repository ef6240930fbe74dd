"""What all commands share: exit statuses, one-line refusals, progress, and the options that mean the same
everywhere.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TypeVar

from transforms.io.input_error import InputError, InputErrors

NOT_FOR_DIAGNOSIS = "Research use only, not for diagnosis."

EXIT_DONE, EXIT_FAULT, EXIT_REFUSED, EXIT_INTERRUPTED, EXIT_TERMINATED = 0, 1, 2, 130, 143

FAULTS_SHOWN = 5

Item = TypeVar("Item")

_silent = False


class Interrupted(KeyboardInterrupt):
    """The user has pressed Ctrl-C (SIGINT).

    A plain ``KeyboardInterrupt`` that comes through an ``eval``, as in MONAI's configurations, makes Python end itself
    by the signal in the end, even when it was handled; one of another type does not.
    """


class Terminated(BaseException):
    """The process was asked to stop (SIGTERM)."""


class _Parser(argparse.ArgumentParser):
    """Refuses in the one-line form that all commands promise."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(EXIT_REFUSED, f"error: {self.prog}: {message}\n")


def command_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Make the parser of command ``name``; every command's help ends with the statement of intended use."""
    return _Parser(
        prog=f"concord {name}",
        description=description,
        epilog=NOT_FOR_DIAGNOSIS,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )


def add_run_arguments(parser: argparse.ArgumentParser, *, output: str, seed: bool = True, device: bool = True) -> None:
    """Add the options that mean the same for every command.

    Args:
        parser: the command's parser.
        output: what the command writes into ``--output``, for the help.
        seed: whether the command draws random numbers.
        device: whether the command computes on a device.
    """
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help=output)
    parser.add_argument("--overwrite", action="store_true", help="replace what a finished run left in --output")
    if device:
        parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    if seed:
        parser.add_argument("--seed", type=int, default=0, help="seed of every random draw")
    parser.add_argument("--debug", action="store_true", help="show the traceback of a refusal too")


def run_command(
    parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int], argv: Sequence[str] | None
) -> int:
    """Parse ``argv``, run the command and turn what it raises into its exit status.

    Returns:
        0 done; 2 bad usage or bad input, told as ``error: <file or option>: <reason>`` on standard error without a
        traceback; 1 a fault of ours, with the traceback; 130 interrupted; 143 terminated.
    """
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else EXIT_REFUSED
    try:
        with _signals_raised():
            return run(args)
    except InputError as refusal:
        if getattr(args, "debug", False):
            traceback.print_exc()
        _tell_refusal(refusal, getattr(args, "data", None))
        return EXIT_REFUSED
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return EXIT_INTERRUPTED
    except Terminated:
        sys.stderr.write("terminated\n")
        return EXIT_TERMINATED
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing is wrong, but Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    except Exception:
        traceback.print_exc()
        return EXIT_FAULT


def _tell_refusal(refusal: InputError, data: Path | None) -> None:
    """Write one line per fault, the first few of many; ``data`` is the data set that is read, if one is."""
    faults = refusal.faults if isinstance(refusal, InputErrors) else (refusal,)
    shown = faults if data is None or len(faults) <= FAULTS_SHOWN else faults[:FAULTS_SHOWN]
    for fault in shown:
        sys.stderr.write(f"error: {fault}\n")
    if len(shown) < len(faults):
        sys.stderr.write(f"and {len(faults) - len(shown)} more; see: concord check_data {data}\n")


@contextmanager
def _signals_raised() -> Iterator[None]:
    """Let SIGTERM raise ``Terminated`` and SIGINT ``Interrupted``, so that nothing half-written stays."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted if number == signal.SIGINT else Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def say(text: str) -> None:
    """Print one line for the user at once."""
    if not _silent:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def fall_silent() -> None:
    """Print no more lines and show no more progress: another process of the same job does."""
    global _silent
    _silent = True


def progress(
    items: Iterable[Item], description: str, total: int | None = None, every_s: float = 10.0
) -> Iterator[Item]:
    """Yield ``items`` with a progress bar on a terminal, and with a plain line now and then elsewhere.

    Args:
        items: what to iterate over.
        description: what is being done, a few words.
        total: how many items there are, when ``items`` has no length.
        every_s: seconds between two lines when standard error is no terminal.
    """
    total = len(items) if total is None and isinstance(items, Sized) else total
    if _silent:
        yield from items
        return
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, desc=description, total=total, leave=False)
        return
    last = time.monotonic()
    for count, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - last >= every_s:
            last = time.monotonic()
            sys.stderr.write(f"{description}: {count}{f' of {total}' if total else ''}\n")


def claim_output(folder: Path, *, overwrite: bool, finished_by: str, allow: bool = False) -> None:
    """Make the output folder; refuse one that holds a finished run, unless told otherwise.

    Args:
        folder: the command's ``--output``.
        overwrite: the user's ``--overwrite``.
        finished_by: the file whose presence says that a run has finished there.
        allow: another reason to go on (``--resume``).

    Raises:
        InputError: when the folder is a file, cannot be written, or holds a finished run.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(folder, "is a file, but --output must be a folder")
    if (folder / finished_by).exists() and not (overwrite or allow):
        raise InputError(folder, f"holds a finished run ({finished_by}); choose another folder or pass --overwrite")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise InputError(folder, f"cannot be made: {fault.strerror}") from fault
    if not os.access(folder, os.W_OK):
        raise InputError(folder, "cannot be written to")

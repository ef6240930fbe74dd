"""The console command ``concord NAME``: finds the module of that name and runs it, without importing any other."""

from __future__ import annotations

import ast
import difflib
import importlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.console import EXIT_DONE, EXIT_REFUSED, NOT_FOR_DIAGNOSIS, say

FOLDER = Path(__file__).resolve().parent
DISTRIBUTION = "concord-seg"
# "Command ``name``: does this" tells in a listing no more than "does this".
_OWN_NAME = re.compile(r"^[^:]*``[^`]+``:\s*")


def describe_command(file: Path) -> str | None:
    """Give the first line of a command module's docstring; None when the module is no command.

    The file is parsed and not imported, so that listing all commands takes no time.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    if not {"build_parser", "main"} <= functions:
        return None
    lines = (ast.get_docstring(tree) or "").splitlines() or [""]
    text = _OWN_NAME.sub("", lines[0])
    return text[:1].upper() + text[1:]


def list_commands(folder: Path = FOLDER) -> dict[str, str]:
    """Give the commands in a folder and what they do, sorted by name."""
    described = {file.stem: describe_command(file) for file in sorted(folder.glob("*.py"))}
    return {name: text for name, text in described.items() if text is not None}


def run_named(name: str, argv: Sequence[str]) -> int:
    """Run one command and give its exit status; 2, with one line on standard error, when there is none of that name."""
    file = FOLDER / f"{name}.py"
    if not (name.isidentifier() and file.is_file() and describe_command(file) is not None):
        near = difflib.get_close_matches(name, list_commands(), 1)
        hint = f"did you mean {near[0]}?" if near else "concord --help lists them"
        sys.stderr.write(f"error: {name}: no such command; {hint}\n")
        return EXIT_REFUSED
    status: int = importlib.import_module(f"pipelines.{name}").main(list(argv))
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``concord`` with the given arguments, or with those of the process."""
    name, *rest = [*(sys.argv[1:] if argv is None else argv), ""]
    if name in ("-h", "--help"):
        return _help()
    if name == "--version":
        return _version()
    if not name or name.startswith("-"):
        sys.stderr.write(f"error: {name or 'concord'}: name a command first; concord --help lists them\n")
        return EXIT_REFUSED
    return run_named(name, rest[:-1])


def _help() -> int:
    commands = list_commands()
    width = max(map(len, commands), default=0)
    say("usage: concord NAME [options]\n\nThe commands; concord NAME --help tells the options of one:\n")
    for name, text in commands.items():
        say(f"  {name:<{width}}  {text}")
    say(f"\n{NOT_FOR_DIAGNOSIS}")
    return EXIT_DONE


def _version() -> int:
    from importlib.metadata import PackageNotFoundError, version

    try:
        say(f"concord {version(DISTRIBUTION)}")
    except PackageNotFoundError:
        say("concord (not installed)")
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())

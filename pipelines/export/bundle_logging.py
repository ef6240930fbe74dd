"""A bundle's ``configs/logging.conf``: Python evaluates parts of it, so MONAI 1.6 filters it, and we a little more."""

from __future__ import annotations

import ast
import configparser
import logging
import logging.handlers
from collections.abc import Iterator

STREAMS = ("sys.stdout", "sys.stderr")
MODULES = {"logging": logging, "logging.handlers": logging.handlers}


def logging_faults(text: str) -> list[str]:
    """Find what MONAI 1.6 would refuse in a ``logging.conf``, and handlers that write files wherever they like.

    Args:
        text: content of the file.

    Returns:
        What is wrong, each with its section; empty when there is nothing.
    """
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error as fault:
        return [f"cannot be read: {str(fault).splitlines()[0]}"]
    faults = [
        f"has no section [{name}]" for name in ("loggers", "handlers", "formatters") if not parser.has_section(name)
    ]
    for section in parser.sections():
        for option in ("class", "args", "kwargs"):
            value = parser.get(section, option, raw=True, fallback="").strip()
            if value:
                check = _class_faults if option == "class" else _argument_faults
                faults += [f"[{section}] {option} = {value}: {reason}" for reason in check(value)]
    return faults


def _class_faults(value: str) -> Iterator[str]:
    module, _, name = value.rpartition(".")
    found = getattr(MODULES.get(module or "logging"), name, None)
    if not (isinstance(found, type) and issubclass(found, logging.Handler | logging.Formatter)):
        yield "is no handler or formatter of Python's logging, and MONAI refuses it"
    elif issubclass(found, logging.FileHandler):
        yield "writes to a file that it names itself, wherever that is"


def _argument_faults(value: str) -> Iterator[str]:
    try:
        tree = ast.parse(value, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield "is no expression, and MONAI refuses it"
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            if not any(f"{stream}.".startswith(f"{ast.unparse(node)}.") for stream in STREAMS):
                yield f"names {ast.unparse(node)}, and MONAI refuses all but {' and '.join(STREAMS)}"
                return
        elif not isinstance(node, ast.Constant | ast.Tuple | ast.List | ast.Dict | ast.Set | ast.Load):
            yield f"is no literal ({type(node).__name__}), and MONAI refuses it"
            return

"""Packages that log what they ask an archive for, and what it answers, are silenced: both name patients."""

from __future__ import annotations

import logging

TALKATIVE = ("pynetdicom", "pydicom", "urllib3", "requests", "dicomweb_client")


def quiet_loggers() -> None:
    """Let these packages log nothing, whatever level the program around us has set for the rest.

    They log queries, file names and values at several levels, and failures with them; ours are told without.
    """
    for name in TALKATIVE:
        above = [logged for logged in logging.root.manager.loggerDict if logged.startswith(f"{name}.")]
        for logged in (name, *above):
            logging.getLogger(logged).setLevel(logging.CRITICAL + 1)

"""What MONAI refuses in a ``logging.conf`` is refused, in a few cases more."""

from __future__ import annotations

import pytest
from monai.bundle import workflows

from pipelines.export.bundle_logging import logging_faults
from pipelines.export.training_config import LOGGING_CONF

GOOD = LOGGING_CONF  # what exports carry


def refused_by_monai(text, folder):
    file = folder / "logging.conf"
    file.write_text(text)
    try:
        workflows._reject_executable_logging_config(str(file))
    except ValueError:
        return True
    return False


def test_the_zoos_file(tmp_path):
    assert logging_faults(GOOD) == []
    assert not refused_by_monai(GOOD, tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("class=StreamHandler", "class=eval"),
        ("class=StreamHandler", "class=__import__('os').system"),
        ("class=StreamHandler", "class=os.system"),
        ("class=StreamHandler", "class=StreamHandler("),
        ("args=(sys.stdout,)", "args=(open('x', 'w'),)"),
        ("args=(sys.stdout,)", "args=(os.environ,)"),
        ("args=(sys.stdout,)", "args=[x for x in ()]"),
        ("args=(sys.stdout,)", "kwargs={'stream': sys.modules}"),
        ("[loggers]", "loggers"),
    ],
)
def test_what_monai_refuses(tmp_path, old, new):
    text = GOOD.replace(old, new)
    assert refused_by_monai(text, tmp_path)
    assert logging_faults(text)


@pytest.mark.parametrize("name", ["FileHandler", "handlers.RotatingFileHandler", "logging.FileHandler"])
def test_handlers_that_empty_a_file_of_their_choice(name):
    text = GOOD.replace("class=StreamHandler", f"class={name}").replace("(sys.stdout,)", "('/etc/victim', 'w')")
    assert len(logging_faults(text)) == 1


def test_handlers_of_logging_handlers(tmp_path):
    text = GOOD.replace("class=StreamHandler", "class=logging.handlers.QueueHandler")
    assert logging_faults(text) == []
    assert not refused_by_monai(text, tmp_path)


def test_sections_that_python_needs():
    assert logging_faults("[loggers]\nkeys=root\n") == ["has no section [handlers]", "has no section [formatters]"]

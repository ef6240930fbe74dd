"""The options of inference: what they mean, and what is refused before torch is loaded."""

from __future__ import annotations

import argparse

import pytest

from pipelines.prediction.loading import InferenceSettings
from pipelines.prediction.options import (
    add_inference_arguments,
    check_inference_arguments,
    inference_settings,
    trusted_hashes,
)
from transforms.io.input_error import InputError


def parsed(*options):
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    add_inference_arguments(parser)
    return parser.parse_args(options)


MEANINGS = {
    "": {},
    "--head mean": {"head": "mean"},
    "--overlap 0": {"overlap": 0.0},
    "--overlap 0.75": {"overlap": 0.75},
    "--stride 18 18 4": {"stride": (18, 18, 4)},
    "--window-weights constant": {"window_mode": "constant"},
    "--flips 0 2": {"flips": (0, 2)},
    "--flips lr slices": {"flips": ("lr", "slices")},
    "--weights 1 0.5": {"weights": (1.0, 0.5)},
    "--dropout-samples 8": {"dropout_samples": 8},
    "--head level_set --flips 1 --overlap 0.5": {"head": "level_set", "flips": (1,), "overlap": 0.5},
}


@pytest.mark.parametrize(("options", "settings"), MEANINGS.items())
def test_what_options_mean(options, settings):
    args = parsed(*options.split())
    check_inference_arguments(args)
    assert inference_settings(args) == InferenceSettings(**settings)


REFUSED = {
    "--overlap 1": "--overlap: must be from 0 to below 1, got 1",
    "--overlap -0.1": "--overlap: must be from 0",
    "--overlap nan": "--overlap: must be from 0",
    "--stride 4 0 4": "--stride: must be at least 1",
    "--flips 0 0": "--flips: takes each of the axes",
    "--flips 3": "--flips: takes each of the axes",
    "--flips -1": "--flips: takes each of the axes",
    "--weights 1 0.0": "--weights: must be positive numbers, got 1 0",
    "--weights 0 0": "--weights: must be positive",
    "--weights -1 2": "--weights: must be positive",
    "--weights nan": "--weights: must be positive",
    "--weights inf 1": "--weights: must be positive",
    "--flips lr lr": "--flips: takes each of the axes",
    "--dropout-samples 0": "--dropout-samples: must be at least 1, got 0",
    "--trust 0123": "--trust: takes the SHA-256 of a bundle, 64 hexadecimal digits, got 0123",
    f"--trust {'g' * 64}": "--trust: takes the SHA-256",
    "--device tpu": "--device: must be auto, cpu, cuda",
}


@pytest.mark.parametrize(("options", "message"), REFUSED.items())
def test_what_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        check_inference_arguments(parsed(*options.split()))


@pytest.mark.parametrize(
    "options", ["--overlap 0.5 --stride 1 1 1", "--head body", "--window-weights flat", "--flips left", "--weights"]
)
def test_what_the_parser_refuses(options, capsys):
    with pytest.raises(SystemExit) as stop:
        parsed(*options.split())
    assert stop.value.code == 2
    assert "argument" in capsys.readouterr().err


def test_hashes_of_trusted_bundles():
    assert trusted_hashes(parsed()) == ()
    args = parsed("--trust", "AB" * 32, "01" * 32)
    check_inference_arguments(args)
    assert trusted_hashes(args) == ("ab" * 32, "01" * 32)

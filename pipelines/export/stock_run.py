"""Running an exported bundle as somebody without this project does, and comparing the masks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.phantom_files import png_bytes
from pipelines.export.pictures import MASK_SUFFIX, learnt_from_pictures
from pipelines.export.proof_grid import proof_spacing, proof_window
from pipelines.prediction.loading import InferenceSettings, load_predictor, read_record
from transforms.io.atomic import atomic_path
from transforms.io.nifti_file import encode_nifti
from transforms.io.volume import read_volume

TIMEOUT_S = 1800
# Python runs a module of this name at every start: it makes our packages absent.
_SITE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"networks", "transforms", "pipelines", "bundles"}:
            raise ModuleNotFoundError(f"{name} is not installed here", name=name)

sys.meta_path.insert(0, Absent())
"""


@dataclass(frozen=True)
class MaskComparison:
    """How an exported bundle's mask differs from ours.

    Attributes:
        differing: voxels of another label.
        voxels: how many there are in all.
        foreground: how many have a label in ours.
    """

    differing: int
    voxels: int
    foreground: int


def run_stock(bundle: Path, images: Path, output: Path, channels: int = 1) -> None:
    """Run a bundle with ``python -m monai.bundle run`` in a process that cannot import this project.

    Args:
        bundle: the bundle's folder.
        images: folder of NIfTI files.
        output: folder for the masks.
        channels: of an image; several are taken from as many files in ``images``, which then make one image.

    Raises:
        RuntimeError: when it fails, with what it said last.
    """
    images = images.resolve()
    options = {"dataset_dir": str(images), "output_dir": str(output.resolve())}
    if channels > 1:
        options["datalist"] = json.dumps([{"image": sorted(map(str, images.glob("*.nii*")))}])
    _run_bundle(bundle.resolve(), "inference.json", options)


def run_stock_evaluation(bundle: Path, data: Path, output: Path, split: str = "test") -> None:
    """Evaluate a bundle on labelled cases with ``python -m monai.bundle run``, where this project is absent.

    Args:
        bundle: the bundle's folder.
        data: folder with a Decathlon ``dataset.json``, or with ``images`` and ``labels``.
        output: folder for the CSV files.
        split: list of ``dataset.json`` to take.

    Raises:
        RuntimeError: when it fails, with what it said last.
    """
    options = {"dataset_dir": str(data.resolve()), "output_dir": str(output.resolve()), "split": split}
    _run_bundle(bundle.resolve(), "evaluate.json", options)


def _run_bundle(bundle: Path, config: str, options: Mapping[str, str]) -> None:
    """Run one of a bundle's configurations on the CPU, in a process that cannot import this project."""
    given = {
        "config_file": str(bundle / "configs" / config),
        "bundle_root": str(bundle),
        "device": "$torch.device('cpu')",
        **options,
    }
    command = [sys.executable, "-m", "monai.bundle", "run"]
    for name, value in given.items():
        command += [f"--{name}", value]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sitecustomize.py").write_text(_SITE, encoding="utf-8")
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise RuntimeError(f"the exported bundle does not run with MONAI alone (status {done.returncode}):\n{said}")


def compare_with_stock(run: Path, bundle: Path, trusted: Collection[str] = ()) -> MaskComparison:
    """Segment one synthetic image with the run's network here and with the exported bundle there.

    Args:
        run: the run folder.
        bundle: what was exported from it.
        trusted: SHA-256 hashes of runs that may run any code.

    Raises:
        RuntimeError: when the bundle does not run, or leaves no mask of the image's shape.
    """
    import torch

    predictor, facts = load_predictor(run, InferenceSettings(device=torch.device("cpu")), trusted)
    with tempfile.TemporaryDirectory() as folder:
        images, masks = Path(folder, "images"), Path(folder, "masks")
        if learnt_from_pictures(read_record(run)):
            names = [str(_write_picture(images, facts.config, facts.in_channels))]
        else:
            names = [str(_write_image(images, facts.config, channel)) for channel in range(facts.in_channels)]
        ours = predictor.predict({"image": names[0] if len(names) == 1 else names}).labels
        run_stock(bundle, images, masks, len(names))
        found = sorted(masks.glob("*.nii.gz")) or sorted(masks.glob(f"*{MASK_SUFFIX}"))
        if len(found) != 1:
            raise RuntimeError(f"the exported bundle left {len(found)} masks for one image")
        theirs = read_volume(found[0]).array
    if theirs.shape != ours.shape:
        raise RuntimeError(f"the exported bundle's mask has shape {theirs.shape}, the image has {ours.shape}")
    return MaskComparison(int(np.count_nonzero(theirs != ours)), ours.size, int(np.count_nonzero(ours)))


def _blobs(shape: tuple[int, ...], seed: int) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(seed)
    image = gaussian_filter(random.normal(size=shape), 4.0)
    return 300 * image / image.std() + random.normal(0, 30, shape)


def _write_picture(folder: Path, config: Mapping[str, Any], channels: int) -> Path:
    """Write blobs and noise as a grey or coloured picture, in whose grid an image of one window is, and not square."""
    spacing, window = np.array(proof_spacing(config)), np.array(proof_window(config))
    columns, rows = (int(side) for side in np.ceil((window[::-1] + (4, 12)) * spacing[::-1]))
    image = np.stack([_blobs((columns, rows), channel) for channel in range(channels)], axis=-1)
    grey = np.clip(128 + image / 8, 0, 255).astype(np.uint8)
    path = folder / "proof.png"
    with atomic_path(path) as temporary:
        temporary.write_bytes(png_bytes(grey[..., 0] if channels == 1 else grey))
    return path


def _write_image(folder: Path, config: Mapping[str, Any], channel: int) -> Path:
    """Write blobs and noise on an oblique grid with turned axes, a little larger than one window."""
    step = np.array([0.9 * spacing for spacing in proof_spacing(config)])
    dims = len(step)
    image = _blobs(tuple(int(np.ceil((side + 4) / 0.9)) for side in proof_window(config)), channel)
    path = folder / f"proof_{channel:04d}.nii.gz"
    turn = np.deg2rad(8)
    affine = np.eye(4)
    affine[:2, :2] = [[-np.cos(turn), np.sin(turn)], [-np.sin(turn), -np.cos(turn)]]
    affine[:3, :dims] = affine[:3, :dims] * step
    affine[:3, 3] = (20, -30, 40)
    with atomic_path(path) as temporary:
        temporary.write_bytes(encode_nifti(image.astype(np.int16), affine, None, compress=True))
    return path

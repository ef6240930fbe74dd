"""Writing a self-contained MONAI bundle: network, configuration, metadata, model card, licence."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import bundles
from networks.nets.dual_task_predictor import DualTaskPredictor
from pipelines.console import say
from pipelines.export.inference_config import inference_config
from pipelines.export.metadata import bundle_metadata
from pipelines.export.metadata_rules import metadata_faults
from pipelines.export.model_card import model_card
from pipelines.prediction.loading import load_network, read_record, read_run_config
from transforms.io.atomic import write_json_atomic, write_text_atomic
from transforms.io.input_error import InputError

LARGEST_DIFFERENCE = 1e-5
LICENSE_FILE = Path(bundles.__file__).resolve().parent / "left_atrium_dtc" / "LICENSE"


def export_run(run: Path, output: Path, summary: Mapping[str, Any] | None) -> float:
    """Export a run as a bundle, after proving that the exported network computes what the trained one does.

    The folder appears under its name when it is complete; one that was there before is replaced.

    Args:
        run: the run folder.
        output: the bundle's folder.
        summary: test scores for the model card; None when there are none.

    Returns:
        The largest difference between the trained and the exported network's probabilities on the same input.

    Raises:
        InputError: when the run has no usable checkpoint.
        RuntimeError: when the exported network computes something else.
    """
    config = read_run_config(run)
    record = read_record(run)
    best = run / "checkpoints" / "best.pt"
    network = load_network(config, best if best.is_file() else run / "checkpoints" / "last.pt")
    predictor = DualTaskPredictor(network, k=float(config["k"]), head=config["head"]).eval()

    output.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".part-", dir=output.parent))
    try:
        (work / "models").mkdir()
        metadata = bundle_metadata(config, record, run.resolve().name)
        faults = metadata_faults(metadata)
        if faults:
            raise RuntimeError("the bundle's metadata.json would be refused: " + "; ".join(faults))
        inference = inference_config(config)
        torch.save(predictor.state_dict(), work / "models" / "model.pt")
        _save_torchscript(predictor, work / "models" / "model.ts", metadata, inference)
        difference = _largest_difference(predictor, work / "models" / "model.ts", config)
        if difference > LARGEST_DIFFERENCE:
            raise RuntimeError(f"the exported network differs from the trained one by {difference:.3g}")
        write_json_atomic(work / "configs" / "metadata.json", metadata)
        write_json_atomic(work / "configs" / "inference.json", inference)
        hashes = {path.name: _sha256(path) for path in sorted((work / "models").iterdir())}
        write_text_atomic(
            work / "docs" / "README.md", model_card(config, record, metadata, summary, hashes, difference)
        )
        proof = {"network_largest_difference": difference, "sha256": hashes, "versions": record["versions"]}
        write_json_atomic(work / "docs" / "proof.json", proof)
        shutil.copyfile(LICENSE_FILE, work / "LICENSE")
        replace_folder(work, output)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    say(f"exported network equals the trained one within {difference:.2g}")
    return difference


def _save_torchscript(
    predictor: DualTaskPredictor, path: Path, metadata: Mapping[str, Any], inference: Mapping[str, Any]
) -> None:
    from monai.data import save_net_with_metadata

    with warnings.catch_warnings():
        # torch deprecates TorchScript; it is still the one form that MONAI's deployment tools load.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        scripted = torch.jit.script(predictor)
        save_net_with_metadata(
            scripted,
            str(path),
            include_config_vals=False,
            append_timestamp=False,
            meta_values=dict(metadata),
            more_extra_files={"inference.json": json.dumps(inference, indent=2).encode()},
        )


def _largest_difference(predictor: DualTaskPredictor, exported: Path, config: Mapping[str, Any]) -> float:
    """Compare both networks on noise whose sides are no multiple of 16, so that padding is compared too."""
    sides = [min(side, 48) + 3 for side in config["patch_size"]]
    noise = torch.randn(2, config["in_channels"], *sides, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        loaded = torch.jit.load(str(exported)).eval()
        return float((loaded(noise) - predictor(noise)).abs().max())


def replace_folder(work: Path, output: Path) -> None:
    """Give the finished folder ``work`` the name ``output``, in place of a bundle that is there.

    Raises:
        InputError: when ``output`` is or holds something that is no bundle.
    """
    work.chmod(0o755)
    if output.exists():
        if not output.is_dir() or (not (output / "configs" / "metadata.json").is_file() and any(output.iterdir())):
            raise InputError(output, "holds something that is no bundle; choose another folder")
        shutil.rmtree(output)
    work.replace(output)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

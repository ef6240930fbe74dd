"""Writing a self-contained MONAI bundle: network, configurations, metadata, model card, licence."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import bundles
from networks.nets.slice_predictor import SlicePredictor
from pipelines.console import say
from pipelines.export.evaluation_config import evaluation_config
from pipelines.export.inference_config import inference_config
from pipelines.export.metadata import bundle_metadata
from pipelines.export.metadata_rules import metadata_faults
from pipelines.export.model_card import Evidence, model_card
from pipelines.export.pictures import learnt_from_pictures
from pipelines.export.proof_grid import proof_window
from pipelines.export.training_config import LOGGING_CONF, multi_gpu_config, training_config
from pipelines.export.weight_forms import (
    TORCHSCRIPT,
    WeightForm,
    allowed_difference,
    largest_difference,
    plain_form,
    proof_images,
)
from pipelines.prediction.class_predictor import ClassPredictor, class_predictor
from pipelines.prediction.loading import load_network, read_record, read_run_config, refuse_other_hashes
from pipelines.runs.record import SPLITS_FILE
from pipelines.trust.bundle_scan import refuse_findings, run_findings
from pipelines.trust.fingerprint import file_sha256
from transforms.io.atomic import write_json_atomic, write_text_atomic
from transforms.io.input_error import InputError

LICENSE_FILE = Path(bundles.__file__).resolve().parent / "left_atrium_dtc" / "LICENSE"
TERMS_FILE = Path("docs", "data_license.txt")


@dataclass(frozen=True)
class TrainedRun:
    """What an export starts from.

    Attributes:
        config: the run's configuration.
        record: content of its ``run.json``.
        predictor: the trained network, from images to class probabilities.
        metadata: content of ``metadata.json``.
    """

    config: dict[str, Any]
    record: dict[str, Any]
    predictor: ClassPredictor
    metadata: dict[str, Any]


def read_run(run: Path, trusted: Collection[str] = ()) -> TrainedRun:
    """Load what is exported: the weights that validated best, else the last.

    Args:
        run: the run folder.
        trusted: SHA-256 hashes (:func:`pipelines.trust.fingerprint.bundle_sha256`) of runs that may run any code.

    Raises:
        InputError: when the run has no usable checkpoint, gives no masks, or could do harm and is not trusted.
        RuntimeError: when MONAI would refuse what the metadata would say.
    """
    config = read_run_config(run)
    digest = refuse_findings(run, run, run_findings(config, run), trusted)
    refuse_other_hashes(trusted, {str(run): digest})
    record = read_record(run)
    best = run / "checkpoints" / "best.pt"
    network = load_network(config, best if best.is_file() else run / "checkpoints" / "last.pt")
    predictor = class_predictor(network, config).eval()
    if isinstance(predictor, SlicePredictor) and not predictor.has_mask:
        raise InputError(run, "has a network that tells what slices hold and gives no mask, which a bundle must")
    metadata = bundle_metadata(config, record, run.resolve().name)
    faults = metadata_faults(metadata)
    if faults:
        raise RuntimeError("the bundle's metadata.json would be refused: " + "; ".join(faults))
    return TrainedRun(config, record, predictor, metadata)


def export_run(
    run: Path,
    output: Path,
    summary: Mapping[str, Any] | None,
    forms: Sequence[WeightForm] = (),
    trusted: Collection[str] = (),
) -> dict[str, float]:
    """Export a run as a bundle, after proving that every exported form computes what the trained network does.

    The folder appears under its name when it is complete; one that was there before is replaced.

    Args:
        run: the run folder.
        output: the bundle's folder.
        summary: test scores for the model card; None when there are none.
        forms: to write beside ``model.pt`` and TorchScript.
        trusted: as for :func:`read_run`.

    Returns:
        By the name of each form's file, the largest difference between its probabilities and the trained network's on
        the same inputs.

    Raises:
        InputError: when the run has no usable checkpoint, cannot leave in one of the forms, or could do harm and is
            not trusted.
        RuntimeError: when an exported network computes something else.
    """
    trained = read_run(run, trusted)
    if isinstance(trained.predictor, SlicePredictor) and forms:
        told = "is a recording, which a network that goes through a volume slice by slice cannot be; leave it out"
        raise InputError(forms[0].title, told)
    with _folder_that_appears_whole(output) as work:
        plain, network = plain_form(trained.predictor, proof_window(trained.config)) or (None, None)
        pictures = learnt_from_pictures(trained.record)
        configs = {
            "metadata.json": trained.metadata,
            "inference.json": inference_config(trained.config, network, pictures=pictures),
            "evaluate.json": evaluation_config(trained.config, network, pictures=pictures),
            "train.json": training_config(trained.config),
            "multi_gpu_train.json": multi_gpu_config(),
        }
        differences = _write_weights(trained, work / "models", configs, [plain, TORCHSCRIPT, *forms])
        for name, content in configs.items():
            write_json_atomic(work / "configs" / name, content)
        write_text_atomic(work / "configs" / "logging.conf", LOGGING_CONF)
        hashes = {path.name: file_sha256(path) for path in sorted((work / "models").iterdir())}
        terms = _terms(trained.config)
        if terms:
            write_text_atomic(work / TERMS_FILE, f"{trained.metadata['data_source']}: {terms}\n")
        evidence = Evidence(hashes, differences, _cases(run), terms)
        card = model_card(trained.config, trained.record, trained.metadata, summary, evidence)
        write_text_atomic(work / "docs" / "README.md", card)
        proof = {
            "network_largest_difference": max(differences.values()),
            "largest_difference": differences,
            "sha256": hashes,
            "versions": trained.record["versions"],
        }
        write_json_atomic(work / "docs" / "proof.json", proof)
        shutil.copyfile(LICENSE_FILE, work / "LICENSE")
    return differences


def export_for_slicer(run: Path, output: Path, trusted: Collection[str] = ()) -> float:
    """Export a run as the folder that 3D Slicer's MONAIAuto3DSeg loads.

    Args:
        run: the run folder.
        output: the folder, which appears under its name when it is complete.
        trusted: as for :func:`read_run`.

    Returns:
        The largest difference between its probabilities and the trained network's.

    Raises:
        InputError: when the run has no usable checkpoint, or the extension has no words for it.
        RuntimeError: when the exported network computes something else.
    """
    from pipelines.export.slicer_form import check_slicer_form, write_slicer_form

    check_slicer_form(read_run_config(run))
    trained = read_run(run, trusted)
    with _folder_that_appears_whole(output) as work:
        difference = write_slicer_form(work, trained.predictor, trained.config, trained.metadata)
    say(f"network for 3D Slicer: equals the trained one within {difference:.2g}")
    return difference


def _write_weights(
    trained: TrainedRun, folder: Path, configs: Mapping[str, Any], forms: Sequence[WeightForm | None]
) -> dict[str, float]:
    """Write every form of the network, load it again and compare it; the worst difference of each, by file name."""
    folder.mkdir()
    # Where it has no plain form, these are the names that the TorchScript network has.
    torch.save(trained.predictor.state_dict(), folder / "model.pt")
    window, channels = proof_window(trained.config), trained.config["in_channels"]
    texts = {name: configs[name] for name in ("metadata.json", "inference.json")}
    differences = {}
    for form in filter(None, forms):
        images = proof_images(window, channels, any_size=form.any_size)
        form.save(trained.predictor, folder / form.file, images[0], texts)
        difference = largest_difference(trained.predictor, form.load(folder / form.file), images)
        if difference > form.tolerance and difference > allowed_difference(form, trained.predictor, images):
            raise RuntimeError(f"the exported network ({form.title}) differs from the trained one by {difference:.3g}")
        say(f"exported network equals the trained one within {difference:.2g} ({form.title})")
        differences[form.file] = difference
    return differences


def _cases(run: Path) -> dict[str, int]:
    """Count the cases of each split; a run without a list of them has none to count."""
    file = run / SPLITS_FILE
    if not file.is_file():
        return {}
    try:
        splits = json.loads(file.read_text(encoding="utf-8"))
        return {name: len(splits[name]) for name in ("labeled", "unlabeled", "validation", "test")}
    except (ValueError, KeyError, TypeError) as fault:
        raise InputError(file, "cannot be read as the run's splits") from fault


def _terms(config: Mapping[str, Any]) -> str:
    """Give what the training data set says of its licence, while it is at hand; on one line, empty where it is not."""
    try:
        content = json.loads(Path(str(config["dataset_dir"]), "dataset.json").read_text(encoding="utf-8"))
        told = content.get("licence") or content.get("license")
    except (OSError, ValueError, AttributeError):
        return ""
    return " ".join(told.replace("|", "/").split()) if isinstance(told, str) else ""


@contextmanager
def _folder_that_appears_whole(output: Path) -> Iterator[Path]:
    """Give a folder to write into, which gets the name ``output`` when nothing has gone wrong."""
    output.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".part-", dir=output.parent))
    try:
        yield work
        replace_folder(work, output)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def is_export(folder: Path) -> bool:
    """Whether a folder holds what an export has written."""
    slicer = all((folder / name).is_file() for name in ("model.pt", "labels.csv", "README.md"))
    return slicer or (folder / "configs" / "metadata.json").is_file()


def replace_folder(work: Path, output: Path) -> None:
    """Give the finished folder ``work`` the name ``output``, in place of a bundle that is there.

    Raises:
        InputError: when ``output`` is or holds something that is no bundle.
    """
    work.chmod(0o755)
    if output.exists():
        if not output.is_dir() or (not is_export(output) and any(output.iterdir())):
            raise InputError(output, "holds something that is no bundle; choose another folder")
        shutil.rmtree(output)
    work.replace(output)

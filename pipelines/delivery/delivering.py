"""One job from the series to the receipt: fetch, check, segment, make the objects, store them, ask for them."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipelines.console import EXIT_DONE, say
from pipelines.delivery.job import Job
from pipelines.delivery.model_identity import ModelIdentity, model_identity
from pipelines.delivery.receipt import KEPT, STORED, build_receipt, write_receipt
from pipelines.delivery.results import Results, make_results
from pipelines.delivery.sending import Delivery, send, write_results
from pipelines.delivery.source_series import source_folder
from pipelines.keys import Keys
from pipelines.pacs.address import FolderAddress
from pipelines.prediction.ensemble import load_ensemble
from pipelines.prediction.inputs import check_inputs
from pipelines.prediction.loading import ModelFacts
from pipelines.prediction.options import inference_settings, trusted_hashes
from pipelines.prediction.segmenter import Segmenter
from transforms.io.dicom_identity import MANUFACTURER, ResultIdentity, derived_uid, identity_of
from transforms.io.dicom_series import read_dicom_series, read_series
from transforms.io.dicom_source import source_headers
from transforms.io.input_error import InputError

PACKAGES = ("concord-seg", "torch", "monai", "highdicom", "pydicom", "pynetdicom", "dicomweb-client")


@dataclass
class Stopwatch:
    """Seconds of each stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a block."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = time.monotonic() - started


def deliver(job: Job) -> int:
    """Do the job.

    What is said and written here names no patient: neither name, id nor date, nor a folder or file of theirs.

    Returns:
        The exit status: done.

    Raises:
        InputError: when the series, the model or an archive is at fault. Results that the target did not take are kept
            in ``job.unsent`` and the receipt says so; a repeat sends objects of the same identifiers.
    """
    derived_uid("checked", root=job.uid_root)
    watch = Stopwatch()
    with watch.stage("model"):
        segmenter, facts = load_ensemble(job.bundles, inference_settings(job.options), trusted_hashes(job.options))
        model = model_identity(job.bundles, facts)
    if facts.spatial_dims != 3:
        raise InputError(job.bundles[0], "segments 2D images, and a series is a volume")
    with ExitStack() as stack:
        with watch.stage("fetch"):
            folder = stack.enter_context(source_folder(job))
        identity, results = _segmented(job, folder, segmenter, facts, model, watch)
    _hand_over(job, identity, results, watch)
    return EXIT_DONE


def _segmented(
    job: Job, folder: Path, segmenter: Segmenter, facts: ModelFacts, model: ModelIdentity, watch: Stopwatch
) -> tuple[ResultIdentity, Results]:
    with watch.stage("check"):
        series = read_series(folder)
        modality = str(source_headers(series)[0].Modality)
        model.require_modality(modality, job.rules.modality)
        entry = {Keys.IMAGE.value: str(folder), Keys.CASE_ID.value: "series"}
        check_inputs([entry], facts.in_channels, facts.spatial_dims, facts.spacing_mm)
        image = read_dicom_series(folder).array
    say(f"series of {len(series.paths)} slices, {' x '.join(map(str, series.geometry.shape))} voxels")
    with watch.stage("segment"):
        labels = segmenter.predict(entry).labels
    with watch.stage("objects"):
        settings = {name: value for name, value in facts.settings.items() if name != "device"}
        identity = identity_of(
            series,
            model_name=model.name,
            model_version=model.version,
            model_hash=model.sha256,
            moment=datetime.now(),
            settings=json.dumps(settings, sort_keys=True),
            software=f"{MANUFACTURER} {_versions()['concord-seg']}",
            root=job.uid_root,
        )
        results = make_results(series, image, labels, model.codes, identity, job.form)
    for line in results.lines:
        say(line)
    return identity, results


def _hand_over(job: Job, identity: ResultIdentity, results: Results, watch: Stopwatch) -> None:
    """Give the results to the target and write the receipt."""
    if isinstance(job.target, FolderAddress):
        with watch.stage("store"):
            write_results(job.target.path, results.objects, results.picture)
        _write_receipt(job, identity, results, watch, STORED)
        say(f"results: {job.target.path}")
        return
    with watch.stage("store"):
        archive = job.open(job.target)
        try:
            done = send(archive, results.objects)
        finally:
            archive.close()
    if done.fault is None:
        _write_receipt(job, identity, results, watch, STORED)
        shutil.rmtree(job.unsent, ignore_errors=True)
        again = f" ({len(done.already)} of them by an earlier job)" if done.already else ""
        say(f"{job.target} has {len(results.objects)} results{again}; receipt: {job.receipt}")
        return
    write_results(job.unsent, results.objects, results.picture)
    _write_receipt(job, identity, results, watch, KEPT, done)
    kept = f"{len(done.missing)} of {len(results.objects)} results are not there; all are kept in {job.unsent}"
    raise InputError(done.fault.subject, f"{done.fault.reason}; {kept}; the same command sends what is missing")


def _write_receipt(
    job: Job,
    identity: ResultIdentity,
    results: Results,
    watch: Stopwatch,
    state: str,
    done: Delivery | None = None,
) -> None:
    receipt = build_receipt(
        identity,
        results.volumes,
        results.objects,
        state=state,
        missing=() if done is None else done.missing,
        fault=None if done is None or done.fault is None else str(done.fault),
        seconds=watch.seconds,
        versions=_versions(),
    )
    try:
        write_receipt(job.receipt, receipt)
    except OSError as fault:
        raise InputError(job.receipt, f"cannot be written: {fault.strerror}") from fault


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found

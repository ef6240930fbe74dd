"""What follows a training: the bundle, the scores on cases that had no part in it, and the report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pipelines.console import say
from pipelines.data.cohort import Cohort
from pipelines.keys import Keys
from pipelines.metrics.case_report import CaseReport
from pipelines.prediction.case_pictures import PICTURE_FOLDER, case_pictures
from pipelines.prediction.detections import JSON_FILE, DetectionRecord, resources, sources_of
from pipelines.prediction.evaluation import NSD_TOLERANCE_MM, detect_cases, evaluate_cases
from pipelines.prediction.loading import InferenceSettings, load_predictor
from pipelines.prediction.predictor import Predictor
from pipelines.runs.record import CONFIG_FILE, RUN_FILE
from pipelines.trust.fingerprint import bundle_sha256


def conclude_run(run: Path, cohort: Cohort, device: torch.device) -> None:
    """Export the bundle, evaluate on the test cases (on the validation cases where there are none) and write the
    report, with what was detected where the network tells. A network that gives no mask leaves no bundle: there is
    nothing that programs which take bundles could do with it.

    Args:
        run: the run folder with its checkpoints.
        cohort: what it was trained on.
        device: where to compute.
    """
    from pipelines.export.bundle_export import export_run

    # The configuration has just run here: whatever it names of the user's own has done so already.
    trusted = [bundle_sha256(run)]
    predictor, facts = load_predictor(run, InferenceSettings(device=device), trusted)
    split = "test" if any(Keys.LABEL.value in entry for entry in cohort.test) else "validation"
    entries = [entry for entry in getattr(cohort, split) if Keys.LABEL.value in entry]
    report = CaseReport(cohort.class_names, NSD_TOLERANCE_MM, split=split, settings=facts.settings)
    found = _measure(entries, predictor, report, cohort.class_names)
    summary = report.summary() if entries else None
    if predictor.gives_mask:
        export_run(run, run / "bundle", summary, trusted=trusted)
    if entries:
        if predictor.gives_mask:
            say(report.format_table())
        if found is not None:
            found.write(run, sources_of(facts), report.sections["resources"])
            say(f"detections: {run / JSON_FILE}")
        write_run_report(run, predictor, entries, summary)
        report.write(run)
        say(f"report: {run / 'report.html'}")
    else:
        say("no labelled test or validation case: nothing was evaluated")
        write_run_report(run, predictor, [], None)
    if predictor.gives_mask:
        say(f"bundle: {run / 'bundle'}")


def _measure(
    entries: Sequence[Mapping[str, Any]], predictor: Predictor, report: CaseReport, class_names: Mapping[int, str]
) -> DetectionRecord | None:
    """Add the scores of the cases to ``report``; give what was detected, None where nothing is."""
    if predictor.gives_mask or not entries:
        return evaluate_cases(entries, predictor, report, class_names)
    found = detect_cases(entries, predictor, class_names)
    report.sections = {"detection": found.scores(), "resources": resources(found.seconds())}
    report.more_definitions |= found.definitions()
    return found


def write_run_report(
    run: Path, predictor: Predictor, entries: Sequence[Mapping[str, Any]], summary: Mapping[str, Any] | None
) -> None:
    """Write ``report.html`` and the overlay pictures of the best, median and worst case into the run folder; of
    networks that look at slices, with a way through those cases.

    Args:
        run: the run folder.
        predictor: segments the pictured cases once more.
        entries: evaluated case entries.
        summary: content of ``summary.json``; None when nothing was evaluated.
    """
    from pipelines.figures.parameters import parameter_pictures
    from pipelines.figures.report import write_report
    from pipelines.prediction.case_animations import case_animations

    record = json.loads((run / RUN_FILE).read_text(encoding="utf-8"))
    write_report(
        run / "report.html",
        title=f"{record['data'].get('name', run.name)}: {run.name}",
        run=record,
        summary=dict(summary) if summary else None,
        metrics_csv=run / "metrics.csv",
        config_text=(run / CONFIG_FILE).read_text(encoding="utf-8"),
        pictures=case_pictures(run / PICTURE_FOLDER, predictor, entries, summary) if summary else (),
        labels=parameter_pictures(run / PICTURE_FOLDER),
        animations=case_animations(predictor, entries, summary) if summary else (),
    )

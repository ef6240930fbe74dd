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
from pipelines.prediction.evaluation import NSD_TOLERANCE_MM, evaluate_cases
from pipelines.prediction.loading import InferenceSettings, load_predictor
from pipelines.prediction.predictor import Predictor
from pipelines.runs.record import CONFIG_FILE, RUN_FILE
from pipelines.trust.fingerprint import bundle_sha256


def conclude_run(run: Path, cohort: Cohort, device: torch.device) -> None:
    """Export the bundle, evaluate on the test cases (on the validation cases where there are none) and write the
    report.

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
    evaluate_cases(entries, predictor, report, cohort.class_names)
    summary = report.summary() if entries else None
    export_run(run, run / "bundle", summary, trusted=trusted)
    if entries:
        say(report.format_table())
        write_run_report(run, predictor, entries, summary)
        report.write(run)
        say(f"report: {run / 'report.html'}")
    else:
        say("no labelled test or validation case: nothing was evaluated")
        write_run_report(run, predictor, [], None)
    say(f"bundle: {run / 'bundle'}")


def write_run_report(
    run: Path, predictor: Predictor, entries: Sequence[Mapping[str, Any]], summary: Mapping[str, Any] | None
) -> None:
    """Write ``report.html`` and the overlay pictures of the best, median and worst case into the run folder.

    Args:
        run: the run folder.
        predictor: segments the pictured cases once more.
        entries: evaluated case entries.
        summary: content of ``summary.json``; None when nothing was evaluated.
    """
    from pipelines.figures.parameters import parameter_pictures
    from pipelines.figures.report import write_report

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
    )

"""A job knows where it keeps what was not taken, and opens archives with its options."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipelines.delivery.job import Job
from pipelines.pacs.address import parse_address
from pipelines.pacs.archive import MoveDestination
from pipelines.pacs.folder_archive import FolderArchive
from pipelines.pacs.series_rules import SeriesRules


def test_unsent_results_lie_beside_the_receipt(tmp_path):
    job = Job((), parse_address("in"), parse_address("out"), SeriesRules(), tmp_path / "r.json", argparse.Namespace())
    assert job.unsent == tmp_path / "r_unsent"
    assert isinstance(job.open(job.source), FolderArchive)


def test_every_option_reaches_the_archive(monkeypatch):
    seen = {}

    def note(address, **options):
        seen.update(options, address=address)

    monkeypatch.setattr("pipelines.delivery.job.open_archive", note)
    move = MoveDestination(11112)
    node = parse_address("dicom://PACS@127.0.0.1:104")
    job = Job((), node, node, SeriesRules(), Path("r.json"), argparse.Namespace(), move=move, allow_plain=True)
    job.open(job.source)
    assert seen == {
        "address": node,
        "credentials": None,
        "tls": None,
        "patience": job.patience,
        "move": move,
        "allow_plain": True,
    }

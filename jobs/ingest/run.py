"""The story of an ingestion: read, check, add, tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster.settings import CONFIGS
from features import ingest, log
from features.contracts import load_contracts
from features.sources import read
from features.sources.mapping import load_source
from jobs.console import Job, Progress, Report, option, required

if TYPE_CHECKING:
    from cluster.workspace import Workspace

REASONS_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class IngestSettings:
    """Which source, and where its files are."""

    source: str = required("Name in configs/sources, or a file.")
    path: str | None = option(None, "Folder that holds the files of the source.")


def inputs(workspace: Workspace, settings: IngestSettings) -> dict[str, str]:
    """Return the identity of the files that would be read."""
    return {"source": read.fingerprint(load_source(settings.source), settings.path)}


def run(workspace: Workspace, settings: IngestSettings, progress: Progress) -> Report:
    """Read the source and add what is new and good to the log."""
    mapping = load_source(settings.source)
    progress(0, 2, "steps: reading")
    candidates = read.candidates(mapping, settings.path)
    progress(1, 2, "steps: checking and adding")
    result = ingest.ingest(workspace, load_contracts(CONFIGS / "contracts"), candidates)
    progress(2, 2, "steps")
    return _report(mapping.source, result)


def _report(source: str, result: ingest.Ingested) -> Report:
    reasons = result.reasons.slice(0, REASONS_SHOWN).to_pylist()
    return Report(
        read={"source": source, "rows": result.read},
        wrote={"events": result.added, "snapshot": result.snapshot},
        decided=[
            f"{result.added:,} rows are new, {result.known:,} were known,"
            f" {result.quarantined:,} went to quarantine",
            *(f"quarantine: {r['rows']} rows, {r['reason']}" for r in reasons),
        ],
        figures={"added": result.added, "known": result.known, "quarantined": result.quarantined},
    )


def current(workspace: Workspace, report: dict[str, Any]) -> bool:
    """Is the log still there? One that was removed must be filled again."""
    return workspace.tables.exists(log.TABLE)


JOB = Job(
    verb="ingest",
    summary="Read a source into the event log; rows that break their contract go to quarantine.",
    settings=IngestSettings,
    inputs=inputs,
    run=run,
    current=current,
)

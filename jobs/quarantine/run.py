"""The story of a look at quarantine: read, count, and write out what is to be corrected."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from features.ingest import corrected, quarantine, repairs
from features.ingest.strip import counted, joined
from jobs.console import Job, Progress, Report, option

if TYPE_CHECKING:
    from cluster.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class QuarantineSettings:
    """Which rows, and where to."""

    source: str | None = option(None, "Only rows of this source.")
    out: str | None = option(
        None, "File for the open rows, in the clear: correct it, then jobs.ingest --repair."
    )


def inputs(workspace: Workspace, settings: QuarantineSettings) -> dict[str, str]:
    """Return the state of quarantine."""
    heads = (workspace.tables.head(name) for name in (quarantine.TABLE, repairs.TABLE))
    return {"heads": " ".join(str(head) for head in heads)}


def run(workspace: Workspace, settings: QuarantineSettings, progress: Progress) -> Report:
    """Count refused rows by their first reason; write the open ones out if asked."""
    quarantine.create(workspace.tables)
    rows = workspace.tables.read(quarantine.TABLE)
    if settings.source is not None:
        rows = rows.filter(pc.equal(rows["source"], settings.source))
    done = pc.is_in(rows["quarantine_id"], value_set=repairs.repaired_ids(workspace))
    still = rows.filter(pc.invert(done))
    wrote = (
        {"file": settings.out, "rows": _write(workspace, still, Path(settings.out))}
        if settings.out
        else {}
    )
    return Report(
        read={"rows": rows.num_rows},
        wrote=wrote,
        decided=[_said(rows.num_rows, still.num_rows, settings.source)],
        figures={"open": still.num_rows, "repaired": rows.num_rows - still.num_rows},
        table=_reasons(still).to_pandas(),
    )


def _said(rows: int, still: int, source: str | None) -> str:
    if rows:
        return f"{still:,} rows are open, {rows - still:,} repaired"
    return f"nothing{f" of source '{source}'" if source is not None else ''} is in quarantine"


def _reasons(rows: pa.Table) -> pa.Table:
    """Count the first reasons of rows; an empty table may have them as texts of another type."""
    return joined([counted(rows["reasons"])] if rows.num_rows else [])


def _write(workspace: Workspace, rows: pa.Table, path: Path) -> int:
    """Write rows in the clear, for the owner's eyes only; returns how many."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    count = 0
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        for row in corrected.rows(workspace, rows):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def current(workspace: Workspace, report: dict[str, Any]) -> bool:
    """Is the file that was asked for still there?"""
    return Path(report["wrote"].get("file") or ".").exists()


JOB = Job(
    verb="quarantine",
    summary="Show what was refused and why; write open rows out to be corrected.",
    settings=QuarantineSettings,
    needs=None,
    inputs=inputs,
    run=run,
    current=current,
)

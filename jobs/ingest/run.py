"""The story of an ingestion: read, check, add, tell."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from cluster import canonical
from cluster.access.permissions import Permission
from cluster.dataset import Dataset
from cluster.errors import WrongUse
from cluster.settings import CONFIGS
from features import ingest, log
from features.contracts import load_contracts
from features.contracts.scores import EVERY_KIND
from features.ingest import finish, origin, quarantine
from features.sources import read
from features.sources.mapping import load_source
from jobs.console import Job, Progress, Report, option, required

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from cluster.workspace import Workspace
    from features.contracts.scores import Finding
    from features.sources.mapping import SourceMapping

REASONS_SHOWN = 10
WARNINGS_SHOWN = 5
SCORES = ["kind", "field", "rows", "completeness", "validity", "freshness", "volume", "score"]


@dataclass(frozen=True, kw_only=True)
class IngestSettings:
    """Which source, and where its files are."""

    source: str = required("Name in configs/sources, or a file.")
    path: str | None = option(None, "Folder that holds the files of the source.")
    repair: str | None = option(None, "File of corrected rows, from jobs.quarantine --out.")
    runner: str = option("auto", "ray, inline, or auto: by the size of the input.")


def inputs(workspace: Workspace, settings: IngestSettings) -> dict[str, str]:
    """Return the identity of everything that would be read."""
    mapping = load_source(settings.source)
    read_files = read.fingerprint(mapping, _folder(mapping, settings.path))
    repaired = Path(settings.repair).read_bytes() if settings.repair else b""
    whole = {"mapping": mapping.model_dump(mode="json"), "files": read_files}
    contracts = {kind: c.version for kind, c in load_contracts(CONFIGS / "contracts").items()}
    return {
        "source": canonical.digest(whole),
        "repair": canonical.sha256_hex(repaired),
        "contracts": canonical.digest(contracts),
    }


def run(workspace: Workspace, settings: IngestSettings, progress: Progress) -> Report:
    """Read the source and add what is new and good to the log."""
    mapping = load_source(settings.source)
    what = ingest.Source(
        mapping=mapping,
        folder=_folder(mapping, settings.path),
        terms=load_contracts(CONFIGS / "contracts"),
    )
    if settings.repair:
        result = ingest.repair(workspace, what, Path(settings.repair))
    else:
        result = ingest.source(workspace, what, settings.runner, progress)
    return replace(
        _report(mapping, result),
        inputs=files_read(workspace, result),
        outputs=list(tables_written(workspace, result)),
    )


def _folder(mapping: SourceMapping, path: str | None) -> Path:
    if path is None and any(file.file for file in mapping.files):
        raise WrongUse(f"source '{mapping.source}' reads files: say where with --path FOLDER")
    folder = Path(path or ".").resolve()
    if not folder.is_dir():
        raise WrongUse(f"--path must be a folder, got '{folder}'")
    return folder


def _report(mapping: SourceMapping, result: ingest.Ingested) -> Report:
    reasons = result.reasons.slice(0, REASONS_SHOWN).to_pylist()
    return Report(
        read={"source": mapping.source, "rows": result.counts.read, "times": f"by {mapping.by}"},
        wrote={"events": result.added, "snapshot": result.snapshot, "origins": len(result.origins)},
        decided=[
            f"{result.choice}",
            f"{result.added:,} rows are new, {result.known:,} were known,"
            f" {result.quarantined:,} went to quarantine",
            *([f"{result.resumed} strips were there from an earlier run"] * bool(result.resumed)),
            *(f"quarantine: {r['rows']} rows, {r['reason']}" for r in reasons),
            *_warnings(result.quality.findings),
        ],
        figures=asdict(result.counts),
        table=_scores(result.quality.frame),
    )


def files_read(workspace: Workspace, result: ingest.Ingested) -> list[Dataset]:
    """Return the source files, each under its source's name, with their content's hash."""
    found = [origin.read(workspace.blobs, name) for name in result.origins]
    return [Dataset.file(f"{one.source}/{one.file}", one.content) for one in found]


def tables_written(workspace: Workspace, result: ingest.Ingested) -> Iterator[Dataset]:
    """Yield log, quarantine and quality as they are now, the log with what was found per field."""
    counted = result.quality.table.filter(pc.is_valid(result.quality.table["present"]))
    summed = counted.group_by("field").aggregate([("rows", "sum"), ("present", "sum")])
    found = {r["field"]: (r["rows_sum"], r["present_sum"]) for r in summed.to_pylist()}
    events = Dataset.table(log.TABLE, result.snapshot, result.added)
    yield replace(events, present=found)
    for name in (quarantine.TABLE, finish.TABLE):
        if (head := workspace.tables.head(name)) is not None:
            yield Dataset.table(name, head)


def _warnings(findings: Sequence[Finding]) -> list[str]:
    shown = [f"warning: {finding.words}" for finding in findings[:WARNINGS_SHOWN]]
    more = len(findings) - len(shown)
    return [*shown, f"warning: {more} more in table '{finish.TABLE}'"] if more else shown


def _scores(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of each kind, and of the fields in which rows break rules."""
    told = frame[(frame["field"] == "") | (frame["validity"] < 1)]
    return told[SCORES].replace({"kind": {EVERY_KIND: "all"}}).dropna(axis=1, how="all").round(3)


def current(workspace: Workspace, report: dict[str, Any]) -> bool:
    """Is the log still there? One that was removed must be filled again."""
    return workspace.tables.exists(log.TABLE)


JOB = Job(
    verb="ingest",
    summary="Read a source into the event log; rows that break their contract go to quarantine.",
    settings=IngestSettings,
    needs=Permission.SOURCES_INGEST,
    inputs=inputs,
    run=run,
    current=current,
)

"""The story of a report: gather, draw, write one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster import canonical
from cluster.dataset import Dataset
from cluster.errors import FunnelcastError, Refusal
from features import log
from features.targets import load_target
from jobs import clearance, pages
from jobs.console import Job, Progress, Report, option
from jobs.report import gather, page
from serving.forecast import record
from serving.registry import alias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """Which targets (comma-separated) and which scenario to show, and where to write."""

    targets: str = option("lead_qualification,opportunity_win", "Targets to show, by comma.")
    scenario: str = option("outreach", "Whose newest forecast to show.")
    top: int = option(15, "How many of the best-scored entities to list.")
    clearance: str | None = option(None, f"{clearance.HELP} Default: as the settings say.")
    out: str | None = option(None, "File to write; default: reports/report.html in the workspace.")


def inputs(workspace: Workspace, settings: ReportSettings) -> dict[str, str]:
    """Return the identity of every model, score table and forecast shown, and of the page."""
    shown = [load_target(name) for name in _names(settings)]
    refs = [*(alias(target.name) for target in shown), record.ref(settings.scenario)]
    targets = {ref: _target(workspace, ref) for ref in refs}
    scores = {t.scores_table: str(workspace.tables.head(t.scores_table)) for t in shown}
    template = Path(page.__file__).with_name("page.html").read_bytes()
    shows = {"clearance": clearance.of(workspace, settings.clearance).value}
    return {**targets, **scores, **shows, "page": canonical.sha256_hex(template)}


def run(workspace: Workspace, settings: ReportSettings, progress: Progress) -> Report:
    """Write the report as one HTML file, and keep its bytes as a blob."""
    names = _names(settings)
    shows = clearance.of(workspace, settings.clearance)
    models = [gather.model_part(workspace, name, shows) for name in names]
    forecast = gather.forecast_part(workspace, settings.scenario)
    missing = [str(part) for part in (*models, forecast) if isinstance(part, Refusal)]
    if len(missing) == len(models) + 1:
        raise FunnelcastError(f"a report must have something to show: {missing[0]}")
    as_of = log.latest(workspace.tables, log.pinned(workspace.tables))
    moment = page.moment(as_of)
    html = page.render(models, forecast, top=settings.top, as_of=moment, shows=shows).encode()
    path = _path(workspace, settings)
    pages.write(path, html)
    signals = [part.sentence for part in models if not isinstance(part, Refusal)]
    return Report(
        read={"targets": ", ".join(names), "scenario": settings.scenario},
        wrote={"report": str(path), "blob": workspace.blobs.put(html), "bytes": len(html)},
        decided=[*signals, *(f"not shown: {line}" for line in missing)],
        inputs=[*_models_read(workspace, models), *_forecast_read(forecast, settings.scenario)],
        outputs=[Dataset.blob(f"reports/{path.name}", canonical.sha256_hex(html))],
    )


def _models_read(
    workspace: Workspace, parts: list[gather.ModelPart | Refusal]
) -> Iterator[Dataset]:
    for part in parts:
        if not isinstance(part, Refusal):
            yield Dataset.blob(alias(part.target.name), part.model)
            table = part.target.scores_table
            if part.scores is not None:
                yield Dataset.table(table, workspace.tables.head(table), len(part.scores))


def _forecast_read(part: gather.ForecastPart | Refusal, scenario: str) -> list[Dataset]:
    return [] if isinstance(part, Refusal) else [Dataset.blob(record.ref(scenario), part.run)]


def current(workspace: Workspace, report: dict[str, Any]) -> bool:
    """Is the page still where it was written, unchanged?"""
    path = Path(report["wrote"]["report"])
    return path.is_file() and canonical.sha256_hex(path.read_bytes()) == report["wrote"]["blob"]


def _names(settings: ReportSettings) -> list[str]:
    return [name.strip() for name in settings.targets.split(",")]


def _target(workspace: Workspace, ref: str) -> str:
    found = workspace.refs.get(ref)
    return found.target if found else "none"


def _path(workspace: Workspace, settings: ReportSettings) -> Path:
    if settings.out:
        return Path(settings.out).resolve()
    return workspace.settings.home / "reports" / "report.html"


JOB = Job(
    verb="report",
    summary="Write one HTML page with pictures of models, top leads with reasons, and forecasts.",
    settings=ReportSettings,
    needs=None,
    inputs=inputs,
    run=run,
    current=current,
)

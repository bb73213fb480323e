"""The page: parts and pictures into one HTML file that needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.errors import Refusal
from jobs import pages
from jobs.report import pictures
from jobs.report.gather import ForecastPart, ModelPart
from serving.access.fields import WITHHELD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.access.privacy import Privacy
    from jobs.drawing import Picture

METRICS = {  # as the table shows them: name, and whether higher is better
    "auc": "AUC (1 is perfect, 0.5 a coin)",
    "average_precision": "average precision",
    "lift_10": "lift in the best 10 %",
    "log_loss": "log loss (lower is better)",
    "brier": "Brier score (lower is better)",
}
SCORERS = {"model": "model", "rules": "rules", "base_rate": "base rate"}
_FOLDER = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Section:
    """One model on the page."""

    part: ModelPart
    pictures: list[Picture]
    metrics: list[dict[str, str]]
    top: list[dict[str, Any]]

    @property
    def withholds(self) -> bool:
        """Is a reason of it withheld?"""
        return any(WITHHELD in reason for row in self.top for reason in row["reasons"])


def render(
    models: list[ModelPart | Refusal],
    forecast: ForecastPart | Refusal,
    *,
    top: int,
    as_of: str,
    shows: Privacy,
) -> str:
    """Return the page as HTML; parts that are missing are named with what to do, and so is what is
    withheld above the privacy class that it shows.
    """
    environment = pages.environment(_FOLDER)
    environment.filters["finding"] = finding
    return environment.get_template("page.html").render(
        sections=[_section(part, top) for part in models if isinstance(part, ModelPart)],
        missing=[str(part) for part in (*models, forecast) if isinstance(part, Refusal)],
        forecast=forecast if isinstance(forecast, ForecastPart) else None,
        fans=_fans(forecast) if isinstance(forecast, ForecastPart) else [],
        as_of=as_of,
        shows=shows.value,
    )


def moment(at: datetime | None) -> str:
    """Return a time as a person would write it."""
    return "none" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def finding(text: str) -> str:
    """Return a reason without what it did to the chance, which an arrow tells.

    >>> finding("Web visits: 4 in 7 days, raises the chance by 21.3 points")
    'Web visits: 4 in 7 days'
    """
    return text.rpartition(", ")[0] or text


def _section(part: ModelPart, top: int) -> Section:
    drawn = _judged(part.metrics) if part.metrics else []
    measures = _metric_rows(part.metrics) if part.metrics else []
    if part.scores is not None and len(part.scores):
        drawn.append(pictures.routes(part.scores["route"].value_counts().to_dict()))
    best = [] if part.scores is None else part.scores.head(top).to_dict("records")
    return Section(part=part, pictures=drawn, metrics=measures, top=best)


def _judged(metrics: Mapping[str, Any]) -> list[Picture]:
    return [
        pictures.calibration(metrics["calibration_curve"]),
        pictures.lift(metrics["lift_curve"]),
    ]


def _fans(part: ForecastPart) -> list[Picture]:
    scenarios = [s for s in part.rows["scenario"].unique() if s != "difference"]
    drawn = [pictures.fan(part.rows, measure, scenarios) for measure in ("won", "value_cents")]
    has_lever = "difference" in set(part.rows["scenario"])
    return [*drawn, pictures.difference(part.rows)] if has_lever else drawn


def _metric_rows(metrics: Mapping[str, Any]) -> list[dict[str, str]]:
    scorers = {name: metrics["scorers"][name] for name in SCORERS if name in metrics["scorers"]}
    return [
        {"name": words, **{name: _interval(scorer[key]) for name, scorer in scorers.items()}}
        for key, words in METRICS.items()
    ]


def _interval(value: Mapping[str, float | None]) -> str:
    if value["value"] is None:
        return "-"
    return f"{value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f})"

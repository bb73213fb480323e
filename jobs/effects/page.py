"""The page of an effect: one HTML file that needs nothing else."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs import pages
from jobs.effects import pictures
from serving.access.fields import opener
from serving.effects import hidden
from serving.effects.averages import BAND
from serving.forecast.evidence import GRADE_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.access.privacy import Privacy
    from jobs.drawing import Picture
    from serving.effects.definition import Definition
    from serving.effects.known import Bound, Figure, Known, Sensitivity

_FOLDER = Path(__file__).parent


def render(known: Known, definition: Definition, shows: Privacy) -> str:
    """Return the page as HTML; parts by features above the privacy class shown are withheld."""
    shown = columns(definition, shows)
    told = [each for each in known.figures if each.column in {"all", *shown}]
    withheld = [name for name in definition.segments if name not in shown]
    return (
        pages.environment(_FOLDER)
        .get_template("page.html")
        .render(
            known=known,
            title=known.action.replace("_", " "),
            as_of=f"{known.learnt_at:%Y-%m-%d %H:%M} UTC",
            grade=_grade(known),
            figures=list(_figures(told)),
            hazards=list(_hazards(known, shown)),
            curves=[pictures.gain(each) for each in known.curves],
            overlap=pictures.overlap(known.overlap) if known.overlap else None,
            controls=pictures.controls(known.negative_controls)
            if known.negative_controls
            else None,
            rows=[_row(each) for each in told],
            bounds=[_bound(each) for each in known.sensitivity],
            odds=[f"{each:g}" for each in hidden.TOLD],
            withheld=withheld,
        )
    )


def columns(definition: Definition, shows: Privacy) -> list[str]:
    """Return the columns by which parts may be shown, the band first."""
    opens = opener(definition.target.made_by, shows)
    return [BAND, *(name for name in definition.segments if opens(name))]


def _grade(known: Known) -> str:
    if known.grade is None:
        return "refused"
    return f"{known.grade.code}: {GRADE_WORDS[known.grade]}"


def _figures(told: list[Figure]) -> Iterator[Picture]:
    def key(of: Figure) -> tuple[str, str]:
        return of.outcome, of.measure

    for (outcome, measure), several in groupby(sorted(told, key=key), key=key):
        yield pictures.effects(list(several), _title(outcome, measure))


def _title(outcome: str, measure: str) -> str:
    name = outcome.replace("_", " ")
    return f"{name}: sooner" if measure == "gained" else name


def _hazards(known: Known, shown: list[str]) -> Iterator[Picture]:
    for arm, told in known.arms.items():
        for name, cause in told.items():
            words = {"forward": "goes forward", "lost": "is lost"}[name]
            yield pictures.hazards(cause, f"{arm.replace('_', ' ')}: {words}", shown)


def _row(of: Figure) -> dict[str, Any]:
    low, high = of.interval
    where = "all" if of.column == "all" else f"{of.column.replace('_', ' ')} {of.value}"
    scale, places = (100.0, 1) if of.measure == "happens" else (1.0, 3)
    unit = "points" if of.measure == "happens" else of.unit
    return {
        "arm": of.arm.replace("_", " "),
        "outcome": _title(of.outcome, of.measure),
        "days": f"{of.horizon_days:g}",
        "where": where,
        "n": f"{of.n:,}",
        "control": f"{of.control:.1%}" if of.measure == "happens" else f"{of.control:.3g}",
        "effect": f"{of.effect * scale:+.{places}f}",
        "interval": f"{low * scale:+.{places}f} to {high * scale:+.{places}f}",
        "unit": unit,
    }


def _bound(each: Sensitivity) -> dict[str, Any]:
    return {
        "arm": each.arm.replace("_", " "),
        "outcome": each.outcome.replace("_", " "),
        "ratio": f"{each.risk_ratio:.2f}",
        "e": f"{each.e_value:.2f}",
        "limit": f"{each.e_value_of_limit:.2f}",
        "odds": _odds(each),
        "bounds": [_within(of) for of in each.bounds],
    }


def _odds(each: Sensitivity) -> str:
    if each.odds_of_limit is None:
        return ""
    is_most = each.odds_of_limit >= hidden.MOST_ODDS
    return f"over {hidden.MOST_ODDS:g}" if is_most else f"{each.odds_of_limit:.2f}"


def _within(of: Bound) -> str:
    return f"{100 * of.limit_low:+.1f} to {100 * of.limit_high:+.1f}"

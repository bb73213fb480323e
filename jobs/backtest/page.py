"""The page of a backtest: one HTML file that needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs import pages
from jobs.backtest import pictures
from jobs.backtest.comparison import Verdict
from jobs.backtest.results import POOLED
from serving.forecast.tested import ALL, OURS, UNSCORED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from jobs.backtest.results import Against, Judged
    from jobs.drawing import Picture

NAMES = {
    OURS: "ours",
    UNSCORED: "ours without scores",
    "stage_weighted": "stage-weighted",
    "same_point": "same point in the period",
    "seasonal_naive": "seasonal naive",
    "historic_mean": "historic mean",
    "rep_commit": "commit of the reps",
}
MEASURES = {  # name, what one is, and how many of ours one of it is
    "won": ("Won", "units won", 1.0),
    "value_cents": ("Value won", "thousands won", 100_000.0),
}
_FOLDER = Path(__file__).parent


@dataclass(frozen=True, kw_only=True, eq=False)
class Dossier:
    """What the page is about."""

    funnel: str
    run: str
    as_of: str
    step: str  # what a step is, such as week
    every: int  # steps from one origin to the next
    rows: pd.DataFrame  # of tested.SCHEMA
    judged: Sequence[Judged]
    against: Sequence[Against]
    absent: Mapping[str, str]  # forecasters that said nothing, and why
    recalibration: Sequence[str]  # what is said of the intervals of the next forecast
    added: Sequence[str] = ()  # what scores add, in sentences
    deals: pd.DataFrame | None = None  # of deals.COLUMNS
    curve: pd.DataFrame | None = None  # as of deals.curve


def render(found: Dossier) -> str:
    """Return the page as HTML."""
    template = pages.environment(_FOLDER).get_template("page.html")
    return template.render(
        funnel=found.funnel,
        as_of=found.as_of,
        facts=list(_facts(found)),
        verdicts=[_verdict(found, measure) for measure in _measures(found)],
        sections=[_section(found, measure) for measure in _measures(found)],
        absent=[(_named(name), why) for name, why in found.absent.items()],
        recalibration=found.recalibration,
        added=found.added,
        deals=_deals(found),
        reliability=None if found.curve is None else pictures.reliability(found.curve),
    )


def _measures(found: Dossier) -> list[str]:
    there = {each.measure for each in found.judged if each.series == ALL}
    return [name for name in MEASURES if name in there]


def _facts(found: Dossier) -> Iterator[tuple[str, str]]:
    origins, horizons = found.rows["origin"], sorted(found.rows["horizon"].unique())
    apart = f"every {found.every} {found.step}s" if found.every > 1 else f"every {found.step}"
    yield (
        "origins",
        f"{origins.nunique():,}, {apart}, {origins.min():%Y-%m-%d} to {origins.max():%Y-%m-%d}",
    )
    yield "forecast", f"all that is won in the next {', '.join(map(str, horizons))} {found.step}s"
    yield "run", found.run


def _verdict(found: Dossier, measure: str) -> dict[str, Any]:
    """Return what we are against each other forecaster, over all horizons."""
    by_verdict: dict[str, list[str]] = {}
    for each in _whole(found, measure):
        by_verdict.setdefault(each.found.verdict, []).append(_named(each.forecaster))
    told = [
        f"{words} {', '.join(by_verdict[verdict])}"
        for verdict, words in (
            (Verdict.BETTER, "better than"),
            (Verdict.WORSE, "worse than"),
            (Verdict.NOT_TOLD_APART, "not told apart from"),
        )
        if verdict in by_verdict
    ]
    return {
        "measure": MEASURES[measure][0],
        "told": "; ".join(told) or "compared with nothing",
        "is_bad": Verdict.WORSE in by_verdict,
    }


def _section(found: Dossier, measure: str) -> dict[str, Any]:
    name, unit, _ = MEASURES[measure]
    return {
        "name": name,
        "unit": unit,
        "rows": [_row(found, each) for each in _chosen(found, measure) if _is_whole(found, each)],
        "horizons": list(_horizons(found, measure)),
        "series": list(_series(found, measure)),
        "pictures": list(_drawn(found, measure)),
    }


def _row(found: Dossier, each: Judged) -> dict[str, Any]:
    """Return a forecaster over all horizons, and us against it."""
    scale, told = MEASURES[each.measure][2], _told(found, each)
    verdict = told.found.verdict if told else ""
    return {
        "forecaster": _named(each.forecaster),
        "is_ours": each.forecaster == OURS,
        "origins": f"{each.origins:,}",
        "wape": _share(each.wape),
        "bias": _share(each.bias, sign="+"),
        "crps": f"{each.crps / scale:,.2f}",
        "held": _held(each),
        "width": f"{each.width[-1] / scale:,.1f}",
        "difference": _difference(told, scale),
        "verdict": verdict,
        "is_worse": verdict == Verdict.WORSE,
    }


def _horizons(found: Dossier, measure: str) -> Iterator[dict[str, Any]]:
    """Yield our figures by horizon, with what we are there against each other forecaster."""
    scale = MEASURES[measure][2]
    for each in _chosen(found, measure):
        if each.forecaster == OURS and each.horizon != POOLED:
            yield {
                "horizon": each.horizon,
                "wape": _share(each.wape),
                "bias": _share(each.bias, sign="+"),
                "crps": f"{each.crps / scale:,.2f}",
                "held": [_covered(each, place) for place in range(len(each.coverage))],
                "worse": _names(found, each, Verdict.WORSE),
                "better": _names(found, each, Verdict.BETTER),
            }


def _series(found: Dossier, measure: str) -> Iterator[dict[str, Any]]:
    """Yield the coverage of each part of ours, over all horizons."""
    for each in found.judged:
        is_part = each.series != ALL and each.measure == measure
        if is_part and each.forecaster == OURS and _is_whole(found, each):
            held = [_covered(each, place) for place in range(len(each.coverage))]
            yield {"series": each.series, "bias": _share(each.bias, sign="+"), "held": held}


def _drawn(found: Dossier, measure: str) -> Iterator[Picture]:
    _, unit, scale = MEASURES[measure]
    rows = found.rows[(found.rows["series"] == ALL) & (found.rows["measure"] == measure)]
    ours = rows[rows["forecaster"] == OURS]
    every = _chosen(found, measure)
    whole = [each for each in every if each.forecaster == OURS and _is_whole(found, each)]
    horizons = sorted(ours["horizon"].unique())
    middle = horizons[len(horizons) // 2]
    yield pictures.fan(ours[ours["horizon"] == middle], unit, scale)
    if len(horizons) > 1:
        yield pictures.crps([(_named(each.forecaster), each) for each in every], scale, unit)
    yield pictures.coverage(whole[0])
    yield pictures.pit(ours["pit"].tolist())


def _chosen(found: Dossier, measure: str) -> list[Judged]:
    return [each for each in found.judged if (each.series, each.measure) == (ALL, measure)]


def _whole(found: Dossier, measure: str) -> list[Against]:
    return [
        each
        for each in found.against
        if (each.series, each.measure) == (ALL, measure) and _is_whole(found, each)
    ]


def _is_whole(found: Dossier, each: Judged | Against) -> bool:
    """Is it over all horizons, or is there only one?"""
    return each.horizon == POOLED or found.rows["horizon"].nunique() == 1


def _told(found: Dossier, judged: Judged) -> Against | None:
    """Return us against the forecaster that was judged, on the same."""
    what = (judged.forecaster, judged.series, judged.measure, judged.horizon)
    for each in found.against:
        if (each.forecaster, each.series, each.measure, each.horizon) == what:
            return each
    return None


def _names(found: Dossier, ours: Judged, verdict: Verdict) -> str:
    what = (ours.series, ours.measure, ours.horizon)
    return ", ".join(
        _named(each.forecaster)
        for each in found.against
        if (each.series, each.measure, each.horizon) == what and each.found.verdict == verdict
    )


def _difference(told: Against | None, scale: float) -> str:
    if told is None:
        return ""
    by = told.found
    shown = f"{by.difference / scale:+,.2f}"
    if by.low != by.low:  # too few origins for an interval
        return f"{shown}, {by.origins} origins are too few"
    return f"{shown} ({by.low / scale:+,.2f} to {by.high / scale:+,.2f})"


def _held(each: Judged) -> str:
    return _covered(each, len(each.coverage) - 1)


def _covered(each: Judged, place: int) -> str:
    coverage = each.coverage[place]
    return f"{coverage.share:.0%} ± {100 * coverage.error:.0f}"


def _named(forecaster: str) -> str:
    return NAMES.get(forecaster, forecaster)


def _share(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.1%}"


def _staged(name: str) -> str:
    return "all, without scores" if name == UNSCORED else name


def _deals(found: Dossier) -> list[dict[str, str]]:
    if found.deals is None:
        return []
    shown = {"log_loss": ".3f", "brier": ".3f", "slope": ".2f", "intercept": "+.2f"}
    return [
        {
            "stage": _staged(str(row["stage"])),
            "deals": f"{row['deals']:,}",
            "won": f"{row['won']:,}",
            **{
                name: "-" if row[name] != row[name] else f"{row[name]:{form}}"
                for name, form in shown.items()
            },
        }
        for row in found.deals.to_dict("records")
    ]

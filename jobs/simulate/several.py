"""What the page says of scenarios beside one another: payoffs, evidence, hours, the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.simulate import pictures, planning, result
from jobs.simulate.evidence import evidence
from serving.forecast.evidence import Grade
from serving.forecast.scenario import PLAN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from jobs.drawing import Picture
    from jobs.simulate.answer import Answer
    from serving.wire.simulations import RangeOut

TOGETHER = 2  # so many arms are drawn into one picture


def several(found: Answer, table: pd.DataFrame) -> dict[str, Any]:
    """Return what the template shows."""
    return {
        "against": found.against.replace("_", " "),
        "step": found.question.funnel.step_name,
        "payoffs": list(_payoffs(found)),
        "lines": list(_lines(found.question.funnel.step_name)),
        "evidence": list(_evidence(found)),
        "hours": list(_hours(found)),
        "plan": _plan(found),
    }


def fans(found: Answer, table: pd.DataFrame, measures: Sequence[str]) -> Iterator[Picture]:
    """Draw each scenario beside that which it is compared with, then where it comes from."""
    step = found.question.funnel.step_name
    for name in found.payoffs:
        title = name.replace("_", " ")
        both = table[table["scenario"].isin([found.against, name])]
        for measure in measures:
            yield pictures.fan(both, measure, step, title)
        yield pictures.waterfall(table, name, measures[-1], f"{title}: existing and new")


def heats(found: Answer) -> Iterator[Picture]:
    """Draw how full the desks of each arm are that contacts anybody."""
    step = found.question.funnel.step_name
    for name, way in found.ways.items():
        made = found.made(name).mean(axis=0).T
        if way.scenario.desks and made.any():
            capacity = found.capacity(name).astype(float)
            load = np.divide(made, capacity, out=np.full_like(made, np.nan), where=capacity > 0)
            desks = [desk.name for desk in way.scenario.desks]
            title = f"{name.replace('_', ' ')}: how full the desks are"
            yield pictures.heat(load, desks, step, title)


def _payoffs(found: Answer) -> Iterator[dict[str, str]]:
    for arm in result.told(found, "").arms:
        pays = arm.payoff
        if pays is None or pays.timing is None:
            continue
        yield {
            "name": arm.name.replace("_", " "),
            "grade": arm.grade or "no effect",
            "won": _range(pays.won, 1.0),
            "value": _range(pays.value_cents, 100.0),
            "cost": f"{pays.cost_cents.mean / 100:,.0f}",
            "gain": _range(pays.gain_cents, 100.0),
            "pays": f"{pays.pays:.0%}",
            "first": "never" if pays.steps_to_value is None else str(pays.steps_to_value),
            "earlier": f"{pays.timing.earlier:,.1f}",
            "more": f"{pays.timing.more:,.1f}",
            "displaced": f"{pays.timing.displaced:,.1f}",
            "unsubscribed": f"{pays.unsubscribed:,.1f}",
            "bad": f"{arm.downside.value_at_risk_cents / 100:,.0f}",
        }


def _lines(step: str) -> Iterator[tuple[str, str]]:
    """Give the lines of the payoffs: the key of each, and what it is called."""
    yield from (("grade", "known by"), ("won", "won"), ("value", "value"), ("cost", "cost"))
    yield from (("gain", "gain: value less cost"), ("pays", "pays with probability"))
    yield from (("first", f"first ahead, on average, in {step}"), ("earlier", "won earlier"))
    yield from (("more", "won here alone"), ("displaced", "displaced"))
    yield from (("unsubscribed", "unsubscribed"), ("bad", "value in a bad end (1 draw in 20)"))


def _evidence(found: Answer) -> Iterator[dict[str, str]]:
    for name, way in found.ways.items():
        if name == PLAN:
            continue  # its levers are those of the scenario that was planned
        for each in evidence(way):
            yield {
                "arm": name.replace("_", " "),
                "lever": each.lever,
                "grade": _grade(each.grade, each.code),
                "ratio": ""
                if each.ratio is None
                else f"{each.ratio:.2f} ({each.low:.2f} to {each.high:.2f})",
                "said": each.said,
            }


def _hours(found: Answer) -> Iterator[dict[str, str]]:
    for name, prices in found.hours.items():
        for each in prices:
            yield {
                "arm": name.replace("_", " "),
                "desk": each.desk,
                "value": _range(result.ranged(each.value_cents), 100.0),
                "won": f"{each.won.mean:.3f}",
                "hours": f"{each.more_hours:,.0f}",
            }


def _plan(found: Answer) -> dict[str, Any] | None:
    plan = planning.plan(found)
    if plan is None:
        return None
    hours = "; ".join(f"{desk} {price / 100:,.0f}" for desk, price in plan.hour_price_cents.items())
    said = (
        f"The levers of {plan.scenario.replace('_', ' ')} within a budget of"
        f" {plan.budget_cents / 100:,.0f}: simulated as the scenario 'plan', which spends"
        f" {plan.spent_cents / 100:,.0f}. One more of the currency gains {plan.budget_price:,.1f};"
        f" the last hour of a desk: {hours or 'no desk'}. Had one known the parameters, another"
        f" plan would gain {plan.regret_cents.mean / 100:,.0f} more on average"
        f" ({plan.regret_cents.low / 100:,.0f} to {plan.regret_cents.high / 100:,.0f})."
    )
    rows = [
        {
            "lever": cell.lever,
            "segment": cell.segment or "unknown",
            "band": "no score" if cell.band is None else str(cell.band),
            "share": f"{cell.share:.0%}",
            "contacts": f"{cell.contacts:,.0f}",
            "gain": f"{cell.gain_cents_per_contact / 100:,.0f}",
        }
        for cell in sorted(plan.cells, key=lambda cell: (-cell.share, cell.lever, cell.segment))
    ]
    return {"said": said, "rows": rows}


def _grade(grade: str | None, code: str | None) -> str:
    if grade is None:
        return "none needed"
    return str(grade) if grade == Grade.ASSUMPTION else f"{grade} ({code})"


def _range(of: RangeOut, scale: float) -> str:
    digits = ".1f" if scale == 1.0 else ".0f"
    mean, low, high = (each / scale for each in (of.mean, of.low, of.high))
    return f"{mean:+,{digits}} ({low:+,.0f} to {high:+,.0f})"

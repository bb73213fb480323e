"""The plan of an answer as a document: whom it reaches, what hours and money are worth in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jobs.simulate.evidence import named
from serving.forecast import reaching
from serving.forecast.hours import MINUTES
from serving.forecast.payoff import spread
from serving.forecast.scenario import PLAN
from serving.wire.simulations import CellOut, PlanOut, RangeOut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.simulate.answer import Answer


def plan(found: Answer) -> PlanOut | None:
    """Return the plan that was found; none where none was asked for."""
    wanted, planned = found.question.comparison.plan, found.plan
    if wanted is None or planned is None:
        return None
    regret = spread(planned.regret.round().astype(np.int64))
    way = found.ways[PLAN]
    contacts = found.outcomes[PLAN].contacts.sum(axis=(1, 2))
    return PlanOut(
        scenario=wanted.scenario,
        budget_cents=wanted.budget_cents,
        spent_cents=float((contacts @ way.costs.per_contact).mean()),
        hour_price_cents=hour_prices(found),
        budget_price=planned.budget_price,
        cells=list(_cells(found)),
        regret_cents=RangeOut(mean=regret.mean, low=regret.low, high=regret.high),
    )


def hour_prices(found: Answer) -> dict[str, float]:
    """Return what the last hour of each desk gains in the plan, in cents."""
    assert found.plan is not None
    scenario = found.ways[PLAN].scenario
    minutes = reaching.minutes(scenario)
    each = float(minutes[minutes > 0.0].mean()) if minutes.any() else 0.0
    prices = found.plan.contact_price * (MINUTES / each if each else 0.0)
    return {desk.name: float(p) for desk, p in zip(scenario.desks, prices, strict=False)}


def _cells(found: Answer) -> Iterator[CellOut]:
    """Give the cells that the levers could reach; those without a score have no band."""
    assert found.plan is not None
    scenario = found.ways[PLAN].scenario
    names = dict(zip(map(id, scenario.levers), named(scenario), strict=True))
    levers = [names[id(lever)] for lever in reaching.reached(scenario)]
    for cell in found.plan.cells:
        yield CellOut(
            lever=levers[cell.lever],
            segment=cell.segment,
            band=found.names.band_of[cell.stratum] or None,
            share=cell.share,
            contacts=cell.contacts,
            gain_cents_per_contact=cell.gain,
        )

"""How large a question is: the arms that it takes, and the bytes of what comes out. Pure.

The outcomes of all arms are held at once, each as arrays by draw, step and group, stage or desk
(serving/forecast/given.py), or folded: by step and by group, in place of every pair of the two
(serving/forecast/folded.py). They are what bounds the memory of an answer, and what is told of it
before anything runs. Spans that are under way come besides, one for each core: of an arm that is
folded every pair is there first, and of all arms the step in which each unit was won.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cluster.errors import Refusal
from serving.forecast.given import PARTS
from serving.forecast.reaching import is_by_reps, reached
from serving.forecast.scenario import BASELINE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.forecast.comparison import Comparison
    from serving.forecast.scenario import Scenario

NUMBER, SMALL, STEP = 8, 4, 2  # bytes of an int64, of an int32, of a step (uint16)


class Sizes(NamedTuple):
    """How many of what an outcome is counted by there are."""

    groups: int  # segments x teams x owners that occur together
    stages: int
    units: int  # open at the start


def arms(comparison: Comparison) -> Iterator[Scenario]:
    """Give the scenario of every arm: business as usual, those asked about, that of the plan, and
    for the price of an hour one more for each desk of those whose reps make contacts.
    """
    several = list(comparison.scenarios)
    plan = comparison.plan
    several += [each for each in several if plan is not None and each.name == plan.scenario]
    if not any(each.name == BASELINE for each in several):
        yield several[0].baseline()
    yield from several
    for each in several:
        if comparison.hour_price and any(map(is_by_reps, each.levers)):
            yield from [each] * len(each.desks)


def result_bytes(comparison: Comparison, sizes: Sizes, *, folded: bool) -> int:
    """Return about how many bytes the outcomes of all arms take."""
    return sum(each.draws * _of_draw(each, sizes, folded) for each in arms(comparison))


def draws_within(comparison: Comparison, sizes: Sizes, most: int, *, folded: bool) -> int:
    """Return how many draws of all arms may be simulated at once in so many bytes, at least 1."""
    asked = list(arms(comparison))
    kept = sum(_of_draw(each, sizes, folded) + STEP * sizes.units for each in asked)
    before = max(_of_draw(each, sizes, folded=False) for each in asked) if folded else 0
    return max(1, most // (kept + before))


def refused(comparison: Comparison, sizes: Sizes, most: int, *, folded: bool) -> Refusal | None:
    """Return why a question is too large to be held; None if it is not."""
    asked = result_bytes(comparison, sizes, folded=folded)
    if asked <= most:
        return None
    draws = comparison.scenarios[0].draws * most // asked
    fewer = f"ask for {draws:,} draws at most" if draws else "ask for fewer scenarios or steps"
    return Refusal(
        rule=f"what a simulation gives must take at most {most / 1e9:.2g} GB"
        f" (simulations.result_bytes), by draws, steps, {sizes.groups:,} groups (segment, team and"
        " owner), stages and arms",
        value=f"about {asked / 1e9:.2g} GB",
        remedy=fewer,
    )


def _of_draw(scenario: Scenario, sizes: Sizes, folded: bool) -> int:
    desks, levers = max(1, len(scenario.desks)), len(reached(scenario))
    won = 2 * NUMBER * len(PARTS)  # of a group: units and cents
    queues = NUMBER * (desks * levers + desks + 1)  # contacts, waiting, who unsubscribes
    groups, by_group = (1, sizes.groups) if folded else (sizes.groups, 0)
    in_a_step = groups * (won + SMALL * sizes.stages) + queues
    return scenario.horizon * in_a_step + by_group * won + sizes.units // 8 + 1

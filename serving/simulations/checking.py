"""What is wrong with a question, before anything runs: one line, the first thing that is. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.errors import nearest
from serving.forecast.reaching import is_by_reps
from serving.simulations.words import Wrong

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cluster.settings import SimulationSettings
    from serving.forecast.comparison import Comparison
    from serving.forecast.scenario import Scenario
    from serving.simulations.known import Known


def wrong(comparison: Comparison, known: Known, allowed: SimulationSettings) -> Wrong | None:
    """Return what cannot be simulated; None if nothing is known to speak against it."""
    for scenario in comparison.scenarios:
        for what, value, valid in _named(scenario, known):
            if value not in valid:
                return _unknown(scenario.name, what, value, valid)
        if (late := _late(scenario)) is not None:
            return late
    return _too_much(comparison, known, allowed)


def unit_steps(comparison: Comparison, known: Known) -> float:
    """Return about how many steps of one unit there are to simulate, in all scenarios."""
    one = comparison.scenarios[0]  # horizon and draws are those of all
    units = known.units + known.arriving * one.horizon / 2  # that arrive are there for half of it
    arms = len(comparison.scenarios) + 1 + (comparison.plan is not None)
    arms += _longer(comparison) if comparison.hour_price else 0
    return one.draws * one.horizon * arms * units


def _named(scenario: Scenario, known: Known) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Give everything that a scenario names: what it is, its value, and which values there are."""
    bands = [str(band) for band in range(1, known.bands + 1)]
    valid = {"stages": known.stages, "segments": known.segments, "teams": known.teams}
    for place, lever in enumerate(scenario.levers, start=1):
        for what, those in {**valid, "bands": bands}.items():
            for value in getattr(lever, what, ()):
                yield f"lever {place}: a {what[:-1]}", str(value), those
    for desk in scenario.desks:
        yield from ((f"desk '{desk.name}': a team", team, known.teams) for team in desk.teams)


def _unknown(name: str, what: str, value: str, valid: Sequence[str]) -> Wrong:
    there = [f"'{each}'" for each in valid if each]
    rule = f"scenario '{name}': {what} must be one that the log knows"
    remedy = nearest(value, [each for each in valid if each]) if there else "leave it out"
    return Wrong(rule=rule, value=f"'{value[:60]}'", remedy=remedy)


def _late(scenario: Scenario) -> Wrong | None:
    for place, lever in enumerate(scenario.levers, start=1):
        if lever.first_step >= scenario.horizon:
            rule = f"scenario '{scenario.name}': lever {place}: first_step must be below the"
            rule += f" horizon {scenario.horizon}, as steps count from 0"
            remedy = "pull it earlier, or look further"
            return Wrong(rule=rule, value=str(lever.first_step), remedy=remedy)
    return None


def _too_much(comparison: Comparison, known: Known, allowed: SimulationSettings) -> Wrong | None:
    asked = unit_steps(comparison, known)
    if asked <= allowed.unit_steps:
        return None
    draws = int(comparison.scenarios[0].draws * allowed.unit_steps / asked)
    remedy = "ask for fewer scenarios or a shorter horizon"
    remedy = f"ask for {draws:,} draws at most" if draws else remedy
    rule = f"a simulation must be of at most {allowed.unit_steps:,.0f} steps of one unit"
    return Wrong(rule=rule, value=f"about {asked:,.0f}", remedy=remedy)


def _longer(comparison: Comparison) -> int:
    """Return how many arms the price of an hour takes: one for each desk of each scenario whose
    reps make contacts, and of the plan.
    """
    plan = comparison.plan
    planned = [each for each in comparison.scenarios if plan and each.name == plan.scenario]
    several = [*comparison.scenarios, *planned]
    return sum(len(each.desks) for each in several if any(map(is_by_reps, each.levers)))

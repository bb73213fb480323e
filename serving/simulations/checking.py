"""What is wrong with a question, before anything runs: one line, the first thing that is. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.errors import nearest
from serving.forecast import size
from serving.forecast.kinds import Campaign
from serving.forecast.scenario import late
from serving.forecast.size import Sizes
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
        if (never := late(scenario)) is not None:
            return Wrong(**vars(never))
    found = _too_much(comparison, known, allowed)
    return _too_large(comparison, known, allowed) if found is None else found


def unit_steps(comparison: Comparison, known: Known) -> float:
    """Return about how many steps of one unit there are to simulate, in all scenarios."""
    one = comparison.scenarios[0]  # horizon and draws are those of all
    units = known.units + known.arriving * one.horizon / 2  # that arrive are there for half of it
    return one.draws * one.horizon * sum(1 for _ in size.arms(comparison)) * units


def _named(scenario: Scenario, known: Known) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Give everything that a scenario names: what it is, its value, and which values there are."""
    bands = [str(band) for band in range(1, known.bands + 1)]
    valid = {"stages": known.stages, "segments": known.segments, "teams": known.teams}
    for place, lever in enumerate(scenario.levers, start=1):
        if isinstance(lever, Campaign):
            what = f"lever {place}: a stage of a campaign"
            yield from ((what, stage, known.begins) for stage in lever.stages)
        for what, those in {**valid, "bands": bands}.items():
            for value in getattr(lever, what, ()):
                yield f"lever {place}: a {what[:-1]}", str(value), those
    for desk in scenario.desks:
        yield from ((f"desk '{desk.name}': a team", team, known.teams) for team in desk.teams)


def _unknown(name: str, what: str, value: str, valid: Sequence[str]) -> Wrong:
    there = [f"'{each}'" for each in valid if each]
    one = "in which units begin" if what.endswith("campaign") else "that the log knows"
    rule = f"scenario '{name}': {what} must be one {one}"
    remedy = nearest(value, [each for each in valid if each]) if there else "leave it out"
    return Wrong(rule=rule, value=f"'{value[:60]}'", remedy=remedy)


def _too_much(comparison: Comparison, known: Known, allowed: SimulationSettings) -> Wrong | None:
    asked = unit_steps(comparison, known)
    if asked <= allowed.unit_steps:
        return None
    draws = int(comparison.scenarios[0].draws * allowed.unit_steps / asked)
    remedy = "ask for fewer scenarios or a shorter horizon"
    remedy = f"ask for {draws:,} draws at most" if draws else remedy
    rule = f"a simulation must be of at most {allowed.unit_steps:,.0f} steps of one unit"
    return Wrong(rule=rule, value=f"about {asked:,.0f}", remedy=remedy)


def _too_large(comparison: Comparison, known: Known, allowed: SimulationSettings) -> Wrong | None:
    sizes = Sizes(groups=known.groups, stages=len(known.stages), units=known.units)
    found = size.refused(comparison, sizes, allowed.result_bytes, folded=True)
    return None if found is None else Wrong(**vars(found))

"""What each lever of an arm does, and how that is known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from serving.forecast import reaching
from serving.forecast.evidence import GRADE_WORDS, Effect, Grade, Response
from serving.forecast.kinds import Campaign, Outreach, Reps
from serving.forecast.scenario import evidence_of, grade_of, written
from serving.wire.simulations import EvidenceOut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.simulate.ways import Way
    from serving.forecast.history import Past
    from serving.forecast.kinds import Lever
    from serving.forecast.scenario import Scenario

Z90 = 1.6448536269514722


def evidence(way: Way) -> Iterator[EvidenceOut]:
    """Give each lever of an arm, in its order."""
    pasts = iter(way.pasts)
    for lever, name in zip(way.scenario.levers, named(way.scenario), strict=True):
        known, past = evidence_of(lever), next(pasts) if reaching.reaches(lever) else None
        ratio, low, high = _interval(known)
        of_effect = known.grade if isinstance(known, Effect | Response) else None
        grade = grade_of(lever)
        yield EvidenceOut(
            lever=name,
            kind=lever.kind,
            grade=grade,
            code=grade and grade.code,
            ratio=ratio,
            low=low,
            high=high,
            said="; ".join(
                [GRADE_WORDS[of_effect] if of_effect else _fact(lever), *_more(way, lever, past)]
            ),
        )


def named(scenario: Scenario) -> list[str]:
    """Return the names of the levers; two of one name are told apart by their place."""
    names = [lever.name or lever.kind for lever in scenario.levers]
    return [
        f"{name} {place}" if names.count(name) > 1 else name
        for place, name in enumerate(names, start=1)
    ]


def _interval(known: object) -> tuple[float | None, float | None, float | None]:
    """Return what is known and its 90 % interval."""
    if isinstance(known, Effect):
        factor = math.exp(Z90 * known.sd)
        return known.ratio, known.ratio / factor, known.ratio * factor
    if isinstance(known, Response):
        reach = Z90 * known.sd
        return known.elasticity, known.elasticity - reach, known.elasticity + reach
    return None, None, None


def _fact(lever: Lever) -> str:
    what = "hours are there or not" if isinstance(lever, Reps) else "the order is what it is"
    return f"no effect is assumed: {what}"


def _more(way: Way, lever: Lever, past: Past | None) -> Iterator[str]:
    """Say what rate `more` became, what else an effect does, and what is assumed besides."""
    if isinstance(lever, Outreach) and lever.more is not None and past is not None:
        yield (
            f"{lever.more:.0%} more than in history, which made {past.per_step:.3f} contacts to a"
            f" unit in a step ({past.counted}): a rate of {reaching.rate(lever, past):.4f}"
        )
    known = evidence_of(lever)
    if isinstance(known, Effect) and known.lost_ratio != 1.0:
        yield f"the odds of being lost are times {known.lost_ratio:.2f}"
    if isinstance(lever, Campaign):
        yield "the number is an elasticity of arrivals to the budget"
    if numbers := written(lever):
        said = ", ".join(f"{name} {getattr(lever, name):g}" for name in numbers)
        fading = f"of old contacts {way.scenario.fading:.0%} are left after a step"
        yield (
            f"assumed besides, so the answer is an assumption ({Grade.ASSUMPTION.code}): {said};"
            f" {fading}"
        )

"""The judge: from a plan, the step it is at and what was seen, to go on, wait, hold or go back.

What is not known never counts for a candidate: without data a release stays where it is. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from math import exp, log
from typing import TYPE_CHECKING

from serving.releases import experiments, odds, shift
from serving.releases.evidence import CANDIDATE, HAPPENS, OVERRIDES, SPLIT, STABLE
from serving.releases.wealth import Wealth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from serving.releases.evidence import Evidence
    from serving.releases.plan import Plan, Then
    from serving.releases.release import Release


MOST_SAID = 1e6  # of evidence: what is more is as sure


class Action(StrEnum):
    """What to do now."""

    ADVANCE = "advance"  # to the next step; from the last one: the candidate is what answers
    WAIT = "wait"  # the step is not over
    HOLD = "hold"  # until a person decides
    ROLLBACK = "rollback"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one guard says."""

    guard: str
    is_alarm: bool
    then: Then  # what an alarm asks for
    strength: float  # evidence against the claim that all is well: 1 is none
    limit: float  # of the strength, that is an alarm
    events: int  # that it rests on
    said: str

    @property
    def name(self) -> str:
        """Name of the guard in the plan."""
        return self.guard.partition(" ")[0]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the judge says, why, and what each guard says."""

    action: Action
    why: str
    findings: tuple[Finding, ...] = ()


def verdict(release: Release, seen: Evidence, now: datetime) -> Verdict:
    """Judge an open release by what was seen of it."""
    findings = tuple(_findings(release.plan, seen))
    heard = [each for each in findings if each.is_alarm and each.name not in release.waived]
    for action in (Action.ROLLBACK, Action.HOLD):
        alarms = [each for each in heard if each.then == action]
        if alarms:
            why = "; ".join(each.said for each in alarms)
            return Verdict(action=action, why=why, findings=findings)
    silent = _silence(release, seen, now)
    if silent:
        return Verdict(action=Action.HOLD, why=silent, findings=findings)
    missing = "; ".join(_missing(release, seen, now))
    if missing:
        return Verdict(action=Action.WAIT, why=missing, findings=findings)
    if release.plan.experiment and release.step + 1 == len(release.plan.steps):
        asked, why = experiments.read(release, release.plan.experiment, seen, now)
        return Verdict(action=Action(asked), why=why, findings=findings)
    why = f"step {release.step + 1} is passed"
    return Verdict(action=Action.ADVANCE, why=why, findings=findings)


def unknown(why: str) -> Verdict:
    """Return the verdict when what was seen cannot be read: hold."""
    return Verdict(action=Action.HOLD, why=f"what was seen is not known: {why}")


def _findings(plan: Plan, seen: Evidence) -> Iterator[Finding]:
    for name in (*HAPPENS, OVERRIDES):
        guard = getattr(plan.guards, name)
        alpha = guard.alpha if guard.ceiling is None else guard.alpha / 2
        said = f"{name} more often in the candidate"
        yield _found(name, seen.which.get(name), alpha, guard.then, said)
        if guard.ceiling is not None:
            said = (
                f"{name} of the candidate in more than {guard.ceiling:.1%} of accounts in an hour"
            )
            yield _found(f"{name} (ceiling)", seen.above.get(name), alpha, guard.then, said)
    yield _found(
        SPLIT,
        seen.which.get(SPLIT),
        plan.guards.split.alpha,
        plan.guards.split.then,
        "accounts come in another proportion than the weight",
    )
    yield _shift(plan, seen)
    quality, calibration, outcome = (
        plan.guards.quality,
        plan.guards.calibration,
        plan.guards.outcome,
    )
    said = "the candidate predicts worse than what answers"
    yield _found("quality", seen.worse, quality.alpha, quality.then, said)
    said = "chances of the candidate are not what they say"
    yield _found("calibration", seen.off.get(CANDIDATE), calibration.alpha, calibration.then, said)
    said = "outcomes come less often to the candidate's accounts"
    yield _found("outcome", seen.lower, outcome.alpha, outcome.then, said)


def _found(name: str, wealth: Wealth | None, alpha: float, then: Then, said: str) -> Finding:
    held = Wealth.of(1) if wealth is None else wealth
    strength = exp(min(held.highest, 700.0))
    return Finding(
        guard=name,
        is_alarm=held.exceeds(alpha),
        then=then,
        strength=strength,
        limit=1 / alpha,
        events=held.events,
        said=f"{said} ({held.events:,} events, evidence {short(strength)} of {short(1 / alpha)})",
    )


def short(strength: float) -> str:
    """Return evidence, or its limit, as short as it is clear.

    >>> short(2_500.0), short(0.0123), short(1e300)
    ('2,500', '0.0123', 'over 1,000,000')
    """
    if strength > MOST_SAID:
        return f"over {MOST_SAID:,.0f}"
    return f"{strength:,.0f}" if strength >= 1_000 else f"{strength:.3g}"


def _shift(plan: Plan, seen: Evidence) -> Finding:
    """Return the step in which the scores of the arms are farthest apart: who is in which arm is
    drawn anew in none, but each step has its own days.
    """
    guard = plan.guards.shift
    alpha = guard.alpha / len(plan.steps)  # of each step: together at most that of the guard
    none = {STABLE: [0] * shift.BINS, CANDIDATE: [0] * shift.BINS}
    steps = seen.scores or {0: none}
    by_step = {n: shift.apart(arms[STABLE], arms[CANDIDATE], alpha) for n, arms in steps.items()}
    step = max(by_step, key=lambda n: (by_step[n], n))
    least = by_step[step]
    return Finding(
        guard="shift",
        is_alarm=least > guard.tolerance,
        then=guard.then,
        strength=least,
        limit=guard.tolerance,
        events=sum(map(sum, steps[step].values())),
        said=f"scores are at least {least:.3f} apart, tolerated are {guard.tolerance:.3f}",
    )


def _silence(release: Release, seen: Evidence, now: datetime) -> str:
    """Return why nothing can be said as nothing comes; empty while something does."""
    last = max(release.since, seen.last_at) if seen.last_at else release.since
    if now - last <= timedelta(minutes=release.plan.silence_minutes):
        return ""
    return f"no decision of the candidate since {last:%Y-%m-%d %H:%M:%S} UTC"


def _missing(release: Release, seen: Evidence, now: datetime) -> Iterator[str]:
    step = release.plan.steps[release.step]
    left = timedelta(minutes=step.bake_minutes) - (now - release.since)
    if left > timedelta(0):
        yield f"the step lasts {left.total_seconds() / 60:,.1f} minutes more"
    accounts = seen.in_step.get(release.step, 0)
    if accounts < step.accounts:
        yield f"{accounts:,} of {step.accounts:,} accounts met the candidate"
    if seen.pairs < step.pairs:
        yield f"{seen.pairs:,} of {step.pairs:,} pairs of scores have an outcome"


def more_outcomes(plan: Plan, seen: Evidence, share: float) -> int | None:
    """Return how many more outcomes the guard of the business outcome is expected to need until it
    would speak, were the rate of the candidate as low as its ratio. None while only one arm has
    accounts: no number is enough.
    """
    if not 0 < share < 1:
        return None
    guard = plan.guards.outcome
    left = max(0.0, log(1 / guard.alpha) + log(odds.BETS) / 2 - seen.lower.log)
    return round(left / log(1 / guard.alpha) * odds.needed(share, guard.ratio, guard.alpha))

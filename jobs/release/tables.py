"""Releases as rows for a person: steps, findings, moves. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.releases.judge import short
from serving.releases.release import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.leading.pace import Pace
    from serving.leading.standing import Judged
    from serving.releases.experiments import Duration
    from serving.releases.judge import Finding
    from serving.releases.plan import Plan, Step
    from serving.releases.release import Release
    from serving.slots.releases import Kept

WORDS = 60  # letters of a reason in a table


def sentence(kept: Kept) -> str:
    """Return where a release stands."""
    release = kept.release
    share = f"{release.places / 100:g} % of the accounts"
    share += ", in replicas of its own" if release.plan.isolated else ""
    since = f"since {kept.since:%Y-%m-%d %H:%M:%S} UTC by {kept.actor}"
    return f"{release.id} of {release.target} is {release.state} at {share}, {since}: {release.why}"


def steps(release: Release) -> list[dict[str, str]]:
    """Return the steps of its plan, and which one it is at."""
    return [
        {
            "step": str(number + 1),
            "weight": f"{step.weight:g} %",
            "mirror": f"{step.mirror:g} %" if step.mirror else "",
            "lasts": f"{step.bake_minutes:g} min",
            "asks for": asked(step),
            "": where(release, number),
        }
        for number, step in enumerate(release.plan.steps)
    ]


def asked(step: Step) -> str:
    """Return what must be seen before the step after this one."""
    found = [
        f"{step.accounts:,} accounts" if step.accounts else "",
        f"{step.pairs:,} pairs" if step.pairs else "",
        "approval" if step.approval else "",
    ]
    return ", ".join(each for each in found if each)


def where(release: Release, number: int) -> str:
    """Return how far a release is with a step."""
    if number == release.step and release.is_open:
        return f"here, {release.state}"
    if release.state == State.PROMOTED or number < release.step:
        return "done"
    return ""


def findings(judged: Judged, release: Release) -> list[dict[str, str]]:
    """Return what each guard says."""
    return [
        {
            "guard": each.guard,
            "evidence": f"{short(each.strength)} of {short(each.limit)}",
            "events": f"{each.events:,}",
            "says": says(each, release, judged.more_outcomes),
        }
        for each in judged.findings
    ]


def says(finding: Finding, release: Release, more_outcomes: int | None) -> str:
    """Return what a guard says, in a word or two."""
    if finding.is_alarm:
        waived = finding.name in release.waived
        return "alarm, waived" if waived else f"alarm: {finding.then}"
    if finding.name == "outcome":
        more = "" if more_outcomes is None else f", needs about {more_outcomes:,} more"
        return f"not enough evidence{more}"
    return "nothing against it" if finding.events else "nothing seen"


def moves(every: Sequence[Kept]) -> list[dict[str, str]]:
    """Return the moves of releases."""
    return [
        {
            "since": f"{kept.since:%Y-%m-%d %H:%M:%S}",
            "release": kept.release.id,
            "state": kept.release.state.value,
            "step": f"{kept.release.step + 1} of {len(kept.release.plan.steps)}",
            "share": f"{kept.release.places / 100:g} %",
            "by": kept.actor,
            "why": kept.release.why[:WORDS],
        }
        for kept in every
    ]


def estimate(plan: Plan, pace: Pace, took: Duration) -> str:
    """Return what an experiment is expected to take, in a sentence."""
    asked = plan.experiment
    ratio, power = (asked.ratio, asked.power) if asked else (1.0, 0.0)
    return (
        f"a rate {ratio:g} times as high is found with power {power:.0%} after"
        f" {took.outcomes:,} outcomes: {took.accounts:,} accounts, {took.days:,.0f} days at"
        f" {pace.accounts_per_day:,.1f} accounts a day of which {pace.rate:.1%} have the outcome;"
        f" within {asked.most_days if asked else 0:g} days with power {took.power:.0%}"
    )

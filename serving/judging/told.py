"""What the journal tells a judge of one release: from entries to sightings, copies, outcomes and
overrides. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from serving.releases.evidence import CANDIDATE
from serving.releases.sighting import Matured, Overridden, Pair, Sighting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cluster.looks import Said
    from serving.releases.evidence import Evidence
    from serving.releases.release import Release

DECISION, COPY, OUTCOMES = "decision", "shadow", "release.outcomes"
OVERRIDDEN = "decision.overridden"
KINDS = (DECISION, COPY, OUTCOMES, OVERRIDDEN)  # of entries
INCIDENT = "breaker_open"  # a cause that many accounts share
ERRORS, TIMEOUTS, LATENCY, FALLBACKS = "errors", "timeouts", "latency", "fallbacks"
OF_CAUSE = {"model_failed": ERRORS, "deadline": TIMEOUTS}


@dataclass(kw_only=True)
class Told:
    """What some entries tell of one release, in their order."""

    sightings: list[Sighting] = field(default_factory=list)
    copies: list[tuple[Sighting, Sighting]] = field(default_factory=list)  # beside the answered
    pairs: list[Pair] = field(default_factory=list)
    matured: list[Matured] = field(default_factory=list)
    overridden: list[Overridden] = field(default_factory=list)

    def into(self, seen: Evidence, release: Release) -> None:
        """Count it."""
        seen.saw(release.plan, self.sightings)
        seen.mirrored(release.plan, self.copies)
        seen.paired(release.plan, self.pairs)
        seen.matured(self.matured)
        seen.overridden(self.overridden)


def told(release: Release, entries: Iterable[Said]) -> Told:
    """Return what entries tell of a release; KeyError or TypeError for those of another format."""
    found = Told()
    for said in entries:
        if said.kind == DECISION and is_of(release, said.body):
            found.sightings.append(sighting(release, said))
        elif said.kind == COPY and is_of(release, said.body):
            found.copies += _copies(release, said)
        elif said.kind == OUTCOMES and said.body["release"] == release.key:
            _outcomes(found, said.body["rows"])
        elif said.kind == OVERRIDDEN and is_of(release, said.body):
            found.overridden += _overridden(said.body)
    return found


def sighting(release: Release, said: Said) -> Sighting:
    """Return what the record of a decision shows of the arm that made it."""
    body, drawn, fallback = said.body, said.body["release"], said.body["fallback"]
    cause = fallback["cause"] if fallback else ""
    bad = {OF_CAUSE[cause]} if cause in OF_CAUSE else set()
    bad |= {FALLBACKS} if fallback or body["verdict"]["confidence"] == "low" else set()
    bad |= {LATENCY} if drawn["took_ms"] > release.plan.guards.latency.over_ms else set()
    return Sighting(
        account=body["seen"]["shard"],
        is_candidate=drawn["arm"] == CANDIDATE,
        share=drawn["share"],
        step=drawn["step"],
        at=said.at,
        chance=None if fallback else body["probability"],
        bad=frozenset(bad),
        is_incident=cause == INCIDENT,
    )


def _copies(release: Release, said: Said) -> list[tuple[Sighting, Sighting]]:
    """Return a copy of the candidate's beside the decision that was answered; none of a shadow's:
    it asks for no traffic.
    """
    body, drawn = said.body, said.body["release"]
    if drawn["arm"] != CANDIDATE:
        return []
    is_late = body["took_ms"] > release.plan.guards.latency.over_ms
    bad = ({ERRORS} if body["failed"] else set()) | ({LATENCY} if is_late else set())
    both = [
        Sighting(
            account=body["shard"] or body["entity"],
            is_candidate=is_candidate,
            share=drawn["share"],
            step=drawn["step"],
            at=said.at,
            chance=body[arm]["probability"],
            bad=frozenset(bad if is_candidate else ()),
        )
        for arm, is_candidate in (("stable", False), ("shadow", True))
    ]
    return [(both[0], both[1])]


def _overridden(body: Mapping[str, Any]) -> list[Overridden]:
    """Return a decision that a person decided otherwise; none that was left to a person, and none
    of an incident that is many accounts': neither says which arm is worse.
    """
    if body["reviewed"] or body["fallback"] == INCIDENT:
        return []
    drawn = body["release"]
    is_candidate = drawn["arm"] == CANDIDATE
    return [Overridden(account=body["account"], is_candidate=is_candidate, share=drawn["share"])]


def _outcomes(found: Told, rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        if row["shadow"] is not None and row["stable"] is not None:
            found.pairs.append(
                Pair(
                    lead=row["entity"],
                    stable=row["stable"],
                    candidate=row["shadow"],
                    outcome=row["outcome"],
                )
            )
        found.matured.append(
            Matured(
                account=row["account"],
                is_candidate=row["arm"] == CANDIDATE,
                share=row["share"],
                outcome=row["outcome"],
            )
        )


def is_of(release: Release, body: Mapping[str, Any]) -> bool:
    """Was a decision that an entry is about made in a release?"""
    drawn = body.get("release")
    return (
        drawn is not None and drawn["release"] == release.id and _target_of(body) == release.target
    )


def _target_of(body: Mapping[str, Any]) -> str:
    target: str = (body.get("basis") or body["shadow"]["basis"])["target"]
    return target.partition("@")[0]

"""What became of those who were decided about while a release ran, told to its judge.

The log knows it once the horizon of a decision is over. It is told in the order of the decisions,
each once, as entries of the journal: the judge reads them there as it reads everything else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from itertools import batched
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cluster import canonical
from cluster.looks import Looks
from features import compute, log, spine
from features.targets import load_target
from serving.judging import told
from serving.releases.evidence import CANDIDATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cluster.looks import Said
    from cluster.workspace import Workspace
    from features.targets import Target
    from serving.releases.release import Release

TOGETHER = 500  # rows of one entry


@dataclass(frozen=True, kw_only=True)
class Decided:
    """A decision that waits for what becomes of it."""

    id: str
    entity: str
    account: str  # whom was drawn for
    time: datetime
    arm: str
    share: float
    chance: float | None  # None: the rules answered


@dataclass(kw_only=True)
class Waiting:
    """What the journal says of a release: decisions, copies of the candidate, and what was told."""

    decided: dict[str, Decided] = field(default_factory=dict)
    copies: dict[str, float] = field(default_factory=dict)  # by decision: chance of the candidate
    told: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, release: Release, entries: Iterable[Said]) -> Waiting:
        """Read entries. Pure."""
        found = cls()
        for said in entries:
            body = said.body
            if said.kind == told.OUTCOMES and body["release"] == release.key:
                found.told |= {row["decision"] for row in body["rows"]}
            elif said.kind == told.DECISION and told.is_of(release, body):
                found.decided[body["id"]] = _decided(body)
            elif said.kind == told.COPY and told.is_of(release, body):
                found._copied(body)
        return found

    def _copied(self, body: Mapping[str, Any]) -> None:
        if body["release"]["arm"] == CANDIDATE and body["shadow"]["probability"] is not None:
            self.copies[body["decision"]] = body["shadow"]["probability"]

    @property
    def open(self) -> list[Decided]:
        """Those that nothing was told of yet, in the order of their moments."""
        open = [each for id, each in self.decided.items() if id not in self.told]
        return sorted(open, key=lambda each: (each.time, each.id))


def tell(workspace: Workspace, release: Release) -> int:
    """Journal what is known by now of the decisions of a release; returns of how many."""
    now = workspace.clock()
    waiting = Waiting.of(release, _entries(workspace, release))
    known = _outcomes(workspace, load_target(release.target), waiting.open, now)
    rows = [
        _row(each, waiting.copies.get(each.id), known[each.entity, each.time])
        for each in waiting.open
        if (each.entity, each.time) in known
    ]
    for some in batched(rows, TOGETHER):
        body = {"release": release.key, "rows": list(some)}
        id = f"{told.OUTCOMES}:{canonical.digest(body)}"  # told twice at once, it is there once
        workspace.journal.record(told.OUTCOMES, body, id=id, now=now)
    return len(rows)


def _entries(workspace: Workspace, release: Release) -> Iterator[Said]:
    looks = Looks(workspace.database, release.key)
    first = next(iter(looks.behind(-1)), None)
    began = first.positions if first else {}
    return looks.entries(began, looks.heads(), told.KINDS)


def _outcomes(
    workspace: Workspace, target: Target, open: list[Decided], now: datetime
) -> dict[tuple[str, datetime], bool]:
    """Return what became of those whose horizon was over when the newest event of the log became
    known, by entity and moment: what happened later is not in it yet.
    """
    snapshot = log.pinned(workspace.tables)
    until = min(now, log.latest(workspace.tables, snapshot))
    keys = sorted({(each.entity, each.time) for each in open})
    asked = pa.table({"entity": [k[0] for k in keys], "time": [k[1] for k in keys]}, spine.ASKED)
    found: dict[tuple[str, datetime], bool] = {}
    for bucket in workspace.tables.buckets(log.TABLE, snapshot) if keys else []:
        events = workspace.tables.read_bucket(bucket, compute.COLUMNS, coded=True)
        for row in spine.outcomes(target, events, asked, until).to_pylist():
            if row["mature"]:
                found[row["entity"], row["time"]] = row["label"]
    return found


def _decided(body: Mapping[str, Any]) -> Decided:
    drawn = body["release"]
    return Decided(
        id=body["id"],
        entity=body["entity"],
        account=body["seen"]["shard"],
        time=datetime.fromisoformat(body["time"]),
        arm=drawn["arm"],
        share=drawn["share"],
        chance=None if body["fallback"] else body["probability"],
    )


def _row(each: Decided, copy: float | None, outcome: bool) -> dict[str, Any]:
    return {
        "decision": each.id,
        "entity": each.entity,
        "account": each.account,
        "arm": each.arm,
        "share": each.share,
        "stable": each.chance,
        "shadow": copy,
        "outcome": outcome,
    }

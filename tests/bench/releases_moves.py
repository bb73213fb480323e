"""Who moves releases in the bench: begins them, goes on, waits until every replica has followed."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

from cluster import canonical
from cluster.errors import Refusal
from features.targets import load_target
from serving.registry import Registry, alias
from serving.releases.plan import load_plan
from serving.releases.release import Parts, Release, begin
from serving.slots import policies, replicas
from serving.slots import releases as store
from tests.bench.serving_workspace import TARGET

if TYPE_CHECKING:
    from datetime import datetime

    from cluster.workspace import Workspace

POLICY = "lead_routing"
ACTOR = "bench"
FOLLOW_S, POLL_S = 60.0, 0.02

NAME = load_target(str(TARGET)).name


class Mover:
    """Moves the releases of one workspace. For one thread."""

    def __init__(self, place: Workspace, *, replicas: int) -> None:
        self._place = place
        self._replicas = replicas  # that follow
        self._at = store.current(place, NAME)

    @property
    def now(self) -> datetime:
        """The time of the workspace."""
        return self._place.clock()

    @property
    def release(self) -> Release:
        """As it is by the last look or move."""
        assert self._at is not None
        return self._at.release

    def begin(self, plan: str) -> None:
        """Begin a release of the same trees under another name: at the first step of a plan."""
        self._at = store.current(self._place, NAME)
        made = begin(
            id=uuid.uuid4().hex[:12], target=NAME, policy=POLICY, plan=load_plan(plan),
            salt=uuid.uuid4().hex, stable=stable(self._place), candidate=candidate(self._place),
            before=self._at.release if self._at else None, why="to be measured", now=self.now,
        )  # fmt: skip
        self.put(made)

    def put(self, after: Release | Refusal) -> None:
        """Move it; SystemExit when that is refused."""
        if isinstance(after, Refusal):
            raise SystemExit(str(after))
        said: dict[str, Any] = {"actor": ACTOR, "reason": "to be measured", "now": self.now}
        kept = store.put(self._place, after, self._at, **said)
        if isinstance(kept, Refusal):
            raise SystemExit(str(kept))
        self._at = kept

    def followed(self) -> float:
        """Wait until every replica answers by the last move; return the seconds that took."""
        began = time.monotonic()
        while not self._is_followed():
            if time.monotonic() - began > FOLLOW_S:
                raise SystemExit(f"replicas must follow within {FOLLOW_S:g} s, got none that did")
            time.sleep(POLL_S)
        return time.monotonic() - began

    def is_moved(self) -> bool:
        """Did another move it?"""
        ref = self._place.refs.get(store.ref_of(NAME))
        return ref is not None and self._at is not None and ref.epoch > self._at.epoch

    def end(self) -> tuple[str, ...]:
        """Call off what is open still; return which guards spoke as it was undone."""
        self._at = store.current(self._place, NAME)
        if self.release.is_open:
            self.put(self.release.aborted("the run is over"))
        assert self._at is not None
        entry = self._place.journal.get(f"{store.KIND}:{NAME}:{self._at.epoch}")
        said = (entry.body.get("verdict") if entry else None) or {"findings": []}
        return tuple(each["guard"] for each in said["findings"] if each["is_alarm"])

    def _is_followed(self) -> bool:
        assert self._at is not None
        database, ref, now = self._place.database, store.ref_of(NAME), self.now
        is_all = len(replicas.alive(database, now)) == self._replicas
        return is_all and not replicas.behind(database, ref, self._at.epoch, now)


def stable(place: Workspace) -> Parts:
    """Return what answers now."""
    policies.begin(place, policies.declared().values())
    found = store.answering(place.refs, NAME, POLICY, {})
    if isinstance(found, Refusal):
        raise SystemExit(str(found))
    return found


def candidate(place: Workspace) -> Parts:
    """Return what answers now with the model under another manifest: another id, equal scores."""
    registry = Registry(place.blobs, place.refs, place.journal)
    packed = registry.bundle(alias(NAME))[1]
    said = json.loads(packed.manifest)
    said["provenance"]["card"] = "The candidate of the bench of releases."
    place.blobs.put(packed.booster)
    return stable(place).model_copy(update={"model": place.blobs.put(canonical.dumps(said))})

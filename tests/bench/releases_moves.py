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
    from collections.abc import Callable
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

    def met(self) -> None:
        """Wait until every replica is there."""
        self._until(self._are_alive)

    def followed(self) -> None:
        """Wait until every replica answers by the last move."""
        self._until(self._is_followed)

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

    def _until(self, is_so: Callable[[], bool]) -> None:
        end = time.monotonic() + FOLLOW_S
        while not is_so():
            if time.monotonic() > end:
                there = replicas.alive(self._place.database, self.now)
                raise SystemExit(
                    f"{self._replicas} replicas must follow within {FOLLOW_S:g} s, got {there}"
                )
            time.sleep(POLL_S)

    def _are_alive(self) -> bool:
        return len(replicas.alive(self._place.database, self.now)) == self._replicas

    def _is_followed(self) -> bool:
        assert self._at is not None
        ref = store.ref_of(NAME)
        late = replicas.behind(self._place.database, ref, self._at.epoch, self.now)
        return not late and self._are_alive()


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

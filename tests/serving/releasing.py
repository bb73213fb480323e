"""A release of a service that is under way, for tests of both modes."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from cluster import canonical
from cluster.errors import Refusal
from serving.answer.questions import Question
from serving.answer.ticket import Answered
from serving.apart.keeper import Keeper
from serving.registry import Registry, alias
from serving.releases.plan import Step
from serving.releases.release import Parts, Release
from serving.slots import policies
from serving.slots import releases as store
from serving.slots.slot import Answer
from tests.serving.simulated_releases import BEGAN, release

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from serving.answer.service import DecisionService
    from serving.slots.releases import Kept

TARGET = "lead_qualification"
LEAD = {"lead": Answer(target=TARGET, policy="lead_routing")}
SAID: Any = {"actor": "ada", "reason": "a test", "now": BEGAN}
LONG_MS = 20_000.0


def candidate(place: Workspace) -> Parts:
    """Keep a model that is another, and as sure again; return the parts with it."""
    registry = Registry(place.blobs, place.refs, place.journal)
    packed = registry.bundle(alias(TARGET))[1]
    said = json.loads(packed.manifest)
    said["provenance"]["card"] = "the candidate"
    place.blobs.put(packed.booster)
    return blue(place).model_copy(update={"model": place.blobs.put(canonical.dumps(said))})


def blue(place: Workspace) -> Parts:
    """Return the parts that answer."""
    refs = [place.refs.get(name) for name in (alias(TARGET), policies.ref_of("lead_routing"))]
    model, policy = (ref.target for ref in refs if ref)
    return Parts(model=model, policy=policy, views={})


def begin(service: DecisionService, candidate: Parts, *steps: Step, **more: Any) -> Kept:
    """Begin a release that is at the first of some steps, and let the service follow it."""
    made = release()
    plan = made.plan.model_copy(update={"steps": (*steps, Step(weight=100.0)), **more})
    stable = blue(service.workspace)
    if service.watcher.apart is not None:
        plan = plan.model_copy(update={"isolated": True})
    changes = {"plan": plan, "stable": stable, "candidate": candidate}
    kept = put(service, made.model_copy(update=changes), None)
    until_taken(service)
    return kept


def until_taken(service: DecisionService) -> None:
    """Let the candidate have its replicas if it is to, and wait until they answer."""
    until = time.monotonic() + 60
    while service.slots.is_waiting:
        from serving.apart.running import OnServe  # Ray reads its environment first

        assert time.monotonic() < until
        Keeper(service.workspace, LEAD, OnServe()).look()
        service.watcher.refresh()


def put(service: DecisionService, after: Release | Refusal, before: Kept | None) -> Kept:
    """Keep a release, and let the service follow it."""
    assert isinstance(after, Release)
    kept = store.put(service.workspace, after, before, **SAID)
    assert not isinstance(kept, Refusal), str(kept)
    service.watcher.refresh()
    return kept


def leads(place: Workspace, count: int) -> list[dict[str, Any]]:
    """Return batch scores of open leads."""
    found: list[dict[str, Any]] = place.tables.read(f"scores_{TARGET}").to_pylist()
    return found[:count]


def decide(
    service: DecisionService, row: dict[str, Any], *, deadline_ms: float = LONG_MS
) -> dict[str, Any]:
    """Return the record of a decision about the lead of a score."""
    asked = Question(kind="lead", key=row["entity"], as_of=row["time"], reasons=False)
    done = service.decide(asked, deadline_ms=deadline_ms)
    assert isinstance(done, Answered), str(done)
    return done.body

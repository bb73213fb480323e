"""What became of decisions is told to the judge: as training would label them, each once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from cluster import canonical
from cluster.looks import Said
from cluster.workspace import Workspace
from features import log, spine
from features.targets import load_target
from serving.answer.questions import Question
from serving.answer.service import DecisionService
from serving.answer.ticket import Answered
from serving.judging import outcomes, told
from serving.judging.case import Case
from serving.registry import Registry, alias
from serving.releases.plan import Step
from serving.releases.release import Parts
from serving.slots import policies
from serving.slots import releases as store
from serving.slots.slot import Answer
from tests.serving.simulated_releases import BEGAN, release

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.settings import Settings
    from serving.slots.releases import Kept

TARGET = "lead_qualification"
COUNT = 24


@pytest.fixture
def place(copied: Callable[[Path], Settings], tmp_path: Path) -> Iterator[Workspace]:
    """A copy of the small world, with a release under way: half of the accounts, all mirrored."""
    with Workspace.open(copied(tmp_path / "home")) as opened:
        policies.begin(opened, policies.declared().values())
        _begin(opened)
        yield opened


def _begin(place: Workspace) -> None:
    registry = Registry(place.blobs, place.refs, place.journal)
    packed = registry.bundle(alias(TARGET))[1]
    said = json.loads(packed.manifest) | {}
    said["provenance"]["card"] = "the candidate"
    rules = place.refs.get(policies.ref_of("lead_routing"))
    assert rules is not None
    stable = Parts(model=registry.resolve(alias(TARGET)), policy=rules.target, views={})
    candidate = stable.model_copy(update={"model": place.blobs.put(canonical.dumps(said))})
    made = release()
    steps = (Step(weight=50.0, mirror=100.0), Step(weight=100.0))
    changes = {"plan": made.plan.model_copy(update={"steps": steps}), "stable": stable}
    began = made.model_copy(update={**changes, "candidate": candidate})
    kept = store.put(place, began, None, actor="ada", reason="a test", now=BEGAN)
    assert isinstance(kept, store.Kept)


def _kept(place: Workspace) -> Kept:
    kept = store.current(place, TARGET)
    assert kept is not None
    return kept


def _labelled(place: Workspace) -> list[dict[str, Any]]:
    """Return rows of training of several leads, mature ones and others."""
    target, rows = load_target(TARGET), []
    until = log.latest(place.tables, log.pinned(place.tables))
    for bucket in place.tables.buckets(log.TABLE):
        events = place.tables.read_bucket(bucket)
        rows += spine.training(target, events, until).to_pylist()
    by_label = sorted(rows, key=lambda row: (row["mature"], row["label"], row["entity"]))
    firsts = {row["entity"]: row for row in by_label}
    return list(firsts.values())[-COUNT:]


def _decide(place: Workspace, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    with closing(
        DecisionService(place, {"lead": Answer(target=TARGET, policy="lead_routing")})
    ) as s:
        asked = [
            Question(kind="lead", key=r["entity"], as_of=r["time"], reasons=False) for r in rows
        ]
        answers = [s.decide(each, deadline_ms=20_000.0) for each in asked]
        until = time.monotonic() + 20
        bodies = [a.body for a in answers if isinstance(a, Answered)]
        expected = sum("release" in b and b["release"]["arm"] == "stable" for b in bodies)
        while sum(1 for _ in place.journal.entries("shadow")) < expected:
            assert time.monotonic() < until
            time.sleep(0.02)
    return bodies


def test_outcomes_are_told_once_and_as_training_labels_them(place: Workspace) -> None:
    """The judge has a pair for each decision of the stable arm, and an outcome for each."""
    rows = _labelled(place)
    bodies = _decide(place, rows)
    labels = {(row["entity"], row["time"].isoformat()): row for row in rows}
    mature = [b for b in bodies if labels[b["entity"], b["time"]]["mature"]]
    assert len(mature) > COUNT / 2
    kept = _kept(place)
    assert outcomes.tell(place, kept.release) == len(mature)
    assert outcomes.tell(place, kept.release) == 0
    told_rows = [r for e in place.journal.entries(told.OUTCOMES) for r in e.body["rows"]]
    moments = {b["id"]: b["time"] for b in bodies}
    for row in told_rows:
        label = labels[row["entity"], moments[row["decision"]]]["label"]
        assert row["outcome"] == label
    order = [moments[row["decision"]] for row in told_rows]
    assert order == sorted(order)
    case = Case(place.database, kept.release)
    case.read_on(BEGAN)
    of_stable = [b for b in mature if b["release"]["arm"] == "stable"]
    assert 0 < case.evidence.pairs == len(of_stable) < len(mature)
    won = [b for b in mature if labels[b["entity"], b["time"]]["label"]]
    assert case.evidence.lower.events == len({b["seen"]["shard"] for b in won})


def test_what_is_not_over_is_not_told(place: Workspace) -> None:
    """Its horizon runs: neither a yes nor a no."""
    scored = place.tables.read(f"scores_{TARGET}").to_pylist()[:4]
    assert len(_decide(place, scored)) == 4
    assert outcomes.tell(place, _kept(place).release) == 0


def test_a_copy_that_failed_makes_no_pair(place: Workspace) -> None:
    """There is no chance to compare."""
    of = _kept(place).release
    drawn = {"release": of.id, "arm": "candidate", "share": 0.0, "step": 0}
    shadow = {"probability": None, "basis": {"target": f"{TARGET}@1"}}
    body = {"decision": "d1", "release": drawn, "shadow": shadow}
    found = outcomes.Waiting.of(of, [Said(told.COPY, BEGAN, body)])
    assert found.copies == {}
    there = body | {"shadow": shadow | {"probability": 0.2}}
    assert outcomes.Waiting.of(of, [Said(told.COPY, BEGAN, there)]).copies == {"d1": 0.2}

"""A candidate that kills its process on a certain row, in processes of their own: the next one
recovers, nobody is given the candidate any more, and who asks again is answered once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cluster import canonical
from cluster.settings import ROOT
from cluster.workspace import Workspace
from features.online import warm
from serving.client import Client, Retries
from serving.registry import Registry, alias
from serving.releases.plan import Step
from serving.releases.release import Parts, Release, State
from serving.slots import crashes, policies
from serving.slots import releases as store
from serving.slots.releases import Kept
from tests.serving.running import running
from tests.serving.simulated_releases import BEGAN, release

if TYPE_CHECKING:
    from cluster.errors import Refusal
    from cluster.settings import Settings

CHILD = Path(__file__).with_name("child_crash.py")
TARGET = "lead_qualification"
DIED = -signal.SIGSEGV
ALL, MIRRORED = Step(weight=100.0), Step(mirror=100.0)


@pytest.fixture
def place(copied: Callable[[Path], Settings], tmp_path: Path) -> Iterator[Workspace]:
    """A copy of the small world."""
    with Workspace.open(copied(tmp_path / "home")) as opened:
        policies.begin(opened, policies.declared().values())
        yield opened


def _blue(place: Workspace) -> Parts:
    refs = [place.refs.get(name) for name in (alias(TARGET), policies.ref_of("lead_routing"))]
    model, policy = (ref.target for ref in refs if ref)
    return Parts(model=model, policy=policy, views={})


def _begin(place: Workspace, step: Step) -> Kept:
    """Begin a release of a model that is another, and as sure again."""
    said = json.loads(
        Registry(place.blobs, place.refs, place.journal).bundle(alias(TARGET))[1].manifest
    )
    said["provenance"]["card"] = "the candidate"
    blue, made = _blue(place), release()
    green = blue.model_copy(update={"model": place.blobs.put(canonical.dumps(said))})
    plan = made.plan.model_copy(update={"steps": (step, ALL)})
    changes = {"plan": plan, "stable": blue, "candidate": green}
    return _put(place, made.model_copy(update=changes), None)


def _put(place: Workspace, after: Release | Refusal, before: Kept | None) -> Kept:
    assert isinstance(after, Release)
    kept = store.put(place, after, before, actor="ada", reason="a test", now=BEGAN)
    assert isinstance(kept, Kept), str(kept)
    return kept


def _asked(place: Workspace, kept: Kept, row: str = "", *mutant: str) -> tuple[int, dict[str, Any]]:
    """Start a service, ask it, and return how it ended, and its answer."""
    lead = place.tables.read(f"scores_{TARGET}")["entity"][0].as_py()
    asked = {"lead": lead, "model": kept.release.candidate.model, "row": row or lead}
    done = subprocess.run(
        [sys.executable, str(CHILD), str(place.settings.home), json.dumps(asked), *mutant],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, DIED), done.stderr.decode()
    return done.returncode, json.loads(done.stdout) if done.stdout else {}


def _now(place: Workspace) -> Kept:
    found = store.current(place, TARGET)
    assert found is not None
    return found


def _decisions(place: Workspace) -> set[str]:
    return {entry.id for entry in place.journal.entries("decision")}


@pytest.mark.drill
def test_the_next_process_recovers_and_takes_the_candidate_no_more(place: Workspace) -> None:
    """Who asks again with the same key is answered, and there is one decision."""
    before, kept = _decisions(place), _begin(place, ALL)
    assert _asked(place, kept)[0] == DIED
    ended, said = _asked(place, kept)
    assert (ended, said["model"]) == (0, kept.release.stable.model)
    assert "must leave the process alive" in said["refused"][0]
    assert _now(place).release.state == State.HELD
    assert said["again"] == said["id"]
    assert _decisions(place) - before == {said["id"]}


@pytest.mark.drill
def test_a_second_death_undoes_it(place: Workspace) -> None:
    """After a person let it run on."""
    kept = _begin(place, ALL)
    assert _asked(place, kept)[0] == DIED
    assert _asked(place, kept, "nobody")[0] == 0
    held = _now(place)
    _put(place, held.release.resumed("it was the disk", BEGAN), held)
    assert _asked(place, kept, warm.KEY)[0] == DIED
    assert _asked(place, kept)[0] == 0
    assert _now(place).release.state == State.ROLLED_BACK
    assert len(list(place.journal.entries(crashes.KIND))) == 2
    assert place.journal.verify()


@pytest.mark.drill
@pytest.mark.parametrize(
    ("step", "row"), [(MIRRORED, ""), (ALL, warm.KEY)], ids=["mirror", "trial"]
)
def test_where_nobody_waits_for_it_too(place: Workspace, step: Step, row: str) -> None:
    """In a copy that is made after the answer; and before it answers anybody."""
    kept = _begin(place, step)
    assert _asked(place, kept, row)[0] == DIED
    assert _asked(place, kept, row)[0] == 0
    assert _now(place).release.state == State.HELD


_DEADLY = """
import ctypes, importlib.abc, importlib.util, os, sys

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "serving.slots.slot":
            return None
        sys.meta_path.remove(self)
        found = importlib.util.find_spec(name)
        honest = found.loader.exec_module
        def run(module):
            honest(module)
            module.decide = deadly(module.decide)
        found.loader.exec_module = run
        return found

def deadly(honest):
    def called(model, policy, cases, *rest, **more):
        is_asked = isinstance(cases, list) and any(case.entity != "warm" for case in cases)
        if is_asked and more["basis"].model == os.environ["DEADLY_MODEL"]:
            ctypes.string_at(0)
        return honest(model, policy, cases, *rest, **more)
    return called

sys.meta_path.insert(0, Finder())
"""


@pytest.mark.drill
@pytest.mark.parametrize("profile", ["portable", "fast"])
def test_the_service_recovers_and_who_asks_again_is_answered(
    place: Workspace, tmp_path: Path, profile: str
) -> None:
    """On Ray Serve, by the retries of the client that we ship: one decision, by what is stable."""
    recorded, kept = _decisions(place), _begin(place, ALL)
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(_DEADLY)
    environ = {
        "PYTHONPATH": str(tmp_path / "hook"),
        "DEADLY_MODEL": kept.release.candidate.model,
    }
    leads = place.tables.read(f"scores_{TARGET}")["entity"].to_pylist()[:3]
    home, told = place.settings.home, tmp_path / "log"
    with (
        running(home, told, profile=profile, environ=environ) as service,
        Client(
            service.url, timeout_s=180, deadline_ms=5_000, retries=Retries(most=400, reserve=1_000)
        ) as client,
    ):
        before = service.replicas()
        found = [client.decide(lead=lead, idempotency_key=f"key of {lead}") for lead in leads]
        assert set(service.replicas()).isdisjoint(before)
    assert {each.basis.model for each in found} == {kept.release.stable.model}
    assert (_now(place).release.state, _now(place).actor) == (State.HELD, "service")
    assert _decisions(place) - recorded == {each.id for each in found}
    assert len(list(place.journal.entries(crashes.KIND))) == 1


@pytest.mark.drill
@pytest.mark.parametrize(
    ("mutant", "state"), [("unmarked", State.RUNNING), ("heedless", State.HELD)]
)
def test_the_mutant_dies_again(place: Workspace, mutant: str, state: State) -> None:
    """Where calls leave no mark nobody knows of what the first one died; and where what is held is
    taken all the same, its accounts are the candidate's still.
    """
    kept = _begin(place, ALL)
    assert [_asked(place, kept, "", mutant)[0] for _ in range(2)] == [DIED, DIED]
    assert _now(place).release.state == state

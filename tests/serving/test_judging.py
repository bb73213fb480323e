"""The judge at work: what the journal tells is counted once and in one order, a killed judge goes
on as if it had not been, and what is not known changes nothing.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cluster import leases, schema
from cluster.errors import FunnelcastError
from cluster.looks import Said
from cluster.settings import Settings
from cluster.workspace import Workspace
from serving.judging import told
from serving.judging.case import Case
from serving.judging.judge import Judge
from serving.judging.ruling import following, ruled
from serving.releases import judge
from serving.releases.evidence import Evidence
from serving.releases.judge import Action
from serving.releases.release import Release, State
from serving.slots import releases as store
from tests.serving.child_judge import plain
from tests.serving.simulated_releases import BEGAN, release

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.slots.releases import Kept

AT = BEGAN + timedelta(minutes=1)
SAID: Any = {"actor": "ada", "reason": "a test", "now": BEGAN}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workspace]:
    """An empty workspace, whose clock stands a minute after the release began."""
    settings = Settings(home=tmp_path / "home")
    with Workspace.open(settings, clock=lambda: AT) as opened:
        yield opened


@pytest.fixture
def kept(place: Workspace) -> Kept:
    """A release at 5 % that has begun."""
    found = store.put(place, release(step=2), None, **SAID)
    assert isinstance(found, store.Kept), str(found)
    return found


def _decided(
    n: int, *, is_candidate: bool, cause: str | None = None, **more: Any
) -> dict[str, Any]:
    """Return what a judge reads of the record of a decision."""
    arm = "candidate" if is_candidate else "stable"
    return {
        "seen": {"shard": f"account-{n}"},
        "release": {
            "release": "r1",
            "epoch": 1,
            "step": 2,
            "arm": arm,
            "share": 0.05,
            "took_ms": 9,
        },
        "fallback": {"cause": cause, "detail": ""} if cause else None,
        "verdict": {"confidence": "high"},
        "probability": 0.2,
        "basis": {"target": "lead_qualification@1"},
        **more,
    }


def _append(place: Workspace, bodies: list[dict[str, Any]], kind: str = told.DECISION) -> None:
    done = [place.journal.append(kind, body, now=AT) for body in bodies]
    assert all(each.result() for each in done)


def _failing(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Return decisions of which the candidate's fail."""
    return [
        _decided(n, is_candidate=n % 10 == 0, cause="model_failed" if n % 10 == 0 else None)
        for n in range(first, first + count)
    ]


def _judge(place: Workspace, holder: str = "one") -> Judge:
    return Judge(place, lambda: ["lead_qualification"], holder=holder)


def _state(place: Workspace) -> State:
    found = store.current(place, "lead_qualification")
    assert found is not None
    return found.release.state


def test_a_bad_candidate_is_undone_with_its_evidence(place: Workspace, kept: Kept) -> None:
    """The entry of the journal says what spoke, and how far was read."""
    _append(place, _failing(300))
    _judge(place).look()
    now = store.current(place, "lead_qualification")
    assert now is not None
    assert (now.release.state, now.actor) == (State.ROLLED_BACK, "judge")
    assert now.release.why.startswith("errors more often in the candidate (30 events")
    entry = place.journal.get("release:lead_qualification:2")
    assert entry is not None
    assert entry.body["look"] == 1
    alarms = [each["guard"] for each in entry.body["verdict"]["findings"] if each["is_alarm"]]
    assert alarms == ["errors", "errors (ceiling)", "fallbacks", "fallbacks (ceiling)"]


def test_an_even_release_waits(place: Workspace, kept: Kept) -> None:
    """And what another release, another target or another time decided is not counted."""
    _append(place, [_decided(n, is_candidate=n % 20 == 0) for n in range(300)])
    other = {"target": "deal_outcome@1"}
    _append(place, [each | {"basis": other} for each in _failing(300, first=1_000)])
    _append(place, [each | {"release": None} for each in _failing(300, first=2_000)])
    found = _judge(place)
    found.look()
    assert found.error is None
    assert found.verdicts["lead_qualification"].action == Action.WAIT
    assert _state(place) == State.RUNNING


def test_what_came_before_a_release_is_not_read(place: Workspace) -> None:
    """Look 0 is where the chains were as it began."""
    _append(place, _failing(300))
    begun = store.put(place, release(step=2), None, **SAID)
    assert isinstance(begun, store.Kept)
    case = Case(place.database, begun.release)
    case.read_on(AT)
    assert case.evidence.which == {} or case.evidence.which["errors"].events == 0
    before = Case(place.database, begun.release)
    with place.database.begin() as connection:  # the mutant: it begins at the beginning
        connection.execute(schema.looks.delete().where(schema.looks.c.number > 0))
        connection.execute(schema.looks.update().values(positions="{}"))
    before.read_on(AT)
    assert before.evidence.which["errors"].events == 30


def test_two_judges_count_alike(place: Workspace, kept: Kept) -> None:
    """However their looks fall: what one has looked at the other reads in the same order."""
    one, two = (Case(place.database, kept.release) for _ in range(2))
    for first in range(0, 400, 50):
        _append(place, _failing(50, first))
        for case in (one, two) if first % 100 else (two, one):
            case.read_on(AT)
    one.follow()
    three = Case(place.database, kept.release)
    three.follow()
    assert one.evidence == two.evidence == three.evidence
    assert one.look == three.look
    assert one.look.number == 8


def test_one_judges_at_a_time_and_the_next_goes_on(place: Workspace, kept: Kept) -> None:
    """While the lease lasts; one that is closed gives it back at once."""
    _append(place, _failing(300))
    database, name = place.database, "judge/lead_qualification"
    assert leases.hold(database, name, "gone", AT, timedelta(seconds=5))
    _judge(place).look()
    assert _state(place) == State.RUNNING
    later = replace(place, clock=lambda: AT + timedelta(seconds=6))
    _judge(later).look()
    assert _state(place) == State.ROLLED_BACK


def test_who_gives_a_lease_back_gives_its_own(place: Workspace) -> None:
    """Nobody takes what another holds."""
    lasts = timedelta(seconds=5)
    assert leases.hold(place.database, "x", "one", AT, lasts)
    leases.give_back(place.database, "x", "two")
    assert not leases.hold(place.database, "x", "two", AT, lasts)
    leases.give_back(place.database, "x", "one")
    assert leases.hold(place.database, "x", "two", AT, lasts)


def test_what_cannot_be_read_holds(place: Workspace, kept: Kept) -> None:
    """Never advance on what is not known."""
    _append(place, [_decided(1, is_candidate=True, seen={})])
    _judge(place).look()
    assert _state(place) == State.HELD
    case = Case(place.database, kept.release)
    case.follow()
    assert "KeyError in look 1" in case.unread


def test_a_store_that_is_away_changes_nothing(place: Workspace, kept: Kept) -> None:
    """The judge tells it and tries again."""

    def away() -> datetime:
        raise FunnelcastError("the store is away")

    found = _judge(replace(place, clock=away))
    found.look()
    assert found.error == "the store is away"
    assert _state(place) == State.RUNNING


def test_verdicts_move_what_may_be_moved(kept: Kept) -> None:
    """A paused release may be undone and goes on only by a person; one that waits stays."""
    every = {action: judge.Verdict(action=action, why="so") for action in Action}

    def after(of: Release) -> list[State | None]:
        found = [following(of, every[action], AT) for action in Action]
        return [each.state if each else None for each in found]

    running = [State.RUNNING, None, State.HELD, State.ROLLED_BACK]
    assert after(kept.release.model_copy(update={"step": 0})) == running
    paused = kept.release.paused("lunch")
    assert isinstance(paused, Release)
    assert after(paused) == [None, None, None, State.ROLLED_BACK]
    assert following(kept.release, every[Action.ADVANCE], AT).state == State.AWAITING  # type: ignore[union-attr]


def test_who_moved_it_meanwhile_is_not_overrun(place: Workspace, kept: Kept) -> None:
    """The verdict falls on what it was of."""
    _append(place, _failing(300))
    case = Case(place.database, kept.release)
    case.read_on(AT)
    paused = kept.release.paused("lunch")
    assert isinstance(paused, Release)
    assert isinstance(store.put(place, paused, kept, **SAID), store.Kept)
    verdict, after = ruled(place, kept, case, AT)
    assert verdict.action == Action.ROLLBACK
    assert after == kept
    assert _state(place) == State.PAUSED


def test_an_open_breaker_is_one_incident(kept: Kept) -> None:
    """Its accounts say nothing of which arm is worse, only of the share that is answered so."""
    bodies = [_decided(n, is_candidate=True, cause="breaker_open") for n in range(40)]
    seen = told.told(kept.release, [_said(each) for each in bodies])
    found = _folded(seen, kept.release)
    assert found.which["fallbacks"].events == 0
    assert found.above["fallbacks"].events == 40


def _instead(n: int, **more: Any) -> dict[str, Any]:
    """Return what a judge reads of an override of a decision of the candidate."""
    decided = _decided(n, is_candidate=True)
    said = {"account": f"account-{n}", "reviewed": False, "fallback": None}
    return {**said, "basis": decided["basis"], "release": decided["release"], **more}


def test_overrides_are_read_and_hold(
    place: Workspace, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty accounts of the candidate, whose decisions need not be read for it. The mutant does not
    read overrides, as none was once.
    """
    _append(place, [_instead(n) for n in range(40)], told.OVERRIDDEN)
    with monkeypatch.context() as patched:
        patched.setattr("serving.judging.case.KINDS", told.KINDS[:-1])
        deaf = Case(place.database, kept.release)
        deaf.read_on(AT)
    assert deaf.evidence.which["overrides"].events == 0
    found = _judge(place)
    found.look()
    why = found.verdicts["lead_qualification"].why
    assert why.startswith("overrides more often in the candidate (40 events")
    assert _state(place) == State.HELD


@pytest.mark.parametrize(
    "more",
    [
        {"reviewed": True},
        {"fallback": "breaker_open"},
        {"release": None},
        {"basis": {"target": "deal_outcome@1"}},
    ],
    ids=["left to a person", "an incident", "of no release", "of another target"],
)
def test_an_override_that_says_nothing_of_the_arms_is_not_counted(
    kept: Kept, more: dict[str, Any]
) -> None:
    """One as any other is: the mutant of each form."""
    bodies = [_instead(n, **more) for n in range(40)]
    seen = _folded(
        told.told(kept.release, [_said(b, told.OVERRIDDEN) for b in bodies]), kept.release
    )
    assert seen.which["overrides"].events == 0
    plain = [_said(_instead(n), told.OVERRIDDEN) for n in range(40)]
    assert _folded(told.told(kept.release, plain), kept.release).which["overrides"].events == 40


def test_outcomes_are_pairs_where_both_scored(kept: Kept) -> None:
    """And business outcomes of either arm."""
    row = {"entity": "lead-1", "account": "a", "arm": "stable", "share": 0.05, "outcome": True}
    rows = [row | {"stable": 0.2, "shadow": 0.3}, row | {"stable": 0.2, "shadow": None}]
    body = {"release": kept.release.key, "rows": rows}
    seen = told.told(kept.release, [_said(body, told.OUTCOMES)])
    assert (len(seen.pairs), len(seen.matured)) == (1, 2)
    none = told.told(kept.release, [_said(body | {"release": "x/r1"}, told.OUTCOMES)])
    assert (len(none.pairs), len(none.matured)) == (0, 0)


def _said(body: dict[str, Any], kind: str = told.DECISION) -> Said:
    return Said(kind, AT, body)


def _folded(seen: told.Told, of: Release) -> Evidence:
    found = Evidence()
    seen.into(found, of)
    return found


@pytest.mark.drill
@pytest.mark.parametrize("kills", [1, 20])
def test_a_killed_judge_comes_to_the_same_verdict(place: Workspace, kept: Kept, kills: int) -> None:
    """SIGKILL while it looks, again and again: nothing is counted twice or left out."""
    child = [sys.executable, "-m", "tests.serving.child_judge"]
    home = str(place.settings.home)
    for kill in range(kills):
        _append(place, _failing(40, kill * 40))
        started = subprocess.Popen([*child, home], stdout=subprocess.PIPE)
        assert started.stdout is not None
        with closing(started.stdout) as told_by:
            told_by.readline()  # it looks by now
            started.kill()
        started.wait()
    whole = Case(place.database, kept.release)
    whole.read_on(AT)
    assert whole.evidence.which["errors"].events == kills * 4
    done = subprocess.run([*child, home, "once"], capture_output=True, check=True, text=True)
    assert done.stdout.splitlines()[-1] == plain(whole.evidence)

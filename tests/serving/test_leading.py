"""Where a release stands: looks are counted once and within a time, and replicas are waited for."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING

import pytest

from cluster.settings import Settings
from cluster.workspace import Workspace
from serving.judging.case import Case
from serving.leading import followers, moments, standing
from serving.slots import releases, replicas
from serving.slots.replicas import Replica
from tests.serving.judged_releases import AT, TARGET, begun, decide
from tests.serving.simulated_releases import BEGAN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REF = releases.ref_of(TARGET)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workspace]:
    """An empty workspace."""
    with Workspace.open(Settings(home=tmp_path / "home"), clock=lambda: AT) as opened:
        yield opened


def _looked(place: Workspace, looks: int) -> releases.Kept:
    """Return a release that was looked at so often."""
    kept = begun(place)
    case = Case(place.database, kept.release)
    for look in range(looks):
        decide(place, 20, fails=True, first=look * 20)
        case.read_on(AT)
    return kept


def test_looks_are_counted_within_a_time(place: Workspace) -> None:
    """What is left is counted when asked again, and comes to the same as all at once."""
    kept, ticks = _looked(place, 6), count()
    cases = standing.Cases(place.database, budget_s=3.0, monotonic=lambda: float(next(ticks)))
    first, second, third = (cases.read(kept.release, AT) for _ in range(3))
    assert first and second and third
    assert [each.is_whole for each in (first, second, third)] == [False, False, True]
    assert [each.look for each in (first, second, third)] == [2, 5, 6]
    whole = Case(place.database, kept.release)
    whole.follow()
    assert third == standing.judged(whole, kept.release, AT)
    assert next(f for f in third.findings if f.guard == "errors").events == 12


def test_reading_takes_no_look(place: Workspace) -> None:
    """Only the judge looks on: what is asked by others is seen when it did."""
    kept = _looked(place, 1)
    decide(place, 20, fails=True, first=100)
    seen = standing.Cases(place.database).read(kept.release, AT)
    assert seen is not None
    assert seen.look == 1
    Case(place.database, kept.release).read_on(AT)
    assert Case(place.database, kept.release)._looks.behind(1) != []


def test_who_counts_is_not_waited_for(place: Workspace) -> None:
    """Another's question is answered without what is being counted."""
    kept = _looked(place, 1)
    cases = standing.Cases(place.database, budget_s=0.01)
    with cases._working:
        assert cases.read(kept.release, AT) is None
    assert cases.read(kept.release, AT) is not None


def test_a_new_release_is_another_case(place: Workspace) -> None:
    """What was seen of the one before is not counted for it."""
    kept = _looked(place, 1)
    cases = standing.Cases(place.database)
    assert cases.read(kept.release, AT).look == 1  # type: ignore[union-attr]
    other = kept.release.model_copy(update={"id": "r2"})
    assert cases.read(other, AT).look == -1  # type: ignore[union-attr]


def _says(place: Workspace, name: str, epoch: int, why: str = "", *, age_s: float = 0.0) -> None:
    refused = {REF: why} if why else {}
    at = AT - timedelta(seconds=age_s)
    said = Replica(replica=name, epochs={REF: epoch}, refused=refused, at=at)
    replicas.report(place.database, said)


def _look(place: Workspace, epoch: int = 2) -> Callable[[], followers.Followers]:
    return lambda: followers.followers(place.database, TARGET, epoch, AT)


def test_replicas_are_waited_for_until_all_have_come(place: Workspace) -> None:
    """No longer than that; one that is gone is not waited for, nor one that follows others."""
    _says(place, "one", 2)
    _says(place, "two", 1)
    _says(place, "gone", 1, age_s=60)
    replicas.report(place.database, Replica(replica="other", epochs={"x": 1}, refused={}, at=AT))
    waits = count(1)

    def sleep(_: float) -> None:
        if next(waits) == 3:
            _says(place, "two", 2)

    found, took = followers.awaited(_look(place), sleep=sleep)
    assert next(waits) == 4
    assert (found.following, len(found.every), found.behind) == (2, 2, ())
    assert followers.told(found, 0.6) == ["followed by 2 of 2 replicas in 0.6 s"]
    assert took < followers.WAIT_S


def test_who_does_not_follow_is_named(place: Workspace) -> None:
    """After the time that is waited; and who refuses, why."""
    _says(place, "one", 1)
    _says(place, "two", 2, "the model is away")
    ticks = count()
    found, took = followers.awaited(
        _look(place), sleep=lambda _: None, monotonic=lambda: float(next(ticks))
    )
    assert took >= followers.WAIT_S
    assert followers.told(found, took) == [
        f"followed by 0 of 2 replicas in {took:.1f} s",
        "one does not follow yet",
        "two refuses: the model is away",
    ]


def test_no_replica_is_no_follower(place: Workspace) -> None:
    """It is said, not waited for."""
    found, took = followers.awaited(_look(place), sleep=lambda _: pytest.fail("it waits"))
    assert followers.told(found, took) == ["no replica is alive: what starts follows"]


def test_what_was_live_at_any_moment(place: Workspace) -> None:
    """The shares of each move, from its moment on."""
    kept = begun(place, step=1)
    gone = kept.release.rolled_back("no")
    after = releases.put(place, gone, kept, actor="ada", reason="a test", now=AT)  # type: ignore[arg-type]
    assert isinstance(after, releases.Kept)
    instant = timedelta(microseconds=1)

    def shares(at: object) -> list[tuple[str, float]]:
        live = moments.live(place, TARGET, "lead_routing", at)  # type: ignore[arg-type]
        return [(arm.arm, arm.share) for arm in live.arms]

    assert shares(BEGAN - instant) == [("stable", 1.0)]
    assert shares(BEGAN) == shares(AT - instant) == [("stable", 0.99), ("candidate", 0.01)]
    assert shares(AT) == [("stable", 1.0)]

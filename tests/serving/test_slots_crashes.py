"""What a process died in is read by the others, once; the release is held, then rolled back."""

from __future__ import annotations

import fcntl
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cluster.errors import Refusal
from cluster.workspace import Workspace
from serving.registry import alias
from serving.releases.release import Release, State
from serving.slots import crashes, inflight, policies
from serving.slots import releases as store
from serving.slots.inflight import CELLS, Mark, Marks, during
from serving.slots.releases import Kept
from tests.serving.simulated_releases import BEGAN, BLUE, release

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cluster.settings import Settings

TARGET = "lead_qualification"
SAID: Any = {"actor": "ada", "reason": "a test", "now": BEGAN}
MARK = Mark(target=TARGET, release="r1", epoch=1, arm="candidate")


@pytest.fixture
def there(settings: Settings) -> Iterator[Workspace]:
    """Open a workspace in which BLUE answers."""
    with Workspace.open(settings, clock=lambda: BEGAN) as opened:
        for name, to in (
            (alias(TARGET), BLUE.model),
            (policies.ref_of("lead_routing"), BLUE.policy),
        ):
            assert not isinstance(opened.refs.move(name, to=to, expect_epoch=0, **SAID), Refusal)
        yield opened


def _died(home: Path, *marks: Mark) -> Path:
    """Leave what a process leaves that dies in calls: the kernel takes its lock back."""
    made = Marks(home)
    for mark in marks:
        during(made, mark).__enter__()
    made._file.close()
    return made._path


def _put(there: Workspace, after: Release | Refusal, before: Kept | None = None) -> Kept:
    assert isinstance(after, Release)
    found = store.put(there, after, before, **SAID)
    assert isinstance(found, Kept), str(found)
    return found


def _now(there: Workspace) -> Kept:
    found = store.current(there, TARGET)
    assert found is not None
    return found


def _unheard(there: Workspace) -> Refusal | None:
    ref = there.refs.get(store.ref_of(TARGET))
    assert ref is not None
    return crashes.unheard(there, _now(there).release, ref)


def _crashes(there: Workspace) -> list[dict[str, Any]]:
    return [entry.body for entry in there.journal.entries(crashes.KIND)]


def test_what_a_process_died_in_is_read_when_it_is_gone(tmp_path: Path) -> None:
    """Not while it lives, nor what it came back from, nor of one that ended in order."""
    living = Marks(tmp_path)
    with during(living, MARK):
        assert list(inflight.left(tmp_path)) == []
        path = _died(tmp_path, MARK, replace(MARK, arm="shadow-1"))
        (found,) = inflight.left(tmp_path)
        assert found.process == path.name
        assert {mark.arm for mark in found.calls} == {"candidate", "shadow-1"}
        found.forget()
    living._file.close()
    with closing(Marks(tmp_path)) as other, during(other, MARK):
        pass
    assert list(inflight.left(tmp_path)) == []
    assert list(inflight.of_this_boot(tmp_path).iterdir()) == []


def test_without_the_lock_the_living_would_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant."""
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    living = Marks(tmp_path)
    with during(living, MARK):
        assert [each.calls for each in inflight.left(tmp_path)] == [(MARK,)]


def test_a_machine_that_went_down_says_nothing(tmp_path: Path) -> None:
    """Whatever its processes were in; nor does a file that was not written to its end."""
    path = _died(tmp_path, MARK)
    other = tmp_path / inflight.FOLDER / "another-boot"
    other.mkdir()
    path.rename(other / path.name)
    (inflight.of_this_boot(tmp_path) / "torn").write_bytes(b'{"target": "lead_qual')
    assert list(inflight.left(tmp_path)) == []


def test_a_mark_costs_little_and_none_is_lost_among_threads(tmp_path: Path) -> None:
    """And when more calls hang than there is room for, the next are made all the same."""
    with closing(Marks(tmp_path)) as marks:

        def call(_: int) -> None:
            for _ in range(500):
                with during(marks, MARK):
                    pass

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(call, range(8)))
        assert len(marks._free) == CELLS
        began = time.process_time()
        call(0)
        assert time.process_time() - began < 0.1  # 200 microseconds each: a hundred times too much
        for _ in range(CELLS):
            during(marks, MARK).__enter__()
        with during(marks, MARK):
            assert marks._free == []


def test_one_death_holds_the_release_and_the_second_undoes_it(there: Workspace) -> None:
    """Each is on record once, with the move that followed; between them a person let it run."""
    home = there.settings.home
    _put(there, release())
    assert _unheard(there) is None
    _died(home, MARK, MARK)
    for _ in range(2):
        crashes.tell(there)
    held = _now(there)
    assert (held.release.state, held.actor, held.epoch) == (State.HELD, "service", 2)
    assert "1 process ended" in held.release.why
    assert "must leave the process alive" in str(_unheard(there))
    _put(there, held.release.resumed("it was me", BEGAN), held)
    assert _unheard(there) is None
    crashes.tell(there)
    assert _unheard(there) is None
    _died(home, replace(MARK, epoch=3))
    crashes.tell(there)
    assert (_now(there).release.state, _now(there).reason) == (
        State.ROLLED_BACK,
        "2 processes ended within a call of its candidate",
    )
    assert [each["since"] for each in _crashes(there)] == [2, 4]
    assert there.journal.verify()


@pytest.mark.parametrize("state", [State.PAUSED, State.AWAITING])
def test_one_that_stands_moves_too_so_that_all_hear_of_it(there: Workspace, state: State) -> None:
    """It stays as it is, and is not taken."""
    kept = _put(there, release().model_copy(update={"state": state}))
    _died(there.settings.home, MARK)
    crashes.tell(there)
    assert (_now(there).release.state, _now(there).epoch) == (state, kept.epoch + 1)
    assert _unheard(there) is not None


def test_of_one_that_is_over_there_is_an_entry_alone(there: Workspace) -> None:
    """Of one that was promoted too, and of one that is not known here."""
    kept = _put(there, release().model_copy(update={"state": State.ABORTED}))
    _died(there.settings.home, MARK)
    _died(there.settings.home, replace(MARK, release="r9"))
    _died(there.settings.home, replace(MARK, target="opportunity_win"))
    crashes.tell(there)
    assert _now(there) == kept
    assert len(_crashes(there)) == 3
    assert {each["actor"] for each in _crashes(there)} == {"service"}


def test_several_that_look_at_once_tell_it_once(there: Workspace) -> None:
    """Also when two read one file: its entry has the name of the process that died."""
    _put(there, release())
    path = _died(there.settings.home, MARK)
    said = path.read_bytes()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(crashes.tell, [there] * 6))
    path.write_bytes(said)  # as one sees it who opened it before it was forgotten
    crashes.tell(there)
    assert (len(_crashes(there)), _now(there).epoch) == (1, 2)


def test_who_moves_it_meanwhile_does_not_save_it(
    there: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A judge that goes on at that moment: it is held at the next step."""
    first = _put(there, release())
    honest = store.put

    def overtaken(*given: Any, **more: Any) -> Any:
        monkeypatch.setattr(store, "put", honest)
        _put(there, first.release.advanced("well", BEGAN + timedelta(hours=1)), first)
        return honest(*given, **more)

    monkeypatch.setattr(store, "put", overtaken)
    _died(there.settings.home, MARK)
    crashes.tell(there)
    assert (_now(there).release.state, _now(there).release.step) == (State.HELD, 1)
    assert _unheard(there) is not None
    assert len(_crashes(there)) == 1


def test_a_tell_that_fails_is_told_again(there: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file stays until its entry is durable; forgotten before, the crash would be lost."""
    _put(there, release())
    path = _died(there.settings.home, MARK)
    with monkeypatch.context() as away:
        away.setattr(store, "put", _away)
        with pytest.raises(OSError, match="away"):
            crashes.tell(there)
    assert path.exists()
    crashes.tell(there)
    assert (_now(there).release.state, path.exists()) == (State.HELD, False)


def _away(*_: Any, **__: Any) -> Any:
    raise OSError("away")

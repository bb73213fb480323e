"""What a person sees of a release: what the judge says, who follows, and a page of evidence."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from cluster.settings import Settings
from cluster.workspace import Workspace
from jobs.release import gather, page, tables
from jobs.release import run as story
from jobs.release.run import ReleaseSettings, run
from serving.judging.case import Case
from serving.leading.begun import ReleaseRefused
from serving.releases.evidence import HAPPENS
from serving.releases.release import State
from serving.slots import releases, replicas
from serving.slots.replicas import Replica
from tests.serving.judged_releases import AT, TARGET, begun, decide

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jobs.console import Report


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workspace]:
    """An empty workspace, whose clock stands a minute after the release began."""
    with Workspace.open(Settings(home=tmp_path / "home"), clock=lambda: AT) as opened:
        yield opened


def _do(place: Workspace, action: str, **more: Any) -> Report:
    return run(place, ReleaseSettings(action=action, target=TARGET, **more), lambda *_: None)


def _says(report: Report, guard: str) -> str:
    rows = report.figures["findings"]
    return next(row["says"] for row in rows if row["guard"] == guard)  # type: ignore[attr-defined, no-any-return]


def test_a_bad_candidate_is_undone_by_one_look(place: Workspace) -> None:
    """In the name of who looks, and with what spoke."""
    begun(place)
    decide(place, 300, fails=True)
    told = _do(place, "judge", actor="eve")
    assert told.wrote == {"release": "r1", "state": "rolled_back"}
    assert told.decided[0].startswith("rollback: errors more often in the candidate (30 events")
    assert told.decided[-1] == "no replica is alive: what starts follows"
    assert told.table is not None
    assert list(told.table.columns) == ["guard", "evidence", "events", "says"]
    assert _says(told, "errors") == "alarm: rollback"
    found = releases.current(place, TARGET)
    assert found is not None
    assert (found.release.state, found.actor) == (State.ROLLED_BACK, "eve")
    with pytest.raises(ReleaseRefused, match="must be open to be judged, got rolled_back"):
        _do(place, "judge")


def test_an_even_one_stays(place: Workspace) -> None:
    """Nothing is written; what it waits for is said."""
    begun(place)
    decide(place, 300, fails=False)
    told = _do(place, "judge", actor="eve")
    assert (told.wrote, told.decided[-1]) == ({}, "it stays where it is")
    assert told.decided[0].startswith("wait: the step lasts 59.0 minutes more; 30 of 100 accounts")
    assert _says(told, "errors") == "nothing seen"


def test_status_tells_without_looking_on(place: Workspace) -> None:
    """What a look has seen; how many outcomes are missing; who follows."""
    kept = begun(place)
    decide(place, 300, fails=True)
    told = _do(place, "status")
    assert _says(told, "errors") == "nothing seen"
    Case(place.database, kept.release).read_on(AT)
    ref = {releases.ref_of(TARGET): kept.epoch}
    replicas.report(place.database, Replica(replica="one", epochs=ref, refused={}, at=AT))
    told = _do(place, "status")
    assert _says(told, "errors") == "alarm: rollback"
    assert re.fullmatch(r"not enough evidence, needs about [\d,]+ more", _says(told, "outcome"))
    assert told.decided[1].startswith("judge: rollback: errors more often")
    assert told.decided[2] == "followed by 1 of 1 replicas"
    assert releases.current(place, TARGET) == kept


def test_both_tables_of_a_status_are_printed(
    place: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its steps, and what each guard says."""
    begun(place)
    story.tell(_do(place, "status").as_dict())
    said = capsys.readouterr().out
    assert "here, running" in said
    assert "not enough evidence" in said
    story.tell(_do(place, "history").as_dict())
    assert "guard" not in capsys.readouterr().out


def test_a_change_waits_for_the_replicas(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which are told to have followed, or named."""
    kept = begun(place)
    ref = releases.ref_of(TARGET)
    said = Replica(replica="one", epochs={ref: kept.epoch + 1}, refused={}, at=AT)
    replicas.report(place.database, said)
    told = _do(place, "pause", actor="ada", reason="lunch")
    assert re.fullmatch(r"followed by 1 of 1 replicas in \d\.\d s", told.decided[-1])
    monkeypatch.setattr("serving.leading.followers.awaited.__kwdefaults__", {"wait_s": 0.0} | _NOW)
    told = _do(place, "resume", actor="ada", reason="back")
    assert told.decided[-2:] == ["followed by 0 of 1 replicas in 0.0 s", "one does not follow yet"]


_NOW: dict[str, Any] = {"sleep": lambda _: None, "monotonic": lambda: 0.0}


def _page(place: Workspace, id: str | None = None) -> str:
    return page.render(gather.dossier(place, TARGET, id))


def test_the_page_tells_the_whole_story(place: Workspace, tmp_path: Path) -> None:
    """State and why, every move, every guard, the curve of what spoke, and both arms."""
    begun(place, reason="<script>alert(1)</script>")
    decide(place, 300, fails=True)
    _do(place, "judge", actor="eve")
    to = tmp_path / "page.html"
    assert _do(place, "page", to=str(to)).wrote["page"] == str(to)
    html = to.read_text()
    assert "<h1>Release r1 of lead qualification: rolled back</h1>" in html
    assert "Rolled back at step 3 of 6" in html
    assert html.count("<li") == 2
    assert all(f"<td>{name}</td>" in html for name in (*HAPPENS, "split", "outcome"))
    assert html.count('<tr class="alarm">') == 4
    assert "Errors more often in the candidate: evidence over 1,000,000 of 5,000" in html
    assert "rolled back by eve, by its evidence" in html
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert set(re.findall(r"(?:src|href)=\"([^#\"]+)", html)) == set()


def test_a_release_of_a_moment_ago_has_a_page(place: Workspace) -> None:
    """Nothing was seen of it, and nothing is drawn empty."""
    begun(place)
    html = _page(place)
    assert "No evidence against it" not in html
    assert "Nothing was seen for: errors, errors (ceiling)" in html
    assert html.count("<figure") == 1


def test_an_older_release_has_its_own_page(place: Workspace) -> None:
    """By its id; one that is not there is refused with those that are."""
    kept = begun(place)
    ended = kept.release.aborted("too soon")
    after = releases.put(place, ended, kept, actor="ada", reason="a test", now=AT)  # type: ignore[arg-type]
    second = kept.release.model_copy(update={"id": "r2"})
    assert isinstance(after, releases.Kept)
    releases.put(place, second, after, actor="ada", reason="a test", now=AT)
    assert "Release r2" in _page(place)
    assert "aborted by ada, by hand: too soon" in _page(place, "r1")
    with pytest.raises(ReleaseRefused, match="got 'r9': there are r1, r2"):
        _page(place, "r9")


def test_a_long_curve_is_thinned_evenly() -> None:
    """However long; with the first point and the last."""
    kept = gather.Thinned(most=40)
    every = [gather.Point(at=AT + timedelta(seconds=n), findings=()) for n in range(10_000)]
    for point in every:
        kept.see(point if kept.wants else None)
    found = kept.points(every[-1])
    assert 20 <= len(found) <= 40
    assert (found[0], found[-1]) == (every[0], every[-1])
    gaps = {b.at - a.at for a, b in pairwise(found[:-1])}
    assert len(gaps) == 1


def test_every_look_of_a_short_curve_is_drawn(place: Workspace) -> None:
    """One point after each, and none twice."""
    kept = begun(place)
    case = Case(place.database, kept.release)
    for look in range(5):
        at = AT + timedelta(seconds=look)
        decide(place, 20, fails=True, first=look * 20, at=at)
        case.read_on(at)
    found = gather.dossier(place, TARGET, None)
    assert [point.at for point in found.points[1:]] == [
        AT + timedelta(seconds=look) for look in range(5)
    ]
    strengths = [point.findings[0].strength for point in found.points]
    assert strengths == sorted(strengths)
    assert strengths[-1] > strengths[0]


def test_what_a_guard_says_is_short(place: Workspace) -> None:
    """A waived alarm is one, and says so."""
    kept = begun(place)
    decide(place, 300, fails=True)
    case = Case(place.database, kept.release)
    case.read_on(AT)
    waived = kept.release.model_copy(update={"waived": ("errors",)})
    finding = case.verdict(waived, AT).findings[0]
    assert tables.says(finding, waived, None) == "alarm, waived"

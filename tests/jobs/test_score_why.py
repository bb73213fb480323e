"""Why a score moved: real scorings of a small company, whose causes are known."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cluster.errors import FunnelcastError, Refusal
from cluster.settings import Settings
from cluster.workspace import Workspace
from features import compute, log
from jobs.console import perform
from jobs.score import look
from serving import batch
from serving.moved import history, past, properties, replay, split, why
from serving.moved.retold import Span
from serving.moved.split import CAUSES
from tests.jobs import scoring as shared
from tests.jobs.scoring import BENT, NAME, NOW, PLAIN, THEN, VIEWS, Company

if TYPE_CHECKING:
    from pathlib import Path

    from serving.moved.why import Answer

TABLE = f"scores_{NAME}"
type Asked = tuple[split.Side, split.Side, split.Looks]
type Told = tuple[list[history.Told], history.Asked]

FEW = 8  # entities, where a few will do
ROUTES = [
    {"route": "work", "at_least": 0.4, "reason": "likely"},
    {"route": "leave", "at_least": 0, "reason": "unlikely"},
]


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """Return a company that was scored as of THEN, then learnt, was trained and routed anew, and
    was scored as of NOW.
    """
    folder = tmp_path_factory.mktemp("why")
    with Workspace.open(Settings(home=folder / "home", buckets=2)) as workspace:
        made = shared.company(workspace, folder)
        made.learn(shared.known(THEN))
        made.train(made.look(THEN))
        made.score()
        made.learn(shared.known(NOW))
        made.declare(views=list(VIEWS))
        made.train(made.look(NOW), BENT, seed=2)
        made.route(routes=ROUTES)
        made.score()
        yield made


@pytest.fixture(scope="module")
def both(company: Company) -> tuple[Answer, Asked]:
    """Return why all scores moved, and what was asked of the pure function."""
    given: list[Asked] = []

    def listening(*what: Any) -> list[split.Moved]:
        given.append(what)
        return split.split(*what)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(why, "split", listening)
        return _asked(company), given[0]


@pytest.fixture(scope="module")
def answer(both: tuple[Answer, Asked]) -> Answer:
    """Return why all scores moved."""
    return both[0]


@pytest.fixture(scope="module")
def asked(both: tuple[Answer, Asked]) -> Asked:
    """Return both sides, and all looks."""
    return both[1]


def _moved(answer: Answer) -> list[split.Moved]:
    return [each.moved for each in answer.whys]


def _asked(company: Company, top: int = 999) -> Answer:
    found = why.why(
        company.workspace, company.target, why.moves(company.workspace, company.target, top)
    )
    assert not isinstance(found, Refusal)
    return found


def _wrong(company: Company, answer: Answer) -> list[str]:
    """Return what is not as promised: ends that are other scores, parts that do not add up."""
    ends = [
        batch.frame(company.workspace, company.target, s).set_index("entity")
        for s in (answer.then, answer.now)
    ]
    wrong = []
    for moved in (each.moved for each in answer.whys):
        for point, scores in zip((moved.before, moved.after), ends, strict=True):
            kept = scores.loc[moved.entity]
            if (
                abs(point.probability - kept["probability"]) > 2**-51
                or point.route != kept["route"]
            ):
                wrong.append(f"{moved.entity}: another score")
        for name in ("probability", "logit"):
            parts = [getattr(part, name) for part in moved.parts]
            change = getattr(moved.after, name) - getattr(moved.before, name)
            if {change} != {sum(some) for some in (parts, parts[::-1], sorted(parts))}:
                wrong.append(f"{moved.entity}: {name}")
    return wrong


def _causes(moved: Iterable[split.Moved]) -> set[str]:
    """Return the causes that did anything to any score."""
    return {part.cause for each in moved for part in each.parts if not part.is_nothing}


def test_parts_add_up_to_the_change_of_every_score(company: Company, answer: Answer) -> None:
    """To the bit, in any order; both ends are the scores that were committed."""
    assert len(answer.whys) > 15
    assert not answer.unsplit
    assert _wrong(company, answer) == []


def test_every_cause_is_found(answer: Answer) -> None:
    """The policy moves no score, only routes."""
    assert _causes(_moved(answer)) == set(CAUSES) - {"policy"}
    assert any("policy" in each.moved.rerouted_by for each in answer.whys)
    policy = [part for each in answer.whys for part in each.moved.parts if part.cause == "policy"]
    assert all(part.is_nothing for part in policy)


@pytest.mark.parametrize("left_out", range(1, 7))
def test_a_step_that_is_left_out_is_noticed(
    answer: Answer, asked: Asked, monkeypatch: pytest.MonkeyPatch, left_out: int
) -> None:
    """Mutant: what is said before a step is said again after it."""
    (before, after, looks), cause = asked, CAUSES[left_out - 1]
    stages, whole = split._stages, split.split(before, after, looks)
    assert whole == [each.moved for each in answer.whys]

    def skipping(*given: Any) -> Iterator[Any]:
        found = list(stages(*given))
        found[left_out] = found[left_out - 1]
        yield from found

    monkeypatch.setattr(split, "_stages", skipping)
    found = split.split(before, after, looks)
    if cause == "policy":
        assert [each.after for each in found] != [each.after for each in whole]
    else:
        assert cause in _causes(whole)
        assert cause not in _causes(found)


@pytest.fixture(scope="module")
def told(company: Company) -> Told:
    """Return what the log says of all entities that were scored twice."""
    workspace, target = company.workspace, company.target
    then, now = (c.snapshot for c in workspace.tables.history(TABLE)[:2])
    made = [past.made(workspace, TABLE, snapshot) for snapshot in (then, now)]
    rows = workspace.tables.read(f"scoring_{NAME}", made[1].rows.snapshot)
    asked = history.Asked(
        target=target,
        view=made[0].view,
        entities=why.moves(workspace, target, 999),
        accounts=rows["account"].to_pylist(),
        span=Span(then=THEN, now=NOW),
        log_then=made[0].events,
        log_now=made[1].events,
    )
    return history.told(workspace, asked), asked


def test_rows_told_again_are_those_of_the_whole_log(company: Company, told: Told) -> None:
    """Oracle: the visible log, unfiltered and undivided, known when it happened."""
    parts, asked = told
    events = log.visible(company.workspace.tables.read(log.TABLE, asked.log_now), NOW)
    events = events.set_column(
        events.schema.get_field_index("known_at"), "known_at", events["event_time"]
    )
    earlier = events.filter(pc.less(events["event_time"], pa.scalar(THEN, log.MICROSECONDS)))
    for way, seen, at in (
        ("told", earlier, THEN),
        ("passed", earlier, NOW),
        ("came", events, NOW),
    ):
        ours = pa.concat_tables([getattr(each.rows, way) for each in parts]).sort_by("entity")
        times = pa.array([at] * ours.num_rows, log.MICROSECONDS)
        spine = ours.select(["entity", "account"]).append_column("time", times)
        theirs = compute.compute(asked.view, seen.select(compute.COLUMNS), spine)
        assert ours.equals(theirs.cast(ours.schema)), way


def test_rows_of_now_are_those_that_were_scored(company: Company, told: Told) -> None:
    """The old view, over all that is known: what is in both views has the same values."""
    parts, asked = told
    ours = pa.concat_tables([each.rows.came for each in parts]).sort_by("entity")
    kept = company.workspace.tables.read(f"scoring_{NAME}").sort_by("entity")
    kept = kept.filter(pc.is_in(kept["entity"], value_set=ours["entity"].combine_chunks()))
    for name in ["account", "time", *asked.view.columns]:
        assert ours[name].to_pylist() == kept[name].to_pylist(), name


def test_events_that_came_are_named(answer: Answer, told: Told) -> None:
    """Late ones were known a day after THEN and happened before; new ones happened since."""
    shown = [event for each in answer.whys for event in each.events]
    late = [event for event in shown if event["came"] == "late"]
    assert {event["came"] for event in shown} == {"late", "new"}
    assert all(event["event_time"] < THEN < event["known_at"] for event in late)
    assert all(THEN <= e["event_time"] < NOW for e in shown if e["came"] == "new")
    touched = {each.moved.entity for each in answer.whys if each.moved.parts[0].logit}
    by_entity = {e: set(t["came"].to_pylist()) for each in told[0] for e, t in each.came.items()}
    assert all("late" in by_entity[entity] for entity in touched)


def test_what_the_log_held_then_need_not_be_kept(company: Company, told: Told) -> None:
    """Without that snapshot, events are told apart by when they were known: here the same."""
    parts, asked = told
    without = history.told(company.workspace, replace(asked, log_then=None))
    for ours, theirs in zip(parts, without, strict=True):
        assert {e: t.to_pylist() for e, t in ours.came.items()} == {
            e: t.to_pylist() for e, t in theirs.came.items()
        }


def test_those_that_came_or_left_are_told(company: Company) -> None:
    """No change can be told of them."""
    then, now = (c.snapshot for c in company.workspace.tables.history(TABLE)[:2])
    were, are = (
        set(batch.frame(company.workspace, company.target, s)["entity"]) for s in (then, now)
    )
    asked = [min(were - are), min(are - were), "nobody"]
    found = why.why(company.workspace, company.target, asked)
    assert not isinstance(found, Refusal)
    assert not found.whys
    assert [found.unsplit[each].split(":")[0] for each in asked] == [
        "is not open any more",
        "was scored for the first time",
        "was scored neither time",
    ]


def test_the_ones_that_moved_most_come_first(company: Company) -> None:
    """By the change of the probability, up or down."""
    scores = batch.frame(company.workspace, company.target).set_index("entity")
    size = scores.loc[why.moves(company.workspace, company.target, 5), "change"].abs()
    assert list(size) == sorted(scores["change"].abs().dropna(), reverse=True)[:5]


def test_a_score_that_does_not_come_out_again_is_no_base(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another model than the scores say. Mutant: nobody looks."""
    model = past._model
    bent = lambda workspace, id: replace(model(workspace, id), calibrator=BENT)  # noqa: E731
    monkeypatch.setattr(past, "_model", bent)
    with pytest.raises(why.NotReplayed, match="must come out again"):
        _asked(company, FEW)
    monkeypatch.setattr(why._Question, "_require_replayed", lambda *_: None)
    assert _wrong(company, _asked(company, FEW))


@pytest.mark.parametrize(
    ("is_gone", "named"),
    [
        ("model", "model [0-9a-f]{64}"),
        ("view", "view 'lead_engagement' in version 0123"),
        ("policy", "policy lead_routing@1"),
        ("rows", "snapshot 123 of 'scoring_lead_qualification'"),
        ("log", "snapshot 123 of 'events'"),
        ("scores", "scored twice"),
    ],
)
def test_an_input_that_is_gone_is_named(
    company: Company, monkeypatch: pytest.MonkeyPatch, is_gone: str, named: str
) -> None:
    """In one line, as a refusal."""
    of_table = company.workspace.tables.properties
    changes: dict[str, dict[str, str | None]] = {
        "model": {properties.MODEL: "0" * 64},
        "view": {properties.VIEW: "lead_engagement@0123"},
        "policy": {properties.ROUTING: None},
        "rows": {properties.ROWS: f"scoring_{NAME}@123"},
        "log": {log.MADE_FROM: "123"},
        "scores": {properties.PREVIOUS: None},
    }

    def changed(name: str, snapshot: int) -> dict[str, str]:
        said = dict(of_table(name, snapshot))
        for key, value in changes[is_gone].items():
            if key in said:
                said.pop(key)
                said |= {} if value is None else {key: value}
        return said

    monkeypatch.setattr(company.workspace.tables, "properties", changed)
    found = why.why(company.workspace, company.target, ["lead-1"])
    if is_gone == "log":  # it is asked for only when there is somebody to tell of
        entities = why.moves(company.workspace, company.target, 2)
        found = why.why(company.workspace, company.target, entities)
    assert isinstance(found, Refusal)
    assert re.search(named, str(found))


def _report(company: Company, **options: Any) -> dict[str, Any]:
    target = str(company.folder / "target.yaml")
    settings = look.LookSettings(action="why", target=target, **options)
    return perform(look.JOB, settings, company.workspace, lambda *_: None).report


def test_the_reasons_are_shown(company: Company, answer: Answer, tmp_path: Path) -> None:
    """As a table, as JSON that adds up, and as a page with pictures."""
    page = tmp_path / "why.html"
    report = _report(company, top=3, html=str(page))
    moved = [each.moved for each in answer.whys[:3]]
    assert [row[0] for row in report["table"]["data"]] == [each.entity for each in moved]
    for each, told in zip(moved, report["figures"]["moved"], strict=True):
        parts = [part["probability"] for part in told["parts"]]
        assert sum(parts) == each.after.probability - each.before.probability
    html = page.read_text()
    assert html.count("<svg") == 3
    assert "<script" not in html
    assert all(each.entity in html for each in moved)
    _report(company, top=3, html=str(page))
    assert page.read_text() == html


def test_one_entity_is_told_with_its_events(
    company: Company, answer: Answer, tmp_path: Path
) -> None:
    """One line each, for who asks for what is personal; their number for all."""
    first = next(each for each in answer.whys if each.count)
    report = _report(company, entity=first.moved.entity, clearance="personal")
    (told,) = report["figures"]["moved"]
    assert told["events_count"] == first.count
    newest = first.events[0]
    assert any(newest["name"] in line for line in report["decided"][1:])
    page = tmp_path / "why.html"
    report = _report(company, entity=first.moved.entity, html=str(page))
    (told,) = report["figures"]["moved"]
    assert (told["events_count"], told["events"]) == (first.count, [])
    assert report["decided"][1:] == [f"and {first.count:,} events, withheld"]
    assert newest["name"] not in page.read_text()


def test_an_input_that_is_gone_is_one_line(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1."""
    gone = Refusal(rule="a", value="b", remedy="c")
    monkeypatch.setattr(why, "why", lambda *_: gone)
    with pytest.raises(FunnelcastError, match="a, got b: c"):
        _report(company, top=1)


class _Alone:
    """A company that is scored again after one thing has changed."""

    def __init__(self, company: Company) -> None:
        self.company = company
        self.rows = company.look(THEN)
        self.company.train(self.rows)
        company.score()

    def after(self, change: Callable[[], object]) -> Answer:
        change()
        self.company.score()
        found = _asked(self.company)
        assert _wrong(self.company, found) == []
        assert len(found.whys) > 15
        return found


def _landed_late() -> pa.Table:
    """Return what happened and was not known by THEN as if it was, though it lands only now."""
    events = shared.world()
    before = pc.less(events["event_time"], pa.scalar(THEN - timedelta(days=2), log.MICROSECONDS))
    late = pc.greater(events["known_at"], pa.scalar(THEN, log.MICROSECONDS))
    mine = events.filter(pc.and_(before, late))
    known = np.minimum(log.microseconds(mine["known_at"]), round(THEN.timestamp() * 1e6))
    place = mine.schema.get_field_index("known_at")
    return mine.set_column(place, "known_at", pa.array(known).cast(log.MICROSECONDS))


@pytest.mark.drill
def test_each_cause_alone(tmp_path: Path) -> None:
    """One thing changes between two scorings; all parts but its own are zero."""
    with Workspace.open(Settings(home=tmp_path / "home", buckets=1)) as workspace:
        company = shared.company(workspace, tmp_path)
        company.append(shared.known(THEN))
        alone = _Alone(company)
        later = THEN + timedelta(hours=20)  # nothing is known between
        steps: Sequence[tuple[set[str], Callable[[], object]]] = [
            ({"time"}, lambda: company.look(later)),
            ({"model"}, lambda: company.train(alone.rows, seed=5)),
            ({"calibrator"}, lambda: company.train(alone.rows, BENT, seed=5)),
            (set(), lambda: company.route(routes=ROUTES)),
            ({"late_events"}, lambda: (company.append(_landed_late()), company.look(later))),
        ]
        found = [alone.after(change) for _, change in steps]
        assert [_causes(_moved(each)) for each in found] == [causes for causes, _ in steps]
        rerouted = [{c for e in each.whys for c in e.moved.rerouted_by} for each in found]
        assert rerouted[3] == {"policy"}
        assert all("policy" not in each for n, each in enumerate(rerouted) if n != 3)


def test_sums_are_exact_in_any_order() -> None:
    """On the grid; mutant: plain numbers, whose sums are rounded."""
    rng = np.random.default_rng(1)

    def is_exact(values: np.ndarray) -> bool:
        parts = np.diff(values).tolist()
        sums = {math.fsum(parts), *(sum(each) for each in permutations(parts))}
        return sums == {float(values[-1] - values[0])}

    for limit, bits in ((30.0, replay.LOGIT_BITS), (1.0, replay.PROBABILITY_BITS)):
        drawn = rng.uniform(-1 if limit > 1 else 0, 1, (20, 7)) ** 3 * limit
        assert all(is_exact(replay.on_grid(each, bits)) for each in drawn)
        assert not all(is_exact(each) for each in drawn)
        assert np.abs(replay.on_grid(drawn, bits) - drawn).max() <= 2.0 ** -(bits + 1)


def test_moments_are_those_of_the_rows(answer: Answer) -> None:
    """T of both scorings."""
    assert answer.span == (THEN, NOW)
    assert answer.span[0].astimezone(UTC) < datetime.now(UTC)
    assert PLAIN != BENT

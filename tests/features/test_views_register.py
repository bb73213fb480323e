"""Definitions of views are kept, read back only as what they were, and compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from cluster import canonical
from cluster.errors import WrongUse
from features import compute
from features.spine import SCORING
from features.views import VIEWS, document, register
from features.views import aggregates as a
from features.views.changes import changes, summary
from features.views.language import Events, View, Where

if TYPE_CHECKING:
    from cluster.workspace import Workspace

TOUCH = Events(kind="touch", where=(Where(column="number", at_least=3, below=60),))
VISIT = Events(kind="touch", names=("web_visit", "pricing_visit"), of="account")
NAMES: dict[str, Any] = {"label": "", "events": TOUCH}
FEATURES: tuple[a.Feature, ...] = (
    *(
        kind(name=kind.__name__.lower(), window_days=14, **NAMES)
        for kind in (a.Count, a.Sum, a.Mean, a.Min, a.Max, a.LastNumber, a.LastText, a.LastName)
    ),
    *(
        kind(name=kind.__name__.lower(), **NAMES)
        for kind in (a.FirstNumber, a.FirstText, a.FirstName, a.HoursSince, a.HoursSinceFirst)
    ),
    a.Distinct(name="distinct", label="", events=VISIT, column="text"),
    a.Ratio(name="ratio", per=Events(kind="touch", names=("email_opened",)), **NAMES),
    a.Share(name="share", names=("web_visit",), **NAMES),
    a.Trend(name="trend", window_days=7, than_days=30.5, **NAMES),
    a.Gap(name="gap", statistic="deviation", **NAMES),
    a.Streak(name="streak", period_days=1, **NAMES),
    a.Decay(name="decay", half_life_days=2.5, of="numbers", **NAMES),
    a.HoursIn(name="hours_in", names=("web_visit",), **NAMES),
    a.Transitions(name="transitions", before=("web_visit",), **NAMES),
    a.ResponseHours(name="response", answer=VISIT, statistic="max", label="", events=TOUCH),
    a.HoursUnanswered(name="unanswered", answer=replace(TOUCH, names=("email_replied",)), **NAMES),
    a.Silence(name="silence", **NAMES),
)
VIEW = View(
    name="every_aggregate",
    entity="lead",
    owner="test",
    description="One of each.",
    privacy="internal",
    features=FEATURES,
)


def _said(view: View = VIEW) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document.written(view))
    return found


def _spine() -> pa.Table:
    rows = [(f"lead-{k}", f"account-{k % 4}", 1_702_000_000_000_000) for k in range(12)]
    columns = zip(*rows, strict=True)
    return pa.table([pa.array(c) for c in columns], names=SCORING.names).cast(SCORING)


def test_the_example_has_every_aggregate_of_the_language() -> None:
    """So the tests here are about all of them."""
    assert {type(f).__name__ for f in FEATURES} == set(document.AGGREGATES)


@pytest.mark.parametrize("view", [VIEW, *VIEWS], ids=lambda view: view.name)
def test_a_view_reads_back_as_it_was(view: View) -> None:
    """Equal in every part, so that its version is too."""
    version, found = document.read(document.written(view))
    assert (version, found, found.version) == (view.version, view, view.version)


def test_an_old_version_computes_the_same_columns(
    workspace: Workspace, random_events: Callable[[int, int], pa.Table]
) -> None:
    """To the bit, after the definition was changed."""
    register.keep(workspace, [VIEW], "materialize", "first")
    register.keep(workspace, [replace(VIEW, features=FEATURES[:2])], "materialize", "second")
    old = register.load(workspace, VIEW.name, VIEW.version)
    events = random_events(5, 400)
    then, now = (compute.compute(view, events, _spine()) for view in (VIEW, old))
    assert then.schema == now.schema
    for name in VIEW.columns:
        pair = [_bits(table[name]) for table in (then, now)]
        assert pair[0] == pair[1]
    assert then["count"].to_pylist() != [0] * 12


def _bits(column: pa.ChunkedArray) -> list[object]:
    return [np.float64(v).tobytes() if isinstance(v, float) else v for v in column.to_pylist()]


WRONG: dict[str, Callable[[dict[str, Any]], None]] = {
    "no such aggregate": lambda said: said["features"][0].update(aggregate="Popen"),
    "a class of the language that is no aggregate": lambda said: said["features"][0].update(
        aggregate="View"
    ),
    "the base of all": lambda said: said["features"][0].update(aggregate="Feature"),
    "no aggregate": lambda said: said["features"][0].pop("aggregate"),
    "an unknown field": lambda said: said["features"][0].update(code="import os"),
    "a missing field": lambda said: said["features"][0].pop("events"),
    "a text for a number": lambda said: said["features"][0].update(window_days="seven"),
    "a flag for a number": lambda said: said["features"][0].update(window_days=True),
    "a text for a list": lambda said: said["features"][0]["events"].update(names="visit"),
    "a column that is none": lambda said: said["features"][13].update(column="password"),
    "a period that is none": lambda said: said["features"][18].update(period_days=2),
    "a condition that is none": lambda said: said["features"][0]["events"]["where"][0].update(
        one_of=["x"]
    ),
    "two features of a name": lambda said: said["features"].append(said["features"][0]),
    "another format": lambda said: said.update(format=2),
    "no version": lambda said: said.pop("version"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=list(WRONG))
def test_what_is_not_of_the_language_is_refused(wrong: Callable[[dict[str, Any]], None]) -> None:
    """With one line that says where."""
    said = _said()
    wrong(said)
    with pytest.raises(document.ViewBroken, match=r"^a stored view: [^\n]*$"):
        document.read(canonical.dumps(said))


def test_without_the_check_of_types_a_wrong_one_would_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusals rest on it."""
    said = _said()
    said["features"][0]["window_days"] = "seven"
    monkeypatch.setattr(document, "_fits", lambda hint, value: True)
    assert document.read(canonical.dumps(said))[1] != VIEW


def test_without_the_closed_list_another_class_would_be_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same of aggregates."""
    said = _said()
    said["features"][0]["aggregate"] = "Feature"
    monkeypatch.setitem(document.AGGREGATES, "Feature", a.Feature)
    assert type(document.read(canonical.dumps(said))[1].features[0]) is a.Feature


def test_bytes_that_are_no_document_are_refused() -> None:
    """Neither JSON nor a mapping."""
    for data in (b"{", b"[]", b'"view"'):
        with pytest.raises(document.ViewBroken):
            document.read(data)


def test_a_document_of_a_smaller_language_is_still_read() -> None:
    """A field that was not known then has its default; the version is the one of then."""
    plain = replace(VIEW, features=(a.Count(name="n", label="", events=Events(kind="touch")),))
    said = _said(plain)
    said["version"] = "of-then"
    del said["features"][0]["events"]["where"]
    assert document.read(canonical.dumps(said)) == ("of-then", plain)


def test_the_same_definition_is_kept_once(workspace: Workspace) -> None:
    """One move and one entry, however often it is used."""
    first = register.keep(workspace, VIEWS, "materialize", "x")
    assert register.keep(workspace, VIEWS, "materialize", "y") == first
    assert register.names(workspace) == sorted(view.name for view in VIEWS)
    for view in VIEWS:
        (made,) = register.history(workspace, view.name)
        assert (made.view, made.version, made.changes) == (view, view.version, ())
        assert (made.ref.actor, made.ref.reason) == ("materialize", "x")
    assert len(list(workspace.journal.entries(register.ENTRY))) == len(VIEWS)


def test_a_changed_definition_is_a_line_of_the_log(workspace: Workspace) -> None:
    """With what was added, removed and changed."""
    count = replace(FEATURES[0], window_days=30)
    new = replace(
        VIEW,
        owner="sales",
        features=(count, *FEATURES[2:], a.Count(name="calls", label="", events=VISIT)),
    )
    register.keep(workspace, [VIEW], "materialize", "first")
    register.keep(workspace, [new], "materialize", "second")
    words = [
        "owner: said (test -> sales)",
        "count: changed (window_days 14 -> 30)",
        "calls: added",
        "sum: removed",
    ]
    assert [change.words for change in register.history(workspace, VIEW.name)[1].changes] == words
    *_, entry = workspace.journal.entries(register.ENTRY)
    assert (entry.body["changes"], entry.body["version"]) == (words, new.version)
    assert register.load(workspace, VIEW.name, VIEW.version[:6]) == VIEW


def test_a_version_that_is_not_on_record_is_wrong_use(workspace: Workspace) -> None:
    """The nearest one is named."""
    register.keep(workspace, [VIEW], "materialize", "first")
    for version in (f"{VIEW.version[:-2]}__", ""):
        with pytest.raises(WrongUse, match=VIEW.version):
            register.load(workspace, VIEW.name, version)
    with pytest.raises(WrongUse, match="materialize rows of it first"):
        register.load(workspace, "other", VIEW.version)


def _die(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def _killed_before_the_journal(workspace: Workspace) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workspace.journal, "record", _die)
        with pytest.raises(KeyboardInterrupt):
            register.keep(workspace, [VIEW], "materialize", "first")


def test_a_move_that_was_not_journalled_is_journalled_by_the_next(workspace: Workspace) -> None:
    """Whoever moved the ref may have died before."""
    _killed_before_the_journal(workspace)
    register.keep(workspace, [VIEW], "materialize", "again")
    (entry,) = workspace.journal.entries(register.ENTRY)
    assert (entry.body["reason"], entry.body["version"]) == ("first", VIEW.version)


def test_without_the_second_look_it_would_be_missing(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above rests on it."""
    _killed_before_the_journal(workspace)
    monkeypatch.setattr(register, "_record", lambda *_: None)
    register.keep(workspace, [VIEW], "materialize", "again")
    assert not list(workspace.journal.entries(register.ENTRY))


def test_several_at_once_make_one_move(workspace: Workspace) -> None:
    """Of a new view and of a changed one."""
    for view in (VIEW, replace(VIEW, features=FEATURES[:3])):
        with ThreadPoolExecutor(4) as threads:
            calls = [
                threads.submit(register.keep, workspace, [view], "materialize", str(n))
                for n in range(4)
            ]
        assert len({call.result()[VIEW.name] for call in calls}) == 1
    assert [made.ref.epoch for made in register.history(workspace, VIEW.name)] == [1, 2]
    assert len(list(workspace.journal.entries(register.ENTRY))) == 2


def test_two_definitions_differ_by_aggregate_parts_and_order() -> None:
    """A replaced aggregate, a changed choice of events, columns in another order."""
    count = a.Sum(name="count", label="", events=VISIT, window_days=14)
    new = replace(VIEW, features=(count, FEATURES[2], FEATURES[1], *FEATURES[3:]))
    changed, moved = changes(VIEW, new)
    assert changed.what.startswith("aggregate Count -> Sum, events {")
    assert (moved.kind, moved.where) == ("moved", "mean")
    assert changes(VIEW, VIEW) == []
    gone = changes(VIEW, replace(VIEW, features=FEATURES[5:]))
    assert summary(gone) == "5 removed: count, sum, mean, 2 more"

"""What is kept no longer: simulations nobody asked for in a while, or that name somebody who is to
be forgotten, drafts that were dropped, and what runs that ended left behind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import TYPE_CHECKING

import pyarrow as pa
import sqlalchemy as sa
from pydantic import SecretStr

from cluster import schema
from cluster.blobs import LocalBlobs
from cluster.errors import Refusal
from cluster.parts import Part, Parts
from cluster.settings import Settings, SimulationSettings
from cluster.workspace import Workspace
from features import compaction, log
from features.removal.holds import Hold, Holds
from features.removal.terms import Retention
from jobs.erase import run as erasing
from jobs.retain import classes
from serving.planner.drafts import Drafts
from serving.planner.sheet import empty
from serving.simulations import retained
from serving.simulations.records import Asked, Run
from serving.simulations.spares import Spares
from serving.simulations.store import Store
from tests.serving.asking import planner, request, scenario

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

THEN = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
TERMS = Retention(simulations=100, drafts=10)
ALLOWED = SimulationSettings(at_once=99, queue=99)


def asked(workspace: Workspace, id: str, now: datetime, said: str = "", ended: str = "done") -> Run:
    """Put a simulation on record that is over."""
    store = Store(workspace.database)
    text = request(scenario()).model_dump(mode="json") | {"against": said}
    new = Asked(id=id, key=id, request=text, pinned={}, owner="ada", now=now)
    begun = store.begin(new, ALLOWED)
    assert not isinstance(begun, Refusal)
    run = begun[0].run
    if ended == "done":
        store.done(run, workspace.blobs.put(f"result of {id} by {said or 'nobody'}".encode()), now)
    elif ended == "failed":
        store.failed(run, "why", now)
    return run


def there(workspace: Workspace) -> set[str]:
    """Return the ids on record."""
    with workspace.database.connect() as connection:
        return set(connection.scalars(sa.select(schema.simulations.c.id)))


def due(workspace: Workspace, now: datetime, *holds: Hold) -> list[classes.Found]:
    """Return what is due."""
    return classes.find(workspace, TERMS, Holds(all=tuple(holds)), now)


def test_what_nobody_asked_for_in_a_while_goes(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its result and who asked; what is shared, under way, held or asked for again stays."""
    monkeypatch.setattr(retained, "AT_ONCE", 1)
    for id in ("old", "held", "shared", "again", "under way", "failed"):
        ended = {"under way": "", "failed": "failed"}.get(id, "done")
        asked(workspace, id, THEN, said=f"{id}-key", ended=ended)
    asked(workspace, "young", THEN + 50 * DAY)
    store = Store(workspace.database)
    store.share("shared", THEN)
    again = Asked(id="x", key="again", request={}, pinned={}, owner="bob", now=THEN + 60 * DAY)
    assert not isinstance(store.begin(again, ALLOWED), Refusal)
    hold = Hold(name="case 1", over="account", key="held-key")
    assert due(workspace, THEN + 99 * DAY)[0].due.ids == ()
    (found, drafts) = due(workspace, THEN + 101 * DAY, hold)
    assert (found.due.ids, found.due.held, drafts.due.ids) == (("failed", "old"), 1, ())
    result = store.get("old")
    assert result is not None and workspace.blobs.has(str(result.result))
    assert classes.remove(workspace, [found]) == {"simulations": 2}
    assert there(workspace) == {"held", "shared", "again", "under way", "young"}
    assert not workspace.blobs.has(str(result.result))
    assert store.owners("old") == set()


def test_what_its_own_planner_asked_for_again_stays(workspace: Workspace) -> None:
    """However long ago it was started: it is the last asking that counts."""
    asked(workspace, "mine", THEN)
    asked(workspace, "mine", THEN + 60 * DAY)
    assert due(workspace, THEN + 159 * DAY)[0].due.ids == ()
    assert due(workspace, THEN + 161 * DAY)[0].due.ids == ("mine",)


def test_what_was_shared_or_asked_for_meanwhile_stays(workspace: Workspace) -> None:
    """Though it was due when the run began; whom an erasure means goes whatever it is."""
    for id in ("old", "shared", "again"):
        asked(workspace, id, THEN)
    now = THEN + 101 * DAY
    (found, _) = due(workspace, now)
    assert found.due.ids == ("again", "old", "shared")
    Store(workspace.database).share("shared", now)
    asked(workspace, "again", now)
    assert classes.remove(workspace, [found]) == {"simulations": 1}
    assert there(workspace) == {"shared", "again"}
    again = Store(workspace.database).get("again")
    assert again is not None and workspace.blobs.has(str(again.result))
    assert Store(workspace.database).owners("again") == {"ada"}
    assert retained.forget(workspace, ["shared", "again"]) == 2


def question_of(workspace: Workspace, run: Run) -> Path:
    """Write what a job writes of its question."""
    file = workspace.settings.home / retained.FOLDER / f"{run}.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text("x")
    return file


def test_what_jobs_that_died_were_asked_goes_too(workspace: Workspace) -> None:
    """At once, though no simulation is due; with what is forgotten, under way or not."""
    files = {
        id: question_of(workspace, asked(workspace, id, THEN, ended=ended))
        for id, ended in (("over", "failed"), ("goes on", ""), ("gone", ""))
    }
    assert classes.end(workspace) == 1
    assert {id for id, file in files.items() if file.exists()} == {"goes on", "gone"}
    assert retained.forget(workspace, ["gone"]) == 1
    assert {id for id, file in files.items() if file.exists()} == {"goes on"}
    assert retained.sweep(workspace) == 0


def test_a_result_that_counts_no_more_is_let_go(workspace: Workspace) -> None:
    """Unless another attempt has the same, or is about to."""
    store, result = Store(workspace.database), workspace.blobs.put(b"result of one by nobody")
    run = asked(workspace, "one", THEN)
    retained.let_go(workspace, run, result)
    assert workspace.blobs.has(result), "it is that of the row"
    store.lost(run, THEN)
    asked(workspace, "one", THEN, ended="")
    retained.let_go(workspace, run, result)
    assert workspace.blobs.has(result), "the second attempt may have put it"
    store.cancelled(replace(run, attempt=2), THEN)
    retained.let_go(workspace, run, result)
    assert not workspace.blobs.has(result)
    result = workspace.blobs.put(b"another")
    retained.forget(workspace, ["one"])
    retained.let_go(workspace, run, result)
    assert not workspace.blobs.has(result)


def test_a_damaged_result_may_name_anybody(workspace: Workspace) -> None:
    """So it is forgotten, and fails no erasure; a hold keeps it."""
    asked(workspace, "damaged", THEN)
    asked(workspace, "other", THEN)
    kept = Store(workspace.database).get("damaged")
    assert kept is not None
    workspace.blobs.path_of(str(kept.result)).write_bytes(b"not that")
    hold = Hold(name="case 1", over="account", key="somebody")
    assert due(workspace, THEN + 101 * DAY, hold)[0].due.ids == ("other",)
    assert retained.naming(workspace, ["somebody"], among=["other"]) == [], "it is not looked at"
    assert retained.naming(workspace, ["somebody"]) == ["damaged"]
    assert retained.forget(workspace, ["damaged"]) == 1
    assert not workspace.blobs.has(str(kept.result))


def test_a_simulation_that_names_somebody_is_forgotten(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its question or its result, shared or not; a result of another stays."""
    asked(workspace, "names", THEN, said="rep-7")
    asked(workspace, "other", THEN, said="rep-8")
    Store(workspace.database).share("names", THEN)
    assert retained.naming(workspace, ["rep-7", "", "nobody "]) == ["names"]
    assert retained.naming(workspace, []) == []
    with workspace.database.begin() as connection:  # the result alone names them now
        values = {"asked": "{}"}
        connection.execute(schema.simulations.update().values(values))
    assert retained.naming(workspace, ["rep-7"]) == ["names"]
    assert retained.forget(workspace, ["names"]) == 1
    assert there(workspace) == {"other"}
    monkeypatch.setattr(retained, "_said", lambda *_: [])
    assert retained.naming(workspace, ["rep-8"]) == [], "the mutant finds nobody"


def test_an_erasure_reaches_what_planners_asked(workspace: Workspace) -> None:
    """With what came out; the report says how many."""
    log.create(workspace.tables, 4)
    (who,) = workspace.vault.pseudonyms("e-mail", pa.array(["rep@mail.example"])).to_pylist()
    asked(workspace, "names", THEN, said=who)
    asked(workspace, "other", THEN, said="rep-8")
    said = erasing.EraseSettings(subjects=(who,), actor="ada", reason="they asked for it")
    told = erasing.run(workspace, said)
    assert "simulations: 1 deleted that named them" in " ".join(told.decided)
    assert there(workspace) == {"other"}
    assert who.encode() not in b"".join(
        path.read_bytes() for path in workspace.settings.home.glob("blobs/**/*") if path.is_file()
    )


def test_an_erasure_ends_what_has_read_the_log_before(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is under way, and the process that waits; the mutant leaves both."""
    log.create(workspace.tables, 4)
    (who,) = workspace.vault.pseudonyms("e-mail", pa.array(["rep@mail.example"])).to_pylist()
    said = erasing.EraseSettings(subjects=(who,), actor="ada", reason="they asked for it")
    spares, store = Spares(workspace.database), Store(workspace.database)
    assert spares.put("a", THEN, THEN)
    run = asked(workspace, "under way", THEN, ended="")
    with monkeypatch.context() as patched:
        patched.setattr(retained, "start_over", lambda _: 0)
        erasing.run(workspace, said)
    kept = store.get(run.id)
    assert kept is not None and kept.is_under_way and spares.place("a") is not None
    told = erasing.run(workspace, said)
    kept = store.get(run.id)
    assert kept is not None and (kept.status, kept.why) == ("failed", retained.ERASED)
    assert spares.place("a") is None
    assert "1 ended that had read the log as it was" in " ".join(told.decided)


def test_an_erasure_reaches_simulations_that_name_their_leads(workspace: Workspace) -> None:
    """Those that are theirs alone; that of another person's lead stays."""
    log.create(workspace.tables, 4)
    (who,) = workspace.vault.pseudonyms("e-mail", pa.array(["rep@mail.example"])).to_pylist()
    both = [(who, "lead-own"), (who, "lead-both"), ("another", "lead-both")]
    rows = [
        {
            "kind": "web_visit", "name": "visit", "event_time": THEN, "known_at": THEN,
            "person": person, "lead": lead, "row_key": f"{place}", "source": "x",
        }
        for place, (person, lead) in enumerate(both)
    ]  # fmt: skip
    events = log.identified(pa.Table.from_pylist(rows, schema=log.CANDIDATE))
    workspace.tables.append(log.TABLE, events)
    asked(workspace, "own", THEN, said="lead-own")
    asked(workspace, "both", THEN, said="lead-both")
    said = erasing.EraseSettings(subjects=(who,), actor="ada", reason="they asked for it")
    erasing.run(workspace, said)
    assert there(workspace) == {"both"}


def test_a_run_that_was_forgotten_counts_no_more(workspace: Workspace) -> None:
    run = asked(workspace, "one", THEN, ended="")
    retained.forget(workspace, ["one"])
    assert not Store(workspace.database).running(run, None, THEN)


def test_drafts_that_were_dropped_or_kept_anew_go(workspace: Workspace) -> None:
    """The newest of each stays, and so does one that another has kept alike."""
    drafts, ada, bob = Drafts(workspace), planner(), planner("bob")
    filled, other = empty(), replace(empty(), top={"funnel": ("sales",)})
    for who, name, sheet in ((ada, "a", filled), (ada, "a", other), (ada, "b", filled)):
        assert drafts.keep(who, name, sheet, THEN) == name
    assert drafts.keep(bob, "mine", filled, THEN) == "mine"
    drafts.drop(ada, "b", THEN)
    assert drafts.past(THEN) == () and drafts.sweep(THEN) == 0
    assert len(drafts.past(THEN + DAY)) == 3, "the first of a, and b twice"
    assert drafts.sweep(THEN + DAY) == 0, "the blob of the first is that of bob's"
    assert drafts.read(ada, "a") == other and drafts.read(bob, "mine") == filled
    drafts.drop(bob, "mine", THEN)
    assert drafts.sweep(THEN + DAY) == 1
    assert drafts.keep(bob, "mine", filled, THEN + DAY) == "mine"
    assert drafts.read(bob, "mine") == filled


def test_a_draft_that_is_kept_anew_during_the_sweep_stays(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its text was to go: it is looked at again before."""
    drafts, ada, bob = Drafts(workspace), planner(), planner("bob")
    sheets = [replace(empty(), top={"funnel": (name,)}) for name in ("sales", "other")]
    for name, filled in zip("ab", sheets, strict=True):
        drafts.keep(ada, name, filled, THEN)
        drafts.drop(ada, name, THEN)
    delete = LocalBlobs.delete

    def kept_meanwhile(blobs: LocalBlobs, blob: str) -> None:
        delete(blobs, blob)
        for name, filled in zip("ab", sheets, strict=True):
            drafts.keep(bob, name, filled, THEN)

    monkeypatch.setattr(LocalBlobs, "delete", kept_meanwhile)
    assert drafts.sweep(THEN + DAY) == 1
    assert [drafts.read(bob, name) for name in "ab"] == sheets


def test_a_draft_that_is_revived_during_the_sweep_stays(
    settings: Settings, postgresql_url: str
) -> None:
    """Where writers do not wait for one another, the last look is at the row itself."""
    url = {"database_url": SecretStr(postgresql_url)}
    with Workspace.open(settings.model_copy(update=url)) as place:
        drafts, ada, waiting = (
            Drafts(place),
            planner(),
            sa.text("select count(*) from pg_locks where not granted"),
        )
        drafts.keep(ada, "a", empty(), THEN)
        drafts.drop(ada, "a", THEN)
        with ThreadPoolExecutor(1) as pool:
            with place.database.begin() as connection:
                values = {"target": "revived", "moved_at": schema.micros(THEN + DAY)}
                connection.execute(schema.refs.update().values(values))
                swept = pool.submit(drafts.sweep, THEN + DAY)
                while not connection.scalar(waiting):
                    sleep(0.01)
            swept.result()
        with place.database.connect() as connection:
            assert connection.scalars(sa.select(schema.refs.c.target)).all() == ["revived"]


def test_spans_of_runs_that_rest_are_swept_with_their_blobs(workspace: Workspace) -> None:
    """Of a simulation that was cancelled or failed, and never asked for again."""
    parts, blob = Parts(workspace.database), workspace.blobs.put(b"draws")
    parts.keep("simulate/x", Part(number=0, said={"blob": blob}), workspace.clock())
    parts.keep("other", Part(number=0, said={"rows": 3}), workspace.clock())
    later = replace(workspace, clock=lambda: datetime.now(UTC) + 3 * DAY)
    assert compaction.sweep(later, 4 * DAY) == 0 and workspace.blobs.has(blob)
    assert compaction.sweep(later, 2 * DAY) == 1 and not workspace.blobs.has(blob)
    assert not parts.resume("other", workspace.clock())

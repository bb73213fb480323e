"""Compaction: every arrival in the log once, files few, nothing needed swept."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from cluster.settings import CONFIGS, ROOT
from cluster.workspace import Workspace
from features import compaction, log, online
from features.arrivals import Entrance, Malformed, Sent, pending
from features.arrivals.wire import Data
from features.contracts import load_contracts
from features.ingest import quarantine
from features.ingest.land import Landing
from features.online import follower

if TYPE_CHECKING:
    from cluster.settings import Settings

CONTRACTS = load_contracts(CONFIGS / "contracts")
AT = datetime(2026, 1, 1, tzinfo=UTC)


def _sent(id: str, **changes: Any) -> Sent:
    data = Data(**{"lead": "lead-1", "account": "a-1", **changes})
    return Sent(
        id=id, source="/test", kind="touch", name="web_visit", time=AT, data=data, raw=b"{}"
    )


def _accept(workspace: Workspace, *sent: Sent | Malformed) -> list[str]:
    entrance = Entrance(workspace, online.OnlineStore(workspace), CONTRACTS)
    return [outcome.status for outcome in entrance.accept(sent)]


def _row_keys(workspace: Workspace) -> Counter[str]:
    return Counter(workspace.tables.read(log.TABLE)["row_key"].to_pylist())


def test_arrivals_are_folded_once_and_stay_visible(workspace: Workspace) -> None:
    """In the log after the first run, still one event after the second, seen all the time."""
    assert _accept(workspace, *(_sent(str(n)) for n in range(5))) == ["accepted"] * 5
    assert compaction.fold(workspace) == compaction.Folded(events=5)
    assert compaction.fold(workspace) == compaction.Folded()
    assert set(_row_keys(workspace).values()) == {1}
    assert online.OnlineStore(workspace).events("a-1").num_rows == 5
    assert _accept(workspace, _sent("0")) == ["duplicate"]


def test_a_run_killed_after_its_commit_is_completed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The events are in the log and still on the list: the next run takes them off, no more."""
    _accept(workspace, *(_sent(str(n)) for n in range(5)))
    _fold_and_die(workspace, monkeypatch)
    assert compaction.fold(workspace) == compaction.Folded(known=5)
    assert set(_row_keys(workspace).values()) == {1}
    assert pending.waiting(workspace.database, 10).events.num_rows == 0


@pytest.mark.parametrize("few", [follower.FEW, 0])  # what is known is in files, or in the base
def test_without_its_look_at_ids_such_a_run_doubles_them(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """The mutant: nothing is known, so all that waits is new."""
    monkeypatch.setattr(follower, "FEW", few)
    _accept(workspace, *(_sent(str(n)) for n in range(5)))
    _fold_and_die(workspace, monkeypatch)
    online.follow(workspace)
    monkeypatch.setattr(Landing, "_without", lambda self, files, head: (files, 0, _no_rows()))
    monkeypatch.setattr(compaction, "_unknown", lambda base, events: (events, _no_rows()))
    compaction.fold(workspace)
    assert set(_row_keys(workspace).values()) == {2}


def _no_rows() -> np.ndarray:
    return np.empty(0, np.uint64)


def _fold_and_die(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pending, "folded", _die)
        compaction.fold(workspace)


def _die(*given: object) -> None:
    raise KeyboardInterrupt


def test_an_event_that_was_ingested_meanwhile_is_not_folded_again(workspace: Workspace) -> None:
    """Same id, whichever entrance came first."""
    _accept(workspace, _sent("0"), _sent("1"))
    waiting = pending.waiting(workspace.database, 10).events
    log.create(workspace.tables, workspace.settings.buckets)
    workspace.tables.append(log.TABLE, waiting.slice(0, 1))
    assert compaction.fold(workspace) == compaction.Folded(events=1, known=1)
    assert set(_row_keys(workspace).values()) == {1}


@pytest.mark.parametrize("few", [follower.FEW, 0])
def test_a_correction_into_another_shard_leaves_a_mark(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """Whether the first version is in the tail or in the base, its shard learns of the second."""
    monkeypatch.setattr(follower, "FEW", few)
    _accept(workspace, _sent("0"))
    compaction.fold(workspace)
    online.follow(workspace)
    _accept(workspace, _sent("0", account="a-2"))
    compaction.fold(workspace)
    kinds = _of_shard(workspace, "a-1")["kind"].to_pylist()
    assert sorted(kinds) == [log.RETRACTION, "touch"]


def _of_shard(workspace: Workspace, shard: str) -> pa.Table:
    rows = workspace.tables.read(log.TABLE)
    return rows.filter(pa.array([name == shard for name in rows["shard"].to_pylist()]))


def test_refused_arrivals_end_in_quarantine_once(workspace: Workspace) -> None:
    """Sealed, and the same ones sent again after the fold add nothing."""
    bad = (
        _sent("0", lead="ada@example.org"),
        Malformed(id=None, source=None, reason="r", raw=b"7"),
    )
    for refused in (2, 0):
        assert _accept(workspace, *bad) == ["refused"] * 2
        assert compaction.fold(workspace).refused == refused
    kept = workspace.tables.read(quarantine.TABLE)
    assert sorted(kept["file"].to_pylist()) == ["POST /v1/events"] * 2
    opened = [row["cells"] for row in quarantine.opened(workspace.vault, kept)]
    assert {"event": "{}"} in opened


def _scattered(workspace: Workspace, make: Callable[..., pa.Table], commits: int) -> None:
    log.create(workspace.tables, workspace.settings.buckets)
    for n in range(commits):
        rows = [{"at": n, "account": f"a-{k}", "row_key": f"{n}-{k}"} for k in range(20)]
        workspace.tables.append(log.TABLE, make(*rows))


def test_many_files_become_few_and_keep_every_event(
    workspace: Workspace, make_events: Callable[..., pa.Table]
) -> None:
    """One sorted file per bucket; a second run finds nothing to do; the online store knows."""
    _scattered(workspace, make_events, 6)
    online.follow(workspace)
    before = workspace.tables.read(log.TABLE)
    done = compaction.rewrite(workspace, most_files=5)
    assert (done.before, done.after, done.most_after) == (24, 4, 1)
    after = workspace.tables.read(log.TABLE)
    assert after.sort_by("event_id").equals(before.sort_by("event_id"))
    assert compaction.rewrite(workspace, most_files=5).before == 4
    covered = workspace.refs.get(follower.LOG_REF)
    assert covered is not None
    assert covered.target == str(workspace.tables.head(log.TABLE))


def test_an_append_during_a_rewrite_is_kept(
    workspace: Workspace, make_events: Callable[..., pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rewrite is tried again on top of what another writer added."""
    _scattered(workspace, make_events, 3)
    more = [make_events({"at": 9, "account": "a-1", "row_key": "late"})]
    check = compaction._require_same

    def raced(*given: Any) -> None:
        while more:
            workspace.tables.append(log.TABLE, more.pop())
        check(*given)

    monkeypatch.setattr(compaction, "_require_same", raced)
    compaction.rewrite(workspace, most_files=2)
    assert workspace.tables.read(log.TABLE).num_rows == 61


def test_a_rewrite_that_loses_a_row_replaces_nothing(
    workspace: Workspace, make_events: Callable[..., pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defence is the comparison of ids: without it the row is gone."""
    _scattered(workspace, make_events, 3)
    rewritten = compaction._rewritten

    def forgetful(tables: Any, old: Any) -> Any:
        rows = tables.read_files(log.TABLE, rewritten(tables, old))
        return tables.write(log.TABLE, rows.slice(1))

    monkeypatch.setattr(compaction, "_rewritten", forgetful)
    with pytest.raises(compaction.RowsDiffer):
        compaction.rewrite(workspace, most_files=2)
    assert workspace.tables.read(log.TABLE).num_rows == 60
    monkeypatch.setattr(compaction, "_require_same", lambda *given: None)
    compaction.rewrite(workspace, most_files=2)
    assert workspace.tables.read(log.TABLE).num_rows < 60


def test_only_old_files_that_no_snapshot_knows_are_swept(
    settings: Settings, make_events: Callable[..., pa.Table]
) -> None:
    """A dead writer's file goes after a day; replaced files stay, for a tag may need them."""
    tomorrow = datetime.now(UTC) + timedelta(days=1, minutes=1)
    with Workspace.open(settings, clock=lambda: tomorrow) as workspace:
        _scattered(workspace, make_events, 3)
        first = workspace.tables.head(log.TABLE)
        assert first is not None
        workspace.tables.tag(log.TABLE, first, "kept")
        workspace.tables.write(log.TABLE, make_events({"at": 1, "account": "a"}))
        compaction.rewrite(workspace, most_files=2)
        assert compaction.sweep(workspace, timedelta(days=2)) == 0
        assert compaction.sweep(workspace, timedelta(days=1)) == 1
        assert workspace.tables.read(log.TABLE, first).num_rows == 60
        assert workspace.tables.read(log.TABLE).num_rows == 60


def test_old_snapshots_go_but_what_rests_on_one_stays(
    settings: Settings, make_events: Callable[..., pa.Table]
) -> None:
    """A month later: the newest, and that of which features were made; no event is lost."""
    later = datetime.now(UTC) + timedelta(days=31)
    with Workspace.open(settings, clock=lambda: later) as workspace:
        _scattered(workspace, make_events, 5)
        tables = workspace.tables
        made = [commit.snapshot for commit in tables.history(log.TABLE)]
        tables.create("derived", pa.schema([("a", pa.int64())]))
        row = pa.table({"a": [1]})
        tables.append("derived", row, {log.MADE_FROM: str(made[1])})
        online.follow(workspace)
        assert compaction.expire(workspace, timedelta(days=32)) == 0
        assert compaction.expire(workspace, timedelta(days=30)) == len(made) - 2
        assert compaction.sweep(workspace, timedelta(days=1)) > 0
        assert tables.read(log.TABLE, made[1]).num_rows == 40
        assert tables.read(log.TABLE).num_rows == 100
        assert compaction.fold(workspace).events == 0


def test_no_acknowledged_event_is_lost_or_doubled_when_killed(settings: Settings) -> None:
    """Two kills at random moments, then one compaction."""
    _drill(settings, kills=2, longest_s=1.0)


@pytest.mark.drill
def test_no_acknowledged_event_is_lost_or_doubled_in_many_kills(settings: Settings) -> None:
    """The long form."""
    _drill(settings, kills=20, longest_s=3.0)


def _drill(settings: Settings, *, kills: int, longest_s: float) -> None:
    acknowledged = _killed(settings.home, kills, longest_s)
    with Workspace.open(settings) as workspace:
        compaction.fold(workspace)
        compaction.rewrite(workspace, most_files=1)
        online.follow(workspace)
        kept = _row_keys(workspace)
        assert set(acknowledged) <= set(kept)
        assert set(kept.values()) == {1}
        store = online.OnlineStore(workspace)
        seen = [store.events(f"account-{n}")["row_key"].to_pylist() for n in range(7)]
        assert Counter(key for keys in seen for key in keys) == kept
    assert len(acknowledged) >= 20 * kills


def _killed(home: Path, kills: int, longest_s: float) -> list[str]:
    """Kill one worker after the other, some time after it began; return all acknowledgements."""
    rng, workers, said = random.Random(kills), 0, []
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("child_poster.py")), str(home)],
        stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
    ) as starter:  # fmt: skip
        assert starter.stdout is not None
        for line in starter.stdout:
            said.append(line)
            if line.startswith("worker "):
                workers += 1
                if workers > kills:
                    starter.kill()
                worker, after_s = int(line.split()[1]), rng.uniform(0.3, longest_s)
                threading.Timer(after_s, os.kill, (worker, signal.SIGKILL)).start()
    return [line.strip() for line in said if line.endswith("\n") and not line.startswith("worker ")]

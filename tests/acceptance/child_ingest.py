"""A program for tests that kill ingestions: forks one child per line of work and tells its fate.

A line on standard input is JSON: {"tag": ..., "work": "source", "lots" or "job", "home": ...} and
what that work needs. Standard output says, each line behind its tag, "pid <number>", "begin" when
the work does, what the child says, then "exit <status>" as `wait` gives it. Forking keeps the
imports, which take longer than the work; children of different tags work side by side.
"""

from __future__ import annotations

import json
import os
import runpy
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas  # noqa: F401  before the fork, for every child
import psycopg  # noqa: F401
import pyarrow as pa
import pyiceberg.catalog.sql
import sqlalchemy
from pyiceberg.catalog.sql import SqlCatalog

from cluster.settings import CONFIGS, Settings
from cluster.tables import Tables
from cluster.workspace import Workspace
from features import ingest, log
from features.contracts import load_contracts
from features.known import KnownIds
from features.sources import rowends
from features.sources.mapping import load_source
from jobs.materialize import run as _  # noqa: F401  as above

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIRST = 1_700_000_000_000_000  # microseconds: 2023-11-14
OWN, SHARED = 36, 4  # rows of a lot: of its writer alone, and the same from every writer
SHARD_COUNT = 50
LOOK_S = 0.005  # between two looks whether a child is gone
PAUSE_S, LONGEST_S = 0.3, 20.0  # of the mutants, where somebody is to be overtaken

type Tell = Callable[[str], None]


def main() -> None:
    """Fork a child for each line, and tell when one is gone."""
    warm_up()
    tags: dict[int, str] = {}
    text = b""
    while True:
        for child in list(tags):
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                say(tags.pop(child), f"exit {status}")
        if not select.select([0], [], [], LOOK_S)[0]:
            continue
        if not (more := os.read(0, 1 << 16)):
            for child in tags:  # of a test that failed
                os.kill(child, signal.SIGKILL)
            break
        *lines, text = (text + more).split(b"\n")
        for line in lines:
            details = json.loads(line)
            tags[forked(**details)] = details["tag"]


def forked(tag: str, **details: Any) -> int:
    """Return the process id of a child at work."""
    child = os.fork()
    if child == 0:
        say(tag, f"pid {os.getpid()}")
        try:
            work(partial(say, tag), **details)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def warm_up() -> None:
    """Load what was compiled, which takes longer than the work too. Starts no thread."""
    ids = KnownIds()
    row, content = log.ids_of(lot(0, 0))
    ids.add(row, content)
    ids.holds(row, content)
    ids.holds_row(row)
    rowends.ends(b'a,"b"\n', ",", '"', 2, is_last=True)


def work(tell: Tell, work: str, home: str, **details: Any) -> None:
    """Open the workspace and do one of the three."""
    if work == "job":
        run_job(tell, home, **details)
        return
    url = details.pop("url", None)
    settings = Settings(home=Path(home), database_url=url, buckets=details.pop("buckets", 4))
    with Workspace.open(settings, clock=lambda: NOW) as workspace:
        {"source": take_in, "lots": write_lots}[work](workspace, tell, **details)  # type: ignore[operator]


def take_in(workspace: Workspace, tell: Tell, mapping: str, folder: str, strip_bytes: int) -> None:
    """Ingest a source, and say its counts at the end."""
    what = ingest.Source(
        mapping=load_source(mapping),
        folder=Path(folder),
        terms=load_contracts(CONFIGS / "contracts"),
        strip_bytes=strip_bytes,
    )
    tell("begin")
    result = ingest.source(workspace, what, "inline", lambda done, total, what: None)
    tell(json.dumps(asdict(result.counts)))


def run_job(tell: Tell, home: str, command: list[str], out: str) -> None:
    """Run `python -m` a command as a user does, all that it says going into a file."""
    os.environ["FUNNELCAST_HOME"] = home
    file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    tell("begin")
    standard = os.dup(1)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = command
    status = 0
    try:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    except SystemExit as done:
        status = int(done.code or 0)
    sys.stdout.flush()
    os.dup2(standard, 1)
    tell(json.dumps({"status": status}))


def write_lots(
    workspace: Workspace,
    tell: Tell,
    *,
    writer: int,
    first: int,
    lots: int,
    fault: str,
    acknowledged: str,
) -> None:
    """Ingest lots one after another; put the number of each into a file when it is in the log."""
    terms = load_contracts(CONFIGS / "contracts")
    tell("begin")
    FAULTS[fault](workspace.settings.home)
    with Path(acknowledged).open("a") as file:
        for number in range(first, lots):
            counts = ingest.ingest(workspace, terms, lot(writer, number)).counts
            file.write(f"{number} {counts.added} {counts.known}\n")
            file.flush()
            os.fsync(file.fileno())


def lot(writer: int, number: int) -> pa.Table:
    """Return a lot of events (CANDIDATE columns): its own, and those that every writer has."""
    own = [f"{writer}-{number}-{row}" for row in range(OWN)]
    shared = [f"all-{number}-{row}" for row in range(SHARED)]
    keys, count = [*own, *shared], OWN + SHARED
    at = pa.array([FIRST + number * 1_000_000] * count).cast(log.MICROSECONDS)
    columns = {
        "row_key": keys,
        "source": ["writers"] * count,
        "kind": ["touch"] * count,
        "name": ["web_visit"] * count,
        "event_time": at,
        "known_at": at,
        "account": [f"account-{hash_of(key)}" for key in keys],
        "text": [f"lot {writer}-{number}"] * OWN + [f"lot all-{number}"] * SHARED,
    }
    full = {f.name: columns.get(f.name, pa.nulls(count, f.type)) for f in log.CANDIDATE}
    return pa.table(full).cast(log.CANDIDATE)


def hash_of(key: str) -> int:
    """Spread rows over shards, in every process alike."""
    return sum(key.encode()) % SHARD_COUNT


def without_fault(home: Path) -> None:
    """Change nothing."""


def not_looking(home: Path) -> None:
    """Commit after whatever came meanwhile: what others added is not looked at."""

    def commit(self: Tables, name: str, files: Any, **said: Any) -> int | None:
        meet(home)
        return self.commit(name, files, properties=said.get("properties"))

    Tables.commit_after = commit  # type: ignore[method-assign]


def renaming(home: Path) -> None:
    """Put the new metadata in place of whatever is there, as a file catalog that renames does."""
    write, update = SqlCatalog._write_metadata, sqlalchemy.update

    def slowly(*arguments: Any, **named: Any) -> None:
        write(*arguments, **named)
        meet(home)

    class Careless:
        def __init__(self, table: Any) -> None:
            self._statement = update(table)

        def where(self, *conditions: Any) -> Any:
            return self._statement.where(*conditions[:3])  # the fourth compares

    SqlCatalog._write_metadata = staticmethod(slowly)  # type: ignore[method-assign]
    pyiceberg.catalog.sql.update = Careless  # type: ignore[attr-defined]


def in_halves(home: Path) -> None:
    """Commit the files of a lot in two commits."""
    whole = Tables.commit_after

    def commit(self: Tables, name: str, files: Any, **said: Any) -> int | None:
        several = list(files)
        first = whole(self, name, several[:1], **said)
        if first is None or len(several) < 2:
            return first
        time.sleep(PAUSE_S)
        return self.commit(name, several[1:])

    Tables.commit_after = commit  # type: ignore[method-assign]


def meet(home: Path) -> None:
    """Wait, the first time, until another writer is as far."""
    (home / f"meet-{os.getpid()}").touch()
    until = time.monotonic() + LONGEST_S
    while len(list(home.glob("meet-*"))) < 2 and time.monotonic() < until:
        time.sleep(0.005)


FAULTS = {
    "none": without_fault,
    "not looking": not_looking,
    "renaming": renaming,
    "in halves": in_halves,
}


def say(tag: str, line: str) -> None:
    """Write a line at once, so that no kill can hold it back."""
    os.write(1, f"{tag} {line}\n".encode())


if __name__ == "__main__":
    main()

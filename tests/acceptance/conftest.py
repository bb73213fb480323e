"""What the tests of ingestion share: processes to kill, sources to read, the state they leave."""

from __future__ import annotations

import hashlib
import io
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pytest
import yaml

from cluster.settings import CONFIGS, ROOT, Settings
from cluster.workspace import Workspace
from features import ingest, log, online
from features.contracts import Contract, load_contracts
from features.ingest import quarantine
from features.sources.mapping import load_source

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLACE = {"source_row", "ingest"}  # where a row stood, which the final state does not depend on

PATIENCE_S = 900.0  # with a child that says nothing

_figures: list[str] = []  # printed when all tests are done


class Nursery:
    """A process that forks children; see child_ingest."""

    def __init__(self) -> None:
        quiet = ["-W", "ignore::DeprecationWarning"]  # of forks beside threads of libraries
        command = [sys.executable, *quiet, "-m", "tests.acceptance.child_ingest"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._said: dict[str, queue.Queue[str]] = defaultdict(queue.Queue)
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def ask(self, tag: str, details: dict[str, object]) -> None:
        """Let a child begin."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"tag": tag, **details}) + "\n")
        self._process.stdin.flush()

    def line(self, tag: str) -> str:
        """Return the next line that a child said."""
        return self._said[tag].get(timeout=PATIENCE_S)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()
        self._listener.join()

    def _listen(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                tag, _, words = line.strip().partition(" ")
                self._said[tag].put(words)


class Child:
    """A forked process at work, again and again."""

    def __init__(self, nursery: Nursery, tag: str) -> None:
        self._nursery, self._tag = nursery, tag
        self._pid = 0  # while it works

    def start(self, work: str, **details: object) -> None:
        """Let it begin; returns when its work does."""
        if self._pid:  # left behind by a test that failed
            self.kill(0)
        self._nursery.ask(self._tag, {"work": work, **details})
        self._pid = int(self._nursery.line(self._tag).removeprefix("pid "))
        assert self._nursery.line(self._tag) == "begin"

    def kill(self, after_s: float) -> dict[str, int] | None:
        """Kill -9 the child after a while: None, or what it said if it had finished before."""
        time.sleep(after_s)
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        return self.finish()

    def finish(self) -> dict[str, int] | None:
        """Return what the child says at its end; None if it was killed."""
        said, status = self.wait()
        assert status in {0, signal.SIGKILL}, f"the child ended with {status}"
        return None if status else said

    def wait(self) -> tuple[dict[str, int], int]:
        """Return what the child says at its end, and its status however it ended."""
        said: dict[str, int] = {}
        while not (line := self._nursery.line(self._tag)).startswith("exit"):
            said = json.loads(line)
        self._pid = 0
        return said, int(line.removeprefix("exit "))


@pytest.fixture(scope="session")
def children() -> Iterator[Callable[[int], list[Child]]]:
    """Return a function that gives so many children of one process."""
    nursery = Nursery()
    yield lambda count: [Child(nursery, str(number)) for number in range(count)]
    nursery.close()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[str], Workspace]]:
    """Return a function that opens workspaces by name; all of them know the same persons."""
    workspaces: dict[str, Workspace] = {}
    seed = tmp_path / "seed"
    with Workspace.open(Settings(home=seed)) as first:
        assert first.vault

    def open_one(name: str) -> Workspace:
        if name not in workspaces:
            home = tmp_path / name
            home.mkdir()
            for file in seed.iterdir():
                (home / file.name).write_bytes(file.read_bytes())
                (home / file.name).chmod(0o600)
            settings = Settings(home=home, buckets=4)
            workspaces[name] = Workspace.open(settings, clock=lambda: NOW)
        return workspaces[name]

    yield open_one
    for workspace in workspaces.values():
        workspace.close()


@pytest.fixture(scope="session")
def terms() -> dict[str, Contract]:
    """Return the contracts."""
    return load_contracts(CONFIGS / "contracts")


@pytest.fixture
def source(tmp_path: Path, terms: dict[str, Contract]) -> Callable[..., ingest.Source]:
    """Return a function that makes a source of a mapping and a folder."""

    def make(mapping: dict[str, Any], folder: Path, strip_bytes: int = 1 << 28) -> ingest.Source:
        file = tmp_path / f"{mapping['source']}.yaml"
        file.write_text(yaml.safe_dump(mapping))
        return ingest.Source(
            mapping=load_source(str(file)),
            folder=folder,
            terms=terms,
            strip_bytes=strip_bytes,
        )

    return make


@pytest.fixture
def take_in() -> Callable[[Workspace, ingest.Source], ingest.Ingested]:
    """Return a function that ingests a source in this process."""

    def run(workspace: Workspace, what: ingest.Source) -> ingest.Ingested:
        return ingest.source(workspace, what, "inline", lambda done, total, words: None)

    return run


@pytest.fixture
def state() -> Callable[[Workspace, list[str]], dict[str, str]]:
    """Return a function that hashes what a workspace holds: the log, quarantine, and what the
    online store returns for some shards.
    """

    def hashes(workspace: Workspace, shards: list[str]) -> dict[str, str]:
        store = online.OnlineStore(workspace)
        answers = [log.SCHEMA.empty_table(), *(store.events(shard) for shard in shards)]
        return {
            "log": _digest(workspace.tables.read(log.TABLE)),
            "online": _digest(pa.concat_tables(answers).cast(log.SCHEMA)),
            "quarantine": hashlib.sha256("\n".join(_refused(workspace)).encode()).hexdigest(),
        }

    return hashes


def _refused(workspace: Workspace) -> list[str]:
    rows = quarantine.opened(workspace.vault, workspace.tables.read(quarantine.TABLE))
    said = [(row["reasons"], row["cells"]) for row in rows]
    return sorted(json.dumps(words, sort_keys=True) for words in said)


def _digest(events: pa.Table) -> str:
    ordered = events.sort_by("event_id")
    columns = {name: ordered[name] for name in events.column_names if name not in PLACE}
    row, content = log.halves(columns.pop("event_id"))
    times = {name: columns[name].cast(pa.int64()) for name in ("event_time", "known_at")}
    plain = pa.table({**columns, **times, "row": row, "content": content})
    text = io.BytesIO()
    pyarrow.csv.write_csv(plain, text)
    return hashlib.sha256(text.getvalue()).hexdigest()


@pytest.fixture
def marks() -> Callable[[Workspace], list[tuple[str, str, int]]]:
    """Return a function that lists the retraction marks: row key, shard, known_at."""

    def found(workspace: Workspace) -> list[tuple[str, str, int]]:
        events = workspace.tables.read(log.TABLE, columns=["kind", "row_key", "shard", "known_at"])
        there = events.filter(pc.equal(events["kind"], log.RETRACTION))
        known = there["known_at"].cast(pa.int64()).to_pylist()
        return sorted(
            zip(there["row_key"].to_pylist(), there["shard"].to_pylist(), known, strict=True)
        )

    return found


@pytest.fixture
def tell() -> Callable[[str], None]:
    """Return a function that prints a figure at the end of the run."""
    return _figures.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that the tests told."""
    for figure in _figures:
        terminalreporter.write_line(figure)

"""Ingest a source: its strips read side by side, their rows landed one strip after the other.

A strip that has landed is on record with its commit, so a run that was killed is resumed by
running it again: what is missing is done, what is there is not doubled.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster import memory, runner, session
from features import log, online
from features.contracts import register
from features.ingest.finish import Course, finish
from features.ingest.gates import Gates
from features.ingest.origin import ORIGIN, Origin, put_mapping
from features.ingest.outcome import Ingested, Landed, Share
from features.ingest.strip import StripTask, Written, known, write
from features.sources import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from cluster.workspace import Workspace
    from features.contracts import Contract
    from features.sources.lot import Strip
    from features.sources.mapping import SourceMapping

    type Progress = Callable[[int, int, str], None]

SMALLEST, LARGEST = 16 * 2**20, 128 * 2**20  # bytes of a strip
PER_CORE = 4  # strips, where the input is large enough: the last one should not be waited for long
STRIP, SHARE = "funnelcast.strip", "funnelcast.share"  # properties of a commit


@dataclass(frozen=True, kw_only=True)
class Source:
    """A source to be ingested, and under which terms."""

    mapping: SourceMapping
    folder: Path  # of its files
    terms: Mapping[str, Contract]
    strip_bytes: int | None = None  # by default as the size of the input and the cores ask for


def source(workspace: Workspace, what: Source, asked: str, progress: Progress) -> Ingested:
    """Read, check and add a source; every row ends in the log or in quarantine, and what is new is
    there to be scored online.
    """
    result = landed(workspace, what, asked, progress)
    online.follow(workspace)
    return result


def landed(workspace: Workspace, what: Source, asked: str, progress: Progress) -> Ingested:
    """Do the same but for the online store, which the next ingestion makes good."""
    memory.settle()
    begun = begin(workspace, what)
    todo, done = begun.todo, begun.done
    choice = runner.choose(asked, begun.rows, workspace.settings)
    strips: list[Landed] = []
    progress(len(done), len(done) + len(todo), "strips")
    for task, written in _written(workspace, begun, todo, choice.runner):
        strips.append(begun.land(task, written))
        progress(len(done) + len(strips), len(done) + len(todo), "strips")
    course = Course(
        source=what.mapping.source,
        terms=what.terms,
        origins=tuple(begun.origins.values()),
        strips=strips,
        resumed=tuple(done),
        choice=choice,
        now=begun.now,
    )
    return finish(workspace, course)


def _written(
    workspace: Workspace, begun: Begun, todo: list[StripTask], chosen: runner.Runner
) -> Iterator[tuple[StripTask, Written]]:
    if chosen == "ray" and todo:
        session.connect(workspace.settings)
        from features.ingest import pool

        yield from pool.written(workspace.settings, begun.gates.pins, todo)
        return
    ids = known(workspace, *begun.gates.pins, expected=2 * begun.rows)  # about
    with ThreadPoolExecutor(session.cores(workspace.settings)) as threads:
        futures = [(task, threads.submit(write, workspace, task, ids)) for task in todo]
        try:
            for task, future in futures:
                yield task, future.result()
        finally:
            threads.shutdown(cancel_futures=True)


@dataclass(frozen=True, kw_only=True)
class Begun:
    """An ingestion under way: its tasks, and the snapshots that its writers know."""

    tasks: list[StripTask]
    rows: int  # about
    origins: Mapping[str, str]  # file -> name of its origin
    gates: Gates
    landed: Mapping[str, Share]  # strips on record
    now: datetime

    @property
    def todo(self) -> list[StripTask]:
        """Tasks whose strips have not landed."""
        return [task for task in self.tasks if key_of(task) not in self.landed]

    @property
    def done(self) -> list[Share]:
        """What became of the strips that had landed before."""
        return [self.landed[key_of(task)] for task in self.tasks if key_of(task) in self.landed]

    def land(self, task: StripTask, written: Written) -> Landed:
        """Commit a strip, on record with its events."""
        said = {STRIP: key_of(task), ORIGIN: task.ingest}
        share = Share(counts=written.counts, tally=written.tally).said()
        return self.gates.land(written, said, said | {SHARE: share}, disjoint=not written.node)


def begin(workspace: Workspace, what: Source) -> Begun:
    """Refuse what is wrong before a row is read; find out what is to be done."""
    tables, settings = workspace.tables, workspace.settings
    with ThreadPoolExecutor(1) as beside:
        contents = beside.submit(read.fingerprint, what.mapping, what.folder)
        strips = _strips(what, session.cores(settings))
    contracts = register.put_in_force(workspace, what.terms, "ingest", what.mapping.source)
    origins = _origins(workspace, what, strips, contracts, contents.result())
    gates = Gates.open(workspace)
    now = workspace.clock()
    return Begun(
        tasks=[_task(what, strip, origins, now) for strip in strips],
        rows=sum(read.rows_of(what.mapping, strip, what.folder) for strip in strips),
        origins=origins,
        gates=gates,
        landed=_landed(tables.summaries(log.TABLE)),
        now=now,
    )


def _strips(what: Source, cores: int) -> list[Strip]:
    """Cut the input into strips: few, but some for every core."""
    share = read.bytes_of(what.mapping, what.folder) // (PER_CORE * cores)
    size = what.strip_bytes or min(max(share, SMALLEST), LARGEST)
    return read.strips(what.mapping, what.folder, size, what.terms)


def key_of(task: StripTask) -> str:
    """Return the name under which a strip's commit is on record."""
    strip = task.strip
    return f"{task.ingest}:{strip.part}:{strip.start}-{strip.stop}"


def _task(what: Source, strip: Strip, origins: Mapping[str, str], now: datetime) -> StripTask:
    return StripTask(
        source=what.mapping.source,
        file=strip.file,
        part=strip.part,
        mapping=what.mapping,
        folder=what.folder,
        strip=strip,
        terms=what.terms,
        ingest=origins[strip.file],
        now=now,
    )


def _origins(
    workspace: Workspace,
    what: Source,
    strips: list[Strip],
    contracts: Mapping[str, str],
    contents: Mapping[str, str],
) -> dict[str, str]:
    """Keep the origin of every file; returns its name by file."""
    files = sorted({strip.file for strip in strips})
    read_too = {name: c for name, c in contents.items() if name not in files}
    mapping = put_mapping(workspace.blobs, what.mapping, read_too)
    return {
        file: Origin(
            source=what.mapping.source,
            file=file,
            content=contents.get(file.partition("!")[0], ""),
            mapping=mapping,
            contracts=contracts,
        ).put(workspace.blobs)
        for file in files
    }


def _landed(summaries: list[dict[str, str]]) -> dict[str, Share]:
    """Return the strips on record, with what became of their rows."""
    return {said[STRIP]: Share.heard(said[SHARE]) for said in summaries if STRIP in said}

"""Features of five million events for 400,000 spine rows, beside Polars and DuckDB.

Part `sums` is 72 counts and sums, part `others` 24 of distinct, min, max and last; in shape `skew`
200 accounts hold half of all. Some events are late and some rows are corrected, and every cell is
as known at T: a peer gives the same numbers or the bench fails, and an oracle checks a sample. Each
contestant runs in a process of its own, timed from the opening of the files to a table in memory,
after its imports. Every formulation of a peer is tried once, then the best run in turn with ours.
Part `ray` is a backfill on Ray beside the same one inline. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.bench import features_data as data
from tests.bench import features_oracle, features_peers, features_ray
from tests.bench.features_peers import OURS, PEERS, Contestant

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

ROUNDS = 3
CLOSE = 1.3  # a formulation so many times slower than its peer's best runs in no round
SAMPLE = 300  # spine rows that the oracle answers, of each shape
LIMIT_S, LIMIT_MB = 240, 10_000  # of one process

type Figures = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Course:
    """The data of one shape, with the oracle's answers to some rows."""

    shape: str
    home: Path
    rows: np.ndarray
    answers: np.ndarray  # (rows, columns of part `all`)


@dataclass(kw_only=True)
class Notes:
    """What is known so far."""

    seconds: dict[str, dict[str, float]] = field(default_factory=dict)  # medians, by race
    stopped: dict[str, str] = field(default_factory=dict)  # why, by race and contestant
    best: dict[tuple[str, str], str] = field(default_factory=dict)  # by peer and part
    cells: int = 0  # that were compared


def main(size: data.Size) -> Figures:
    """Race over both shapes; the skewed one only with sums."""
    notes = Notes()
    with tempfile.TemporaryDirectory(prefix="bench-features-") as made:
        uniform = _course(Path(made), "uniform", size)
        sums = _race(uniform, "sums", notes)
        others = _race(uniform, "others", notes)
        whole = _race(uniform, "all", notes)
        skew = _course(Path(made), "skew", size)
        skewed = _race(skew, "sums", notes)
        _mine(skew, "all", notes)
    return {
        **{f"uniform_vs_{peer}": sums[peer] for peer in PEERS},
        **{f"skew_vs_{peer}": skewed[peer] for peer in PEERS},
        **{f"distinct_vs_{peer}": others[peer] for peer in PEERS},
        **{f"all_vs_{peer}": whole[peer] for peer in PEERS},
        "rows_per_s": round(size.events / notes.seconds["uniform_sums"][OURS]),
        "peak_rss_mb": sums["peak_rss_mb"],
        "events": size.events,
        "rows": size.rows,
        "cells_checked": notes.cells,
        "seconds": notes.seconds,
        "stopped": notes.stopped,
        **features_ray.measured(size.events),
    }


def _course(folder: Path, shape: str, size: data.Size) -> Course:
    home = folder / shape
    _apart(data.write, home, shape, size)
    rows, answers = _apart(_oracle, home, size)
    _say(f"{shape}: {sum(p.stat().st_size for p in home.rglob('*.parquet')) / 2**20:.0f} MB")
    return Course(shape=shape, home=home, rows=rows, answers=answers)


def _oracle(home: Path, size: data.Size) -> tuple[np.ndarray, np.ndarray]:
    rows = features_oracle.sampled(home, size, SAMPLE)
    return rows, features_oracle.answers(home, rows, data.columns("all"))


def _race(course: Course, part: str, notes: Notes) -> Figures:
    """Try all, then let the best run in turn; returns their time by ours, the median of rounds."""
    name = f"{course.shape}_{part}"
    first = _mine(course, part, notes)
    tried = {c: _tried(course, c, notes) for peer in PEERS for c in _entered(peer, part, notes)}
    finished = {c: seconds for c, seconds in tried.items() if seconds is not None}
    close = {peer: _close(finished, peer) for peer in PEERS}
    rounds = [_round(course, part, close, notes) for _ in range(ROUNDS)]
    medians = {c: statistics.median(r[c] for r in rounds) for c in rounds[0]}
    notes.seconds[name] = {str(c): round(s, 2) for c, s in (finished | medians).items()}
    notes.best |= {(p, part): min(close[p], key=medians.__getitem__).formulations[0] for p in PEERS}
    ratios = {peer: _ratio(rounds, _ours(part), close[peer]) for peer in PEERS}
    return {**ratios, "peak_rss_mb": first["peak_rss_mb"]}


def _round(
    course: Course, part: str, close: dict[str, list[Contestant]], notes: Notes
) -> dict[Contestant, float]:
    """Let ours run, then what comes close to the best of each peer."""
    seconds = {_ours(part): float(_mine(course, part, notes)["seconds"])}
    for contestant in (c for peer in PEERS for c in close[peer]):
        seconds[contestant] = _theirs(course, contestant, notes)
    return seconds


def _ours(part: str) -> Contestant:
    return Contestant(who=OURS, part=part)


def _entered(peer: str, part: str, notes: Notes) -> list[Contestant]:
    """Return every formulation of a part; of all parts together the best of each."""
    if part != "all":
        return features_peers.contestants(peer, part)
    best = tuple(notes.best[peer, single] for single in ("sums", "others"))
    return [Contestant(who=peer, part=part, formulations=best)]


def _close(finished: dict[Contestant, float], peer: str) -> list[Contestant]:
    times = {c: seconds for c, seconds in finished.items() if c.who == peer}
    if not times:
        raise SystemExit(f"one formulation of {peer} must finish, got none: see the lines above")
    return [c for c, seconds in times.items() if seconds <= CLOSE * min(times.values())]


def _ratio(
    rounds: list[dict[Contestant, float]], ours: Contestant, theirs: list[Contestant]
) -> float:
    return round(statistics.median(min(r[c] for c in theirs) / r[ours] for r in rounds), 3)


def _mine(course: Course, part: str, notes: Notes) -> Figures:
    """Run ours, and compare the rows that the oracle answered."""
    told = _run(course, _ours(part))
    cells = np.load(_answer(course, _ours(part)), mmap_mode="r")[course.rows]
    columns = data.columns("all")
    wanted = course.answers[:, [columns.index(name) for name in data.columns(part)]]
    _compare(f"{course.shape} {OURS} and the oracle", part, cells, wanted)
    notes.cells += wanted.size
    _say(f"{course.shape}_{part} {OURS}: {json.dumps(told)}")
    return told


def _tried(course: Course, asked: Contestant, notes: Notes) -> float | None:
    """Run a formulation of a peer; None if it was stopped."""
    try:
        return _theirs(course, asked, notes)
    except Stopped as stopped:
        name = f"{course.shape}_{asked.part} {asked}"
        notes.stopped[name] = str(stopped)
        _say(f"{name}: {stopped}")
        return None


def _theirs(course: Course, asked: Contestant, notes: Notes) -> float:
    """Run a peer, compare its cells with ours, and return the seconds it took."""
    told = _run(course, asked)
    mine, theirs = (np.load(_answer(course, c)) for c in (_ours(asked.part), asked))
    _answer(course, asked).unlink()
    _compare(f"{course.shape} {asked} and {OURS}", asked.part, theirs, mine)
    notes.cells += theirs.size
    _say(f"{course.shape}_{asked.part} {asked}: {json.dumps(told)}")
    return float(told["seconds"])


def _compare(name: str, part: str, got: np.ndarray, wanted: np.ndarray) -> None:
    if got.shape != wanted.shape:
        raise SystemExit(f"{name}: {wanted.shape} cells must be answered, got {got.shape}")
    row, column = np.nonzero(got != wanted)
    if len(row):
        where = f"{data.columns(part)[column[0]]} of row {row[0]}"
        pair = (int(got[row[0], column[0]]), int(wanted[row[0], column[0]]))
        raise SystemExit(f"{name}: {len(row)} cells differ, first {where}: {pair}")


def _answer(course: Course, asked: Contestant) -> Path:
    return course.home / f"{asked.part}_{asked}.npy"


def _run(course: Course, asked: Contestant) -> Figures:
    told: Figures = _apart(features_peers.run, course.home, asked, _answer(course, asked))
    return told


class Stopped(Exception):
    """A process took too long or too much memory, or ended without an answer."""


def _apart(work: Callable[..., Any], *arguments: object) -> Any:
    """Return what `work` returns in a process of its own."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, work, *arguments))
    process.start()
    sender.close()
    begun = time.monotonic()
    try:
        while not receiver.poll(0.2):
            if time.monotonic() - begun > LIMIT_S:
                raise Stopped(f"stopped after {LIMIT_S} s")
            if _resident_mb(process.pid) > LIMIT_MB:
                raise Stopped(f"stopped at {LIMIT_MB} MB after {time.monotonic() - begun:.0f} s")
        return receiver.recv()
    except EOFError as error:
        raise Stopped(f"ended without an answer after {time.monotonic() - begun:.0f} s") from error
    finally:
        process.kill()
        process.join()


def _send(sender: Connection, work: Callable[..., Any], *arguments: object) -> None:
    sender.send(work(*arguments))


def _resident_mb(pid: int | None) -> int:
    """Return the memory that a process holds now, 0 when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = status.partition("VmRSS:")[2].split()
    return int(found[0]) // 1024 if found else 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Features beside Polars and DuckDB.")
    parser.add_argument("--events", type=int, default=data.EVENTS, help="of the log")
    parser.add_argument("--rows", type=int, default=data.ROWS, help="of the spine")
    parser.add_argument("--only", choices=["ray"], help="this part alone")
    asked = parser.parse_args()
    size = data.Size(events=asked.events, rows=asked.rows)
    print(json.dumps(features_ray.measured(size.events) if asked.only else main(size)))

"""The log and the spine of the feature bench: made with numpy, written through the tables.

A log as it would have arrived: in order of `known_at`, some events late, some rows corrected, some
times only known to the day, some numbers and texts absent. In shape `uniform` accounts have equally
many events and spine rows, in shape `skew` one account in 250 is hot, and the hot ones have half of
both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster.settings import Settings
from cluster.workspace import Workspace
from features import log

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.tables import Tables

EVENTS, ROWS = 5_000_000, 400_000
BUCKETS = 16
PER_ACCOUNT, ACCOUNTS_PER_HOT = 8, 250  # spine rows of an account, accounts per hot one
SECOND, DAY = 1_000_000, 86_400_000_000  # microseconds
START, DAYS = 1_700_006_400 * SECOND, 360  # a midnight, UTC
CORRECTED = 0.01  # of the rows
LATE, LATE_DAYS = 0.05, 30
DATED, AT_ONCE = 0.1, 0.3  # times at midnight; events known when they happen
ABSENT = 0.02  # numbers and texts
TEXTS, NUMBERS = 200, 10_001
CHUNK = 500_000
SPINE = "spine"
SPINE_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("account", pa.string(), nullable=False),
        pa.field("time", log.MICROSECONDS, nullable=False),
    ]
)
SHAPES = ("uniform", "skew")
KIND = "touch"
NAMES = {
    "web_visit": 0.5,
    "pricing_visit": 0.05,
    "email_opened": 0.25,
    "email_clicked": 0.1,
    "form_submitted": 0.05,
    "content_download": 0.05,
}
SUMS = ("count", "sum")
SUM_DAYS = (1, 3, 7, 30, 90, 180)
OTHERS = ("distinct", "min", "max", "last")
OTHER_NAMES = ("web_visit", "email_clicked")
OTHER_DAYS = (7, 30, 90)

type Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much to make."""

    events: int = EVENTS  # versions of rows, corrections among them
    rows: int = ROWS  # of the spine

    @property
    def accounts(self) -> int:
        """Return how many accounts there are."""
        return max(2, self.rows // PER_ACCOUNT)

    @property
    def hot(self) -> int:
        """Return how many accounts are hot in shape `skew`: the first ones."""
        return max(1, self.accounts // ACCOUNTS_PER_HOT)


def columns(part: str) -> list[str]:
    """Return the feature columns of part `sums`, `others` or `all`."""
    sums = [f"{n}_{a}_{d}d" for n in NAMES for a in SUMS for d in SUM_DAYS]
    others = [f"{n}_{a}_{d}d" for n in OTHER_NAMES for a in OTHERS for d in OTHER_DAYS]
    return {"sums": sums, "others": others, "all": sums + others}[part]


def settings(home: Path) -> Settings:
    """Return the settings of the workspace below `home`."""
    return Settings(home=home, buckets=BUCKETS)


def write(home: Path, shape: str, size: Size) -> None:
    """Write the log and the spine of `shape` as two tables bucketed by account."""
    rng = np.random.default_rng([7, SHAPES.index(shape)])
    events = _events(rng, shape, size)
    with Workspace.open(settings(home)) as workspace:
        tables = workspace.tables
        log.create(tables, BUCKETS)
        tables.create(SPINE, SPINE_SCHEMA, bucket_by="account", buckets=BUCKETS)
        writer = tables.writer(log.TABLE)
        for start in range(0, len(events["row"]), CHUNK):
            part = {name: values[start : start + CHUNK] for name, values in events.items()}
            writer.add(log.identified(_candidates(part)))
        tables.commit(log.TABLE, writer.close())
        tables.append(SPINE, _spine(rng, shape, size))


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Data files that can be worked on apart: those of one bucket, or all of them."""

    events: list[str]
    spine: list[str]


def pieces(home: Path) -> list[Piece]:
    """Return the files of each bucket that has spine rows, by bucket."""
    with Workspace.open(settings(home)) as workspace:
        events, spine = (_files(workspace.tables, name) for name in (log.TABLE, SPINE))
    return [Piece(events=events.get(number, []), spine=spine[number]) for number in sorted(spine)]


def together(parts: list[Piece]) -> Piece:
    """Return all files as one piece."""
    return Piece(
        events=[path for part in parts for path in part.events],
        spine=[path for part in parts for path in part.spine],
    )


def small() -> tuple[pa.Table, pa.Table]:
    """Return a few events and spine rows, to load with them what is compiled once."""
    rng = np.random.default_rng(1)
    size = Size(events=2_000, rows=40)
    events = log.identified(_candidates(_events(rng, "uniform", size)))
    return events, _spine(rng, "uniform", size)


def _files(tables: Tables, name: str) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for file in tables.files(name, tables.head(name)):
        found.setdefault(file.partition[0], []).append(file.file_path.removeprefix("file://"))
    return found


def _events(rng: np.random.Generator, shape: str, size: Size) -> Arrays:
    """Return the columns of the log in the order of `known_at`; absent numbers are -1."""
    rows = round(size.events / (1 + CORRECTED))
    happened, known = _times(rng, rows)
    first = {
        "row": np.arange(rows),
        "account": _accounts(rng, shape, rows, size),
        "name": rng.choice(len(NAMES), rows, p=list(NAMES.values())),
        "event_time": happened,
        "known_at": known,
        "number": np.where(rng.random(rows) < ABSENT, -1, rng.integers(0, NUMBERS, rows)),
        "text": np.where(rng.random(rows) < ABSENT, -1, TEXTS * rng.random(rows) ** 2).astype(int),
    }
    second = _corrections(rng, first, size.events - rows)
    whole = {name: np.concatenate([first[name], second[name]]) for name in first}
    order = np.argsort(whole["known_at"], kind="stable")
    return {name: values[order] for name, values in whole.items()}


def _times(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    happened = _moments(rng, rows)
    lag = rng.integers(0, 3_600, rows) * (rng.random(rows) >= AT_ONCE)
    late = rng.integers(0, LATE_DAYS * 86_400, rows)
    return happened, happened + np.where(rng.random(rows) < LATE, late, lag) * SECOND


def _moments(rng: np.random.Generator, rows: int) -> np.ndarray:
    seconds = rng.integers(0, DAYS * 86_400, rows)
    dated = rng.random(rows) < DATED
    return START + np.where(dated, seconds - seconds % 86_400, seconds) * SECOND


def _accounts(rng: np.random.Generator, shape: str, rows: int, size: Size) -> np.ndarray:
    if shape == "uniform":
        return rng.integers(0, size.accounts, rows)
    hot = rng.integers(0, size.hot, rows)
    cold = rng.integers(size.hot, size.accounts, rows)
    return np.where(rng.random(rows) < 0.5, hot, cold)


def _corrections(rng: np.random.Generator, first: Arrays, count: int) -> Arrays:
    """Return second versions: another number, sometimes another time, known later or at once."""
    chosen = rng.choice(len(first["row"]), count, replace=False)
    second = {name: values[chosen] for name, values in first.items()}
    later = rng.integers(0, 20 * 86_400, count) * (rng.random(count) < 0.95)
    second["known_at"] = second["known_at"] + later * SECOND
    moved = rng.integers(-2 * 86_400, 2 * 86_400, count) * (rng.random(count) < 0.3)
    happened = second["event_time"] + moved * SECOND
    second["event_time"] = np.minimum(happened, second["known_at"])
    second["number"] = (second["number"] + rng.integers(1, NUMBERS, count)) % NUMBERS
    return second


def _candidates(events: Arrays) -> pa.Table:
    count = len(events["row"])
    accounts = _named("A", events["account"])
    leads = _named("L", events["row"] // 20)
    columns: dict[str, Any] = {
        name: pa.nulls(count, log.CANDIDATE.field(name).type) for name in log.CANDIDATE.names
    }
    columns |= {
        "row_key": _named("web:events.csv:ev-", events["row"]),
        "source": pa.repeat("web", count),
        "source_row": pa.array(events["row"]),
        "kind": pa.repeat(KIND, count),
        "name": pa.array(list(NAMES)).take(pa.array(events["name"])),
        "event_time": pa.array(events["event_time"]).cast(log.MICROSECONDS),
        "known_at": pa.array(events["known_at"]).cast(log.MICROSECONDS),
        "account": accounts,
        "lead": leads,
        "number": pa.array(events["number"], mask=events["number"] < 0),
        "text": pc.if_else(pa.array(events["text"] < 0), None, _named("/page/", events["text"])),
    }
    return pa.table(columns, schema=log.CANDIDATE)


def _spine(rng: np.random.Generator, shape: str, size: Size) -> pa.Table:
    if shape == "uniform":
        accounts = np.arange(size.rows) % size.accounts
    else:
        accounts = _accounts(rng, shape, size.rows, size)
    columns = [
        pa.array(np.arange(size.rows)),
        _named("A", accounts),
        pa.array(_moments(rng, size.rows)).cast(log.MICROSECONDS),
    ]
    return pa.table(columns, schema=SPINE_SCHEMA)


def _named(prefix: str, numbers: np.ndarray) -> pa.Array:
    return pc.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "")

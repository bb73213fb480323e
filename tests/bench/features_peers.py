"""The contestants of the feature bench, and how one of them runs: in a process of its own.

A formulation is one way to say a part of the work to a peer. Libraries are imported in that process
only, before the clock starts.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.bench import features_data as data
from tests.bench.features_oracle import NULL

if TYPE_CHECKING:
    import pyarrow as pa

THREADS = 2
OURS = "ours"
FORMULATIONS: dict[str, dict[str, dict[str, bool]]] = {  # True: bucket by bucket
    "polars": {
        "sums": {
            "join": False,
            "join_chunks": True,
            "names": False,
            "names_chunks": True,
            "asof": True,
            "merge": True,
        },
        "others": {"join": False, "join_chunks": True, "ranges": True},
    },
    "duckdb": {
        "sums": {"join": False, "names": False, "asof": True},
        "others": {"join": False, "names": False, "texts": False},
    },
}
PEERS = tuple(FORMULATIONS)


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """Who computes which part; a peer with a formulation for each of its parts."""

    who: str
    part: str
    formulations: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return a name for figures."""
        return "_".join((self.who, *self.formulations))

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the parts that have a formulation."""
        return ("sums", "others") if self.part == "all" else (self.part,)


def contestants(who: str, part: str) -> list[Contestant]:
    """Return the formulations that a peer has of one part."""
    return [
        Contestant(who=who, part=part, formulations=(name,)) for name in FORMULATIONS[who][part]
    ]


def run(home: Path, asked: Contestant, answer: Path) -> dict[str, Any]:
    """Compute, write the cells to `answer` as (rows, columns) int64 by row, and tell what it cost.

    For a process of its own.
    """
    os.environ["POLARS_MAX_THREADS"] = str(THREADS)
    seconds, table = _ours(home, asked) if asked.who == OURS else _peer(home, asked)
    peak = _peak_mb()
    np.save(answer, _cells(table, data.columns(asked.part)))
    return {"seconds": seconds, "peak_rss_mb": peak}


def _ours(home: Path, asked: Contestant) -> tuple[float, pa.Table]:
    from tests.bench import features_ours

    return features_ours.ours(home, asked.part)


def _peer(home: Path, asked: Contestant) -> tuple[float, pa.Table]:
    name = f"tests.bench.features_{asked.who}"
    pairs = list(zip(asked.parts, asked.formulations, strict=True))
    found = {part: getattr(importlib.import_module(f"{name}_{part}"), f) for part, f in pairs}
    peer = importlib.import_module(name)
    by_bucket = any(FORMULATIONS[asked.who][part][f] for part, f in pairs)
    return peer.run(home, peer.Plan(formulations=found, by_bucket=by_bucket))


def _cells(table: pa.Table, columns: list[str]) -> np.ndarray:
    ordered = table.sort_by("row")
    made = np.empty((len(ordered), len(columns)), np.int64)
    for place, name in enumerate(columns):
        made[:, place] = ordered[name].fill_null(NULL).to_numpy()
    return made


def _peak_mb() -> float:
    """Return the most memory that this process held at once; not what its parent held before."""
    status = Path("/proc/self/status").read_text()
    return round(int(status.partition("VmHWM:")[2].split()[0]) / 1024, 1)

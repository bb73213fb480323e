"""Ready-made features joined to 400,000 moments: ours, Feast, DuckDB and Polars.

All read the same Parquet files and end with a table in memory, each run in a process of its own, in
turn, timed after its imports and after a join of small files. Ours, DuckDB and Polars have two
threads; Feast has what it takes. The share of right cells is over all rows, against brute force.
DuckDB and Polars run twice: plain, by event time, which is their faster and is compared, and so
that what was not yet known is left out. The last line is one JSON object.
"""

from __future__ import annotations

import importlib.metadata
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tests.bench import pit_join_data, pit_join_feast, pit_join_oracle, pit_join_peers

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUNDS, FEAST_ROUNDS = 7, 3
SMALL = 100  # one in so many rows is in the small files
PARTS = (1, 4, 16)  # Feast gets one in so many rows, when it cannot finish with more

type Figures = dict[str, Any]


def main(rows: int) -> Figures:
    """Measure all ways, each with the median over the rounds."""
    asked = rows * pit_join_data.ASKED // pit_join_data.ROWS
    with tempfile.TemporaryDirectory(prefix="bench-pit-join-") as made:
        folder, small = Path(made) / "1", Path(made) / "small"
        _written(folder, rows, asked)
        _written(small, rows // SMALL, asked // SMALL)
        figures: Figures = {"rows": asked, "events": rows}
        figures |= _peers(folder, small)
        figures |= _feast(Path(made), small, rows)
        return figures | {"versions": _versions()}


def _written(folder: Path, rows: int, asked: int) -> None:
    folder.mkdir()
    pit_join_data.write(folder, rows, asked)


def _peers(folder: Path, small: Path) -> Figures:
    names = list(pit_join_peers.WAYS)
    rounds = [_round(names, folder, small, keep=number == 0) for number in range(ROUNDS)]
    figures: Figures = {}
    for name in names:
        runs = [each[name] for each in rounds]
        mine = "" if name == "ours" else f"{name}_"
        figures[f"{mine}seconds"] = _median([run["seconds"] for run in runs])
        figures[f"{mine}peak_rss_mb"] = max(run["peak_rss_mb"] for run in runs)
        if mine:
            ratios = [each[name]["seconds"] / each["ours"]["seconds"] for each in rounds]
            figures[f"vs_{name}"] = _median(ratios)
    right = pit_join_oracle.expected(folder)
    for name in names:
        label = "cells_right" if name == "ours" else f"cells_right_{name}"
        figures[label] = _share(folder / f"{name}.parquet", right)
    return figures


def _round(names: Sequence[str], folder: Path, small: Path, *, keep: bool) -> Figures:
    runs, load = {}, round(os.getloadavg()[0], 1)
    for name in names:
        answer = folder / f"{name}.parquet" if keep else None
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            runs[name] = pool.apply(pit_join_peers.timed, (name, folder, small, answer))
    seconds = {name: round(run["seconds"], 3) for name, run in runs.items()}
    print(json.dumps({"load_before": load, **seconds}), flush=True)
    return runs


def _feast(made: Path, small: Path, rows: int) -> Figures:
    """Compare with the faster of Feast's local stores, on fewer rows if neither can finish."""
    figures: Figures = {"vs_feast": None, "cells_right_feast": None}
    python = pit_join_feast.environment(Path(os.environ.get("FUNNELCAST_HOME") or made).resolve())
    for part in PARTS if python else ():
        folder, events = made / str(part), rows // part
        if part > 1:
            _written(folder, events, events * pit_join_data.ASKED // pit_join_data.ROWS)
        tried = [pit_join_feast.run(python, folder, small, s) for s in pit_join_feast.STORES]
        if answers := [answer for answer in tried if answer]:
            return figures | _beside(python, folder, small, answers) | {"feast_events": events}
    return figures


def _beside(
    python: Path, folder: Path, small: Path, answers: list[pit_join_feast.Answer]
) -> Figures:
    right, dotted = pit_join_oracle.expected(folder), pit_join_oracle.on_the_dot(folder)
    figures = {f"feast_{a.store}_seconds": round(a.seconds, 3) for a in answers}
    figures |= {f"cells_right_feast_{a.store}": _share(a.path, right) for a in answers}
    best = min(answers, key=lambda answer: answer.seconds)
    pairs = [_pair(python, folder, small, best.store) for _ in range(FEAST_ROUNDS)]
    return figures | {
        "feast_store": best.store,
        "feast_seconds": _median([theirs for _, theirs in pairs]),
        "vs_feast": _median([theirs / mine for mine, theirs in pairs]),
        "cells_right_feast": _share(best.path, right),
        "cells_right_feast_off_the_dot": _share(best.path, right[~dotted]),
    }


def _pair(python: Path, folder: Path, small: Path, store: str) -> tuple[float, float]:
    rounds = [_round(["ours"], folder, small, keep=False) for _ in range(FEAST_ROUNDS)]
    theirs = pit_join_feast.run(python, folder, small, store)
    mine = statistics.median(each["ours"]["seconds"] for each in rounds)
    return mine, theirs.seconds if theirs else float("inf")


def _share(answer: Path, right: pd.DataFrame) -> float:
    return pit_join_oracle.share_right(pd.read_parquet(answer), right)


def _median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 3)


def _versions() -> dict[str, str]:
    names = ("duckdb", "polars", "pyarrow", "numba")
    return {name: importlib.metadata.version(name) for name in names} | {
        "feast": pit_join_feast.VERSION
    }


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]) if len(sys.argv) > 1 else pit_join_data.ROWS)))

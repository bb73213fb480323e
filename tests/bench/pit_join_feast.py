"""Feast in an environment of its own, and its local stores run in processes of their own."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.bench import apart

VERSION = "0.67.0"
STORES = ("duckdb", "dask")  # the two that Feast documents for local files; dask is its default
LIMIT_S = 300
WORKER = Path(__file__).with_name("pit_join_feast_worker.py")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a store gave, and how long it took."""

    store: str
    seconds: float
    path: Path


def environment(home: Path) -> Path | None:
    """Return the Python of an environment with Feast below `home`, made once; None when it cannot
    be made, which is said in one line.
    """
    return apart.environment(home, "feast", VERSION, [f"feast[duckdb]=={VERSION}"])


def run(python: Path, folder: Path, small: Path, store: str) -> Answer | None:
    """Join with one of Feast's stores; None when it fails or takes longer than LIMIT_S."""
    out = folder / f"feast-{store}"
    command = [python, WORKER, folder, small, store, out]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        print(f"feast {store} must finish in {LIMIT_S} s, took longer: left out", flush=True)
        return None
    if done.returncode:
        told = done.stderr.strip().splitlines() or ["no reason given"]
        print(f"feast {store} must finish, failed: {told[-1]}", flush=True)
        return None
    figures = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps({f"feast_{store}": figures}), flush=True)
    return Answer(store=store, seconds=figures["seconds"], path=out / "answer.parquet")

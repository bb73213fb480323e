"""What a job shows on a terminal: progress on standard error, the report on standard output."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_S = 2.0  # seconds between two lines of progress
ROWS_SHOWN = 60
WIDTH = 140  # columns, where the output is not a terminal


def progress(verb: str) -> Callable[[int, int, str], None]:
    """Return a function that tells how far a job is, at most every two seconds."""
    console, last = Console(stderr=True, highlight=False), [0.0]

    def tell(done: int, total: int, what: str) -> None:
        now = time.monotonic()
        if done >= total or now - last[0] >= EVERY_S:
            last[0] = now
            console.print(f"[dim]{verb}: {done}/{total} {what}[/dim]")

    return tell


def outcome(verb: str, report: dict[str, Any], *, unchanged: bool, as_json: bool) -> None:
    """Print a report for a person, or as one JSON object."""
    if as_json:
        _write(json.dumps({"job": verb, "unchanged": unchanged, **report}))
        return
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH)
    mark = "unchanged, nothing done" if unchanged else "done"
    console.print(f"[bold]{verb}[/bold]: {mark}")
    for part in ("read", "wrote"):
        words = ", ".join(f"{key} {value}" for key, value in report[part].items())
        console.print(f"  {part:7} {words or 'nothing'}", markup=False)
    for line in report["decided"]:
        console.print(f"  decided {line}", markup=False)
    if report.get("table"):
        console.print(
            _table(pd.DataFrame(report["table"]["data"], columns=report["table"]["columns"]))
        )


def table(rows: list[dict[str, Any]]) -> None:
    """Print rows for a person."""
    Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH).print(
        _table(pd.DataFrame(rows))
    )


def line(text: str, *, as_json: bool) -> None:
    """Print one line for a person; nothing where JSON is wanted."""
    if not as_json:
        _write(text)


def failure(text: str, *, as_json: bool) -> None:
    """Print one line about what went wrong, on standard error (as JSON on standard output)."""
    if as_json:
        _write(json.dumps({"error": text}))
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"error: {text}", markup=False)


def warning(text: str) -> None:
    """Print one line about what is not as it should be, on standard error."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"warning: {text}", markup=False)


def _table(frame: pd.DataFrame) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in frame.columns:
        right = pd.api.types.is_numeric_dtype(frame[column])
        table.add_column(str(column), justify="right" if right else "left", no_wrap=True)
    for record in frame.head(ROWS_SHOWN).itertuples(index=False):
        table.add_row(*(_cell(value) for value in record))
    return table


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")

"""The verb: audit a raw file for leaks, before anything of it is mapped or trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jobs.console import Job, Progress, Report, argument, option, required
from jobs.train.leaks import table
from jobs.train.leaks.searching import leaking

if TYPE_CHECKING:
    from cluster.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class LeaksSettings:
    """Which file, what its outcome is, and when its rows are asked about."""

    file: str = argument("A file *.csv or *.parquet, one row per case.")
    label: str = required("Column of the outcome.")
    positive: str | None = option(
        None, "Its values that count as positive, by comma; default: true."
    )
    negative: str | None = option(None, "And as negative, by comma; default: all others.")
    time: str | None = option(None, "Column with the moment at which a row is asked about.")
    empty: str | None = option(None, "Words that stand for no value, by comma.")
    leave_out: str | None = option(None, "Columns nobody would train on, by comma.")
    seed: int = option(7, "Of the sample and of the folds.")

    @property
    def question(self) -> table.Question:
        """The question in them."""
        return table.Question(
            label=self.label,
            positive=_words(self.positive) or table.TRUE,
            negative=_words(self.negative),
            time=self.time,
            leave_out=_words(self.leave_out),
        )


def run(workspace: Workspace, settings: LeaksSettings, progress: Progress) -> Report:
    """Read the file and search its columns."""
    read = table.read(Path(settings.file), _words(settings.empty))
    found = table.audit(read, settings.question, np.random.default_rng(settings.seed))
    leaks = leaking(found.findings)
    return Report(
        read={"file": settings.file, "rows": found.rows, "positives": found.positives},
        wrote={},
        decided=[
            f"leaks: {', '.join(leaks) or 'none'}",
            *(each.said for each in found.findings),
        ],
        figures={"leaks": len(leaks), "suspects": len(found.findings) - len(leaks)},
        table=pd.DataFrame(
            {
                "column": [each.column for each in found.findings],
                "verdict": [each.verdict for each in found.findings],
                "kinds": [", ".join(each.kinds) for each in found.findings],
            }
        ),
    )


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",")) if text else ()


JOB = Job(
    verb="train.leaks",
    summary="Audit a raw table: which of its columns know the outcome from a time after T.",
    settings=LeaksSettings,
    needs=None,
    inputs=lambda workspace, settings: {},
    run=run,
    reads_only=True,
)

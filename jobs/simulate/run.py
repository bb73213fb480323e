"""The story of a simulation: learn from the log, simulate all arms on the same luck, keep, tell."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from cluster.dataset import Dataset
from features import log
from jobs.console import Job, Progress, Report
from jobs.simulate import page, question, words
from jobs.simulate.answer import Answer, answer, under_way
from jobs.simulate.keep import keep
from jobs.simulate.question import SimulateSettings
from serving.forecast import answers

if TYPE_CHECKING:
    from cluster.workspace import Workspace


def inputs(workspace: Workspace, settings: SimulateSettings) -> dict[str, str]:
    """Return the identity of the log's snapshot, the scores, the funnel and the scenario."""
    return question.pins(workspace, question.ask(workspace, settings))


def current(workspace: Workspace, report: dict[str, Any]) -> bool:
    """Does the ref still point at what that run wrote?"""
    ref = workspace.refs.get(report["wrote"]["ref"])
    return ref is not None and ref.target == report["wrote"]["run"]


def run(workspace: Workspace, settings: SimulateSettings, progress: Progress) -> Report:
    """Answer the question and keep the answer as blob, table rows, ref and page."""
    asked = question.ask(workspace, settings)
    found = answer(workspace, asked, asked_runner=settings.runner, progress=progress)
    table = answers.table(found.told, found.names.labels)
    wrote = keep(workspace, found, table)
    folder = Path(settings.to or workspace.settings.home / "reports").resolve()
    wrote |= page.written(found, table, workspace.blobs.get(str(wrote["result"])), folder)
    under_way(workspace, found.question).drop()
    return Report(
        read={
            "log snapshot": asked.snapshot,
            "as of": asked.as_of.isoformat(),
            "unit-steps": found.asked.learnt.unit_steps,
            "open deals": int((found.asked.start.part == 0).sum()),
            "open leads": int((found.asked.start.part == 1).sum()),
        },
        wrote=wrote,
        decided=words.decided(found),
        figures=_figures(found),
        table=_headline(_shown(found, table), max(1, asked.scenario.horizon // 13)),
        inputs=[Dataset.table(log.TABLE, asked.snapshot, found.course.events.num_rows)],
        outputs=[
            Dataset.blob(str(wrote["ref"]), str(wrote["run"])),
            Dataset.table(wrote["table"], wrote["snapshot"], wrote["rows"]),
        ],
    )


def _figures(found: Answer) -> dict[str, object]:
    figures: dict[str, object] = {"grade": found.grade}
    for name, outcome in found.outcomes.items():
        figures[f"{name}_won_mean"] = float(outcome.won.sum(axis=(1, 2, 3)).mean())
    payoffs = {name: dataclasses.asdict(each) for name, each in found.payoffs.items()}
    return figures | ({"payoffs": payoffs} if payoffs else {})


def _shown(found: Answer, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that a reader is shown: of two arms their difference too."""
    return rows if len(found.payoffs) < 2 else rows[rows["scenario"].isin(list(found.outcomes))]


def _headline(rows: pd.DataFrame, every: int) -> pd.DataFrame:
    """Return the cumulative forecast of all units for a reader: the median and the 90 % interval,
    every so many steps and at the last; values in thousands of the currency.
    """
    chosen = rows[(rows["dimension"] == answers.ALL) & (rows["part"] == answers.ALL)]
    last = int(rows["step"].max())
    chosen = chosen[(chosen["span"] == "cumulative")]
    chosen = chosen[(chosen["step"] % every == 0) | (chosen["step"] == last)]
    names = list(chosen["scenario"].unique())
    columns = {}
    for measure in answers.MEASURES:
        for name in names if measure == "won" else names[-1:]:
            one = chosen[(chosen["scenario"] == name) & (chosen["measure"] == measure)]
            word = measure.removesuffix("_cents")
            columns[f"{name} {word}"] = _texts(one.set_index("step"), measure).to_dict()
    return pd.DataFrame(columns).rename_axis("step").reset_index()


def _texts(rows: pd.DataFrame, measure: str) -> pd.Series:
    unit, mark = (100_000, "k") if measure == "value_cents" else (1, "")
    low, mid, high = (
        rows[name].floordiv(unit).map("{:,}".format) for name in ("p05", "p50", "p95")
    )
    return mid + mark + " (" + low + "–" + high + ")"


JOB = Job(
    verb="simulate",
    summary="Forecast what is won, and its value, with and without the levers of a scenario.",
    settings=SimulateSettings,
    needs=None,
    inputs=inputs,
    run=run,
    current=current,
)

"""The story of a simulation: learn from the log, simulate both arms on the same luck, keep,
tell."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from cluster import canonical
from cluster.dataset import Dataset
from features import log
from jobs.console import Job, Progress, Report
from jobs.simulate import question
from jobs.simulate.answer import Answer, answer
from jobs.simulate.keep import keep
from jobs.simulate.question import SimulateSettings
from serving.forecast import history, summary
from serving.forecast.scenario import GRADE_WORDS

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from serving.forecast.summary import Payoff


def inputs(workspace: Workspace, settings: SimulateSettings) -> dict[str, str]:
    """Return the identity of the log's snapshot and of the scenario."""
    scenario = question.load(settings).model_dump(mode="json")
    return {"log": str(log.pinned(workspace.tables)), "scenario": canonical.digest(scenario)}


def current(workspace: Workspace, report: dict[str, Any]) -> bool:
    """Does the ref still point at what that run wrote?"""
    ref = workspace.refs.get(report["wrote"]["ref"])
    return ref is not None and ref.target == report["wrote"]["run"]


def run(workspace: Workspace, settings: SimulateSettings, progress: Progress) -> Report:
    """Answer the question and keep the answer as blob, table rows and ref."""
    asked = question.ask(workspace, settings)
    events = workspace.tables.read(log.TABLE, asked.snapshot, columns=history.COLUMNS)
    past = history.read(events, asked.as_of)
    found = answer(workspace.settings, asked, past, asked_runner=settings.runner, progress=progress)
    table = summary.table(found.outcomes)
    wrote = keep(workspace, found, table)
    return Report(
        read={
            "log snapshot": asked.snapshot,
            "as of": asked.as_of.isoformat(),
            "deal-weeks": len(past.deal_weeks),
            "lead-weeks": len(past.lead_weeks),
            "open deals": found.asked.start.deals.size,
            "open leads": found.asked.start.leads.size,
        },
        wrote=wrote,
        decided=_decided(found),
        figures=_figures(found),
        table=summary.headline(table),
        inputs=[Dataset.table(log.TABLE, asked.snapshot, len(events))],
        outputs=[Dataset.blob(str(wrote["ref"]), str(wrote["run"])), _rows_written(wrote)],
    )


def _rows_written(wrote: dict[str, Any]) -> Dataset:
    return Dataset.table(wrote["table"], wrote["snapshot"], wrote["rows"])


def _decided(found: Answer) -> list[str]:
    scenario, rates = found.question.scenario, found.asked.hazards
    lines = [
        f"runner: {found.choice}; 1,000 simulated weeks of a lead or deal count as a row",
        f"{scenario.draws:,} draws over {scenario.horizon_weeks} weeks, seed {scenario.seed}",
        f"weekly shock common to all deals: sd {rates.shock_sd:.2f} on the log odds",
        f"evidence: {GRADE_WORDS[scenario.grade()]}",
        "intervals carry chance, rates and shocks; their coverage is not measured yet",
    ]
    if found.estimate is not None:
        lines.append(f"effect of a contact, estimated: {found.estimate}")
    if found.payoff is not None:
        lines.append(_payoff(scenario.name, found.payoff))
    return lines


def _payoff(name: str, payoff: Payoff) -> str:
    extra, low, high = payoff.won
    value = payoff.value_cents[0] / 100
    return (
        f"{name}: {extra:+.1f} deals (90 % interval {low:+d} to {high:+d}), {value:+,.0f} in value,"
        f" for {payoff.contacts:,.0f} contacts that cost {payoff.cost_cents / 100:,.0f};"
        f" it pays with probability {payoff.pays:.2f}"
    )


def _figures(found: Answer) -> dict[str, object]:
    figures: dict[str, object] = {"grade": found.question.scenario.grade()}
    for name, outcome in found.outcomes.items():
        figures[f"{name}_won_mean"] = float(outcome.won.sum(axis=(1, 2)).mean())
    if found.payoff is not None:
        figures["payoff"] = dataclasses.asdict(found.payoff)
    return figures


JOB = Job(
    verb="simulate",
    summary="Forecast won deals and value per week, with and without the levers of a scenario.",
    settings=SimulateSettings,
    needs=None,
    inputs=inputs,
    run=run,
    current=current,
)

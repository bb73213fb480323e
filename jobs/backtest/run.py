"""The story of a backtest: forecast again from past origins, look what became of it, tell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cluster.dataset import Dataset
from cluster.errors import FunnelcastError
from features import log
from jobs import pages
from jobs.backtest import added, baselines, page, results, single, walking
from jobs.backtest import asked as asking
from jobs.backtest.asked import BacktestSettings
from jobs.console import Job, Progress, Report
from serving.forecast import tested

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.workspace import Workspace
    from jobs.backtest.asked import Asked
    from jobs.backtest.page import Dossier
    from jobs.backtest.results import Judged


class NothingSaid(FunnelcastError):
    """No origin had enough history for a forecast."""


def inputs(workspace: Workspace, settings: BacktestSettings) -> dict[str, str]:
    """Return the identity of the log's snapshot and of what is asked."""
    found = asking.ask(workspace, settings)
    return {"log": str(found.snapshot), "run": found.plan.run}


def current(workspace: Workspace, report: dict[str, Any]) -> bool:
    """Does the ref still point at what that run wrote?"""
    ref = workspace.refs.get(report["wrote"]["ref"])
    return ref is not None and ref.target == report["wrote"]["run"]


def run(workspace: Workspace, settings: BacktestSettings, progress: Progress) -> Report:
    """Walk over the origins, judge all forecasters, write the page, and say which run counts."""
    found = asking.ask(workspace, settings)
    place = asking.place(workspace, found)
    ran = walking.walked(workspace, found, place, progress)
    rows = _rows(workspace, found)
    _move(workspace, found)
    told = dossier(found, rows, _deals(workspace, found))
    path = Path(settings.to or workspace.settings.home / "reports").resolve()
    path = path / f"backtest-{found.funnel.name}.html"
    pages.write(path, page.render(told).encode())
    return Report(
        read={"log snapshot": found.snapshot, "origins": len(found.plan.origins)},
        wrote={
            "ref": tested.ref(found.funnel.name),
            "run": found.plan.run,
            "table": tested.TABLE,
            "rows": len(rows),
            "page": str(path),
        },
        decided=[f"runner: {ran}", *told.added, *told.recalibration],
        figures=_figures(told.judged),
        table=_table(told.judged),
        inputs=[Dataset.table(log.TABLE, found.snapshot, place.events.num_rows)],
        outputs=[],
    )


def dossier(found: Asked, rows: pd.DataFrame, told: pd.DataFrame) -> Dossier:
    """Return what the page is about, from the rows of the run, and those of its deals."""
    rng = np.random.default_rng(found.settings.seed)
    against, deals = results.against(rng, rows, found.every), single.judged(told, tested.UNSCORED)
    return page.Dossier(
        funnel=found.funnel.name,
        run=found.plan.run,
        as_of=f"{found.latest:%Y-%m-%d %H:%M}",
        step=found.funnel.step_name,
        every=found.every,
        rows=rows,
        judged=results.judged(rows, found.every),
        against=against,
        absent=_absent(rows) | _unscored(found, rows),
        recalibration=_recalibration(found, rows),
        added=added.said(against, single.compared(rng, told, tested.UNSCORED, found.every)),
        deals=deals,
        curve=None if deals is None else single.curve(told),
    )


def _deals(workspace: Workspace, found: Asked) -> pd.DataFrame:
    every = workspace.tables.read(single.TABLE).to_pandas()
    mine = every[(every["run"] == found.plan.run) & (every["funnel"] == found.funnel.name)]
    return mine[mine["origin"].isin(found.plan.origins)].reset_index(drop=True)


def _rows(workspace: Workspace, found: Asked) -> pd.DataFrame:
    every = workspace.tables.read(tested.TABLE).to_pandas()
    mine = every[(every["run"] == found.plan.run) & (every["funnel"] == found.funnel.name)]
    mine = mine[mine["origin"].isin(found.plan.origins)]
    if not (mine["forecaster"] == tested.OURS).any():
        raise NothingSaid(
            f"origins of '{found.funnel.name}' must have a history to forecast from, got"
            f" {len(found.plan.origins)} that have none: ingest more, or ask for fewer origins"
        )
    return mine.reset_index(drop=True)


def _move(workspace: Workspace, found: Asked) -> None:
    name = tested.ref(found.funnel.name)
    before = workspace.refs.get(name)
    if before is None or before.target != found.plan.run:
        workspace.refs.move(
            name,
            to=found.plan.run,
            expect_epoch=before.epoch if before else 0,
            actor="jobs.backtest",
            reason="a newer backtest",
            now=workspace.clock(),
        )


def _absent(rows: pd.DataFrame) -> dict[str, str]:
    there = set(rows["forecaster"])
    return {
        name: "said nothing: the log has too little of what it needs"
        for name in baselines.NAMES
        if name not in there
    }


def _unscored(found: Asked, rows: pd.DataFrame) -> dict[str, str]:
    """Return why nothing was forecast without scores, where a funnel has them."""
    if not found.funnel.scores or (rows["forecaster"] == tested.UNSCORED).any():
        return {}
    targets = " and ".join(each.target for each in found.funnel.scores)
    why = f"there are no scores of past moments: python -m jobs.train.past makes those of {targets}"
    return {tested.UNSCORED: why}


def _recalibration(found: Asked, rows: pd.DataFrame) -> list[str]:
    """Return what is said of the intervals of the next forecast."""
    said = tested.said(rows, "won", found.step, found.latest)
    return said[1] if said else []


def _table(judged: Sequence[Judged]) -> pd.DataFrame:
    chosen = [each for each in judged if each.series == tested.ALL and each.measure == "won"]
    return pd.DataFrame(
        [
            {
                "forecaster": page.NAMES.get(each.forecaster, each.forecaster),
                "horizon": each.horizon or "all",
                "origins": each.origins,
                "WAPE": _share(each.wape),
                "bias": _share(each.bias),
                "CRPS": f"{each.crps:.2f}",
                **{f"{c.level:.0%} held": f"{c.share:.0%}" for c in each.coverage},
            }
            for each in chosen
        ]
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _figures(judged: Sequence[Judged]) -> dict[str, object]:
    return {
        f"{each.forecaster}_{each.series}_{each.measure}_{each.horizon or 'all'}_crps": each.crps
        for each in judged
        if each.series == tested.ALL
    }


JOB = Job(
    verb="backtest",
    summary="Forecast again from past moments, and measure how good that was.",
    settings=BacktestSettings,
    needs=None,
    inputs=inputs,
    run=run,
    current=current,
)

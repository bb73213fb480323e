"""How long the experiment of a flag is expected to take, before it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from cluster.errors import done
from jobs.console import Report
from serving.leading import pace

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from jobs.flags.asked import Asked
    from serving.leading.pace import Pace


def estimated(workspace: Workspace, asked: Asked) -> Report:
    """Return what each comparison takes at the pace of the log's newest days, as if each account
    were told its variant when its first row of the target comes; FunnelcastError without a pace.
    """
    found = done(pace.of(workspace, asked.target))
    rows = [_row(asked, found, name) for name in asked.flag.compared]
    return Report(
        read={"flag": asked.flag.id, "target": asked.target.name},
        wrote={},
        decided=[*(_sentence(asked, row) for row in rows), _pace(found)],
        figures={"comparisons": rows, **vars(found)},
        table=pd.DataFrame(rows),
    )


def _row(asked: Asked, found: Pace, name: str) -> dict[str, object]:
    shares = asked.flag.shares
    took = done(
        pace.lasting(
            asked.each,
            asked.target,
            found,
            share=asked.flag.compared[name],
            part=shares[name] + shares[asked.each.usual],
        )
    )
    return {"variant": name, **vars(took)}


def _sentence(asked: Asked, row: dict[str, object]) -> str:
    each = asked.each
    return (
        f"{row['variant']}: a rate {each.ratio:g} times that of {each.usual} is found with power"
        f" {each.power:.0%} after {row['outcomes']:,} outcomes of both: {row['accounts']:,}"
        f" accounts, {row['days']:,.0f} days; within {each.most_days:g} days with power"
        f" {row['power']:.0%}"
    )


def _pace(found: Pace) -> str:
    return (
        f"at {found.accounts_per_day:,.1f} new accounts a day of which {found.rate:.1%} have the"
        " outcome"
    )

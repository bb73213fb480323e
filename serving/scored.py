"""The scores that tell the units of a funnel apart, read back: those of past moments, each by a
model that knew no more than was known then.

`jobs.train.past` writes them. A target that has none yet gives the scores of now instead, which
say nothing of the past: chances are then the same for all, but for what is learnt from now on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from cluster.errors import WrongUse
from features import log
from features.targets import load_target
from serving.forecast.strata import SCORES, Scored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.tables import Tables
    from features.targets import Target
    from serving.forecast.funnels import Funnel

SCHEMA = pa.schema(
    [
        pa.field("entity", pa.string(), nullable=False),
        pa.field("account", pa.string()),
        pa.field("time", log.MICROSECONDS, nullable=False),  # of the features, and of the score
        pa.field("probability", pa.float64(), nullable=False),
        pa.field(
            "is_own", pa.bool_(), nullable=False
        ),  # else that of another: see jobs.train.past.lots
        pa.field("learnt_at", log.MICROSECONDS, nullable=False),  # what the model knew: all by then
        pa.field("made", pa.string(), nullable=False),  # the name of all that rows depend on
    ]
)

_READ = ["entity", "time", "probability"]


def past(tables: Tables, funnel: Funnel) -> tuple[Scored, ...]:
    """Return the scores of past moments of a funnel's targets; WrongUse for one of accounts."""
    return tuple(_read(tables, funnel, only_past=True))


def known(tables: Tables, funnel: Funnel) -> tuple[Scored, ...]:
    """Return them too, and those of now of a target that has no others."""
    return tuple(_read(tables, funnel, only_past=False))


def heads(tables: Tables, funnel: Funnel) -> dict[str, str]:
    """Return the newest snapshot of every table that `known` reads, by its name."""
    targets = [load_target(each.target) for each in funnel.scores]
    names = [_table(tables, target, only_past=False) for target in targets]
    return {name: str(tables.head(name)) for name in names}


def made(tables: Tables, funnel: Funnel) -> dict[str, list[str]]:
    """Return how the scores of past moments were made, by target. Those of a moment stay what they
    are while others are added.
    """
    found = {}
    for each in funnel.scores:
        name = load_target(each.target).past_scores_table
        there = tables.head(name) is not None
        names = tables.read(name, columns=["made"])["made"].unique().to_pylist() if there else []
        found[each.target] = sorted(names)
    return found


def _read(tables: Tables, funnel: Funnel, *, only_past: bool) -> Iterator[Scored]:
    """Yield the scores of each target; none of one that has none, so that bands keep their
    numbers.
    """
    for each in funnel.scores:
        target = load_target(each.target)
        name = _table(tables, target, only_past=only_past)
        if target.entity == "account":
            raise WrongUse(
                f"scores of '{funnel.name}' must be of leads or opportunities, got '{target.name}'"
                " of accounts: take another target"
            )
        rows = SCORES.empty_table()
        if tables.head(name) is not None:
            said = tables.read(name, columns=_READ).select(_READ)
            rows = said.rename_columns(SCORES.names).cast(SCORES)
        yield Scored(target.name, target.entity, rows, each.bands)


def _table(tables: Tables, target: Target, *, only_past: bool) -> str:
    has_past = tables.head(target.past_scores_table) is not None
    return target.past_scores_table if has_past or only_past else target.scores_table

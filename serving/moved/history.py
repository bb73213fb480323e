"""The events behind two scores, from the log as it was known at both: bucket by bucket, and of each
no more than what is about the entities asked for.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster import session
from cluster.rowgroups import filtered
from features import log, spine
from serving.moved import retold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cluster.tables import Bucket
    from cluster.workspace import Workspace
    from features.targets import Target
    from features.views import View
    from serving.moved.retold import Retold, Span

type Read = Callable[[Sequence[str]], Iterator[pa.Table]]
type Flags = np.ndarray  # bool


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Whom one asks about, between which moments, and by which view."""

    target: Target
    view: View
    entities: Sequence[str]
    accounts: Sequence[str]  # all that they ever were of
    span: Span
    log_then: int | None  # snapshot of the log; None when it is gone
    log_now: int


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the log says of the entities of one bucket."""

    rows: Retold
    came: dict[str, pa.Table]  # by entity: the events of `retold.arrived` that the view looks at


def told(workspace: Workspace, asked: Asked) -> list[Told]:
    """Return what the log says of entities, by bucket; buckets without them are left out."""
    buckets = workspace.tables.buckets(log.TABLE, asked.log_now)
    then = _by_number(workspace, asked.log_then)
    with ThreadPoolExecutor(session.cores(workspace.settings)) as threads:
        found = threads.map(
            lambda bucket: _of_bucket(workspace, asked, bucket, then.get(bucket.number)), buckets
        )
        return [each for each in found if each is not None]


def _by_number(workspace: Workspace, snapshot: int | None) -> dict[int, Bucket]:
    every = workspace.tables.buckets(log.TABLE, snapshot) if snapshot else []
    return {bucket.number: bucket for bucket in every}


def _of_bucket(
    workspace: Workspace, asked: Asked, bucket: Bucket, then: Bucket | None
) -> Told | None:
    events = about(partial(workspace.tables.read_groups, bucket), asked)
    rows = spine.chosen(asked.target, events, list(asked.entities), asked.span.now)
    if not rows.num_rows:
        return None
    # a bucket that held nothing then had no file
    ids = None if asked.log_then is None else _ids(workspace, asked, then)
    came = retold.arrived(events, ids, asked.span)
    each = zip(rows["entity"].to_pylist(), rows["account"].to_pylist(), strict=True)
    return Told(
        rows=retold.retold(asked.view, events, rows, asked.span),
        came={e: retold.looked_at(asked.view, came, e, account) for e, account in each},
    )


def _ids(workspace: Workspace, asked: Asked, then: Bucket | None) -> pa.ChunkedArray:
    if then is None:
        return pa.chunked_array([pa.array([], pa.binary(16))])
    return about(partial(workspace.tables.read_groups, then), asked, ["event_id"])["event_id"]


def about(read: Read, asked: Asked, columns: Sequence[str] = log.SCHEMA.names) -> pa.Table:
    """Return the events of one bucket about the entities or their accounts, with every version of
    their rows.
    """
    keys = [(asked.target.entity, asked.entities), ("account", asked.accounts)]

    def is_theirs(events: pa.Table) -> Flags:
        found = [
            pc.is_in(events[key].cast(pa.string()), pa.array(k, pa.string())) for key, k in keys
        ]
        theirs: Flags = np.any([each.to_numpy() for each in found], axis=0)
        return theirs

    named = dict.fromkeys(["event_id", *(key for key, _ in keys)])
    rows = np.unique(log.halves(_only(read(list(named)), is_theirs)["event_id"])[0])

    def is_of_these(events: pa.Table) -> Flags:
        found: Flags = np.isin(log.halves(events["event_id"])[0], rows)
        return found

    return _only(read(columns), is_of_these)


def _only(parts: Iterator[pa.Table], is_wanted: Callable[[pa.Table], Flags]) -> pa.Table:
    kept = [filtered(part, is_wanted(part)) for part in parts]
    return pa.concat_tables(kept, promote_options="permissive").unify_dictionaries()

"""What scores were made from, as their snapshot says: it is written with them, and found again when
they are to be replayed. An input that is gone is named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from cluster import canonical
from cluster.blobs import BlobMissing
from cluster.errors import FunnelcastError, Refusal, WrongUse
from cluster.tables import SnapshotMissing, TableMissing
from features import log
from features.views import VIEWS, View, register
from serving.moved.properties import (
    AS_OF,
    MODEL,
    POLICY,
    PREVIOUS,
    ROUTING,
    ROWS,
    TARGET,
    VIEW,
)
from serving.moved.split import Side
from serving.policy import Policy
from serving.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.workspace import Workspace
    from serving.decide import Basis
    from serving.model import Model


class InputGone(FunnelcastError):
    """Something that scores were made from is not there any more."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A snapshot of feature rows."""

    table: str
    snapshot: int


@dataclass(frozen=True, kw_only=True)
class Made:
    """What one snapshot of scores was made from, ready to be made again."""

    snapshot: int  # of the scores
    rows: Rows
    model: str  # its id
    side: Side
    views: str  # names and versions, in one line
    view: View  # all of them as one
    as_of: datetime  # T of all rows
    events: int  # snapshot of the log that the rows were made from


def properties(
    workspace: Workspace, basis: Basis, policy: Policy, rows: Rows, previous: int | None
) -> dict[str, str]:
    """Return what a snapshot of scores says about its making."""
    told = workspace.tables.properties(rows.table, rows.snapshot)
    before = {} if previous is None else {PREVIOUS: str(previous)}
    as_of = {AS_OF: told[AS_OF]} if AS_OF in told else {}
    return {
        ROWS: f"{rows.table}@{rows.snapshot}",
        MODEL: basis.model,
        POLICY: basis.policy,
        ROUTING: canonical.dumps(policy.model_dump(mode="json")).decode(),
        TARGET: basis.target,
        VIEW: basis.view,
        **as_of,
        **before,
    }


def before(workspace: Workspace, table: str, snapshot: int) -> int:
    """Return the snapshot of the scores before those of a snapshot; InputGone if there are none."""
    said = _said(workspace, table, snapshot)
    if PREVIOUS not in said:
        raise InputGone(
            Refusal(
                rule=f"'{table}' must have been scored twice",
                value="one time",
                remedy="score again when there are new events, then ask why",
            )
        )
    return int(said[PREVIOUS])


def made(workspace: Workspace, table: str, snapshot: int, *, beside: Made | None = None) -> Made:
    """Return what the scores of a snapshot were made from; InputGone names the first that is gone,
    BundleBroken or ViewBroken one that is damaged. A model that is `beside` is not loaded again.
    """
    said = _said(workspace, table, snapshot)
    if ROUTING not in said:
        raise _gone(f"policy {said.get(POLICY)} of the scores {snapshot}")
    named, _, number = said[ROWS].partition("@")
    rows = Rows(table=named, snapshot=int(number))
    told = _said(workspace, named, rows.snapshot)
    if not {AS_OF, log.MADE_FROM} <= told.keys():
        raise _gone(f"what the rows {named}@{rows.snapshot} were made from")
    return Made(
        snapshot=snapshot,
        model=said[MODEL],
        rows=rows,
        side=Side(
            model=beside.side.model
            if beside and beside.model == said[MODEL]
            else _model(workspace, said[MODEL]),
            policy=Policy.model_validate_json(said[ROUTING]),
        ),
        views=said[VIEW],
        view=_view(workspace, said[VIEW]),
        as_of=datetime.fromisoformat(told[AS_OF]),
        events=int(told[log.MADE_FROM]),
    )


def log_there(workspace: Workspace, snapshot: int) -> int:
    """Return the snapshot of the log; InputGone unless it is kept."""
    _said(workspace, log.TABLE, snapshot)
    return snapshot


def log_if_there(workspace: Workspace, snapshot: int) -> int | None:
    """Return the snapshot of the log; None unless it is kept."""
    try:
        return log_there(workspace, snapshot)
    except InputGone:
        return None


def _said(workspace: Workspace, table: str, snapshot: int) -> Mapping[str, str]:
    what = f"snapshot {snapshot} of '{table}'"
    return _found(what, lambda: workspace.tables.properties(table, snapshot))


def _model(workspace: Workspace, id: str) -> Model:
    models = Registry(workspace.blobs, workspace.refs, workspace.journal)
    return _found(f"model {id}", lambda: models.get(id)[1])


def _view(workspace: Workspace, said: str) -> View:
    """Return the views of a line like `lead_engagement@1b2c,lead_cadence@3d4e` as one."""
    first, *others = several = [_one(workspace, *each.split("@")) for each in said.split(",")]
    if not others:
        return first
    every = tuple(feature for each in several for feature in each.features)
    return replace(first, name=said, features=every)


def _one(workspace: Workspace, name: str, version: str) -> View:
    """Return a view of a version: as it is declared, else as it was on record."""
    declared = {each.name: each for each in VIEWS}.get(name)
    if declared is not None and declared.version == version:
        return declared
    what = f"view '{name}' in version {version}"
    return _found(what, lambda: register.load(workspace, name, version))


def _found[T](what: str, look: Callable[[], T]) -> T:
    try:
        return look()
    except (SnapshotMissing, TableMissing, BlobMissing, WrongUse) as error:
        raise _gone(what) from error


def _gone(what: str) -> InputGone:
    return InputGone(
        Refusal(
            rule=f"{what} must be kept to tell why a score moved",
            value="nothing there",
            remedy="score again; the next change can be told",
        )
    )

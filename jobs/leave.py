"""Leave: what a job needs of who runs it, asked before it starts and again at each ref it moves."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cluster.access.acting import Leave, Said
from cluster.access.governed import Governed
from cluster.access.permissions import Permission
from cluster.errors import WrongUse, nearest
from jobs import clearance

if TYPE_CHECKING:
    from cluster.access.acting import Acting
    from cluster.workspace import Workspace

# of a job, or of each of its actions; None: it changes nothing that is governed, but for refs that
# it may move on its way, which ask for themselves
type Needs = Permission | Mapping[str, Permission | None] | None


def admitted[S](
    verb: str, needs: Needs, settings: S, workspace: Workspace, said: Said | None
) -> tuple[S, Workspace, Acting | None]:
    """Return the settings and the workspace that a job runs with, and who acts if it needs leave.

    NotAllowed for who may not; WrongUse for an action that declares nothing. A job that has an
    actor and a reason among its settings gets those that hold, not those that were said.
    """
    needed, given = need(needs, settings), _given(settings)
    said = dataclasses.replace(said or Said.of(os.environ), **given)
    wanted = clearance.needed(workspace, getattr(settings, "clearance", None))
    if wanted is not None:
        Leave(workspace, said).clear(wanted)
    if needed is None:
        return settings, _governed(workspace, said), None
    passing = None if given else f"jobs.{verb}"
    acting = Leave(workspace, said).ask(needed, _what(verb, settings), passing=passing)
    if given:
        holds = {"actor": acting.actor, "reason": acting.reason}
        settings = dataclasses.replace(settings, **holds)  # type: ignore[type-var]
        said = dataclasses.replace(said, **holds)
    return settings, _governed(workspace, said), acting


def _governed(workspace: Workspace, said: Said) -> Workspace:
    """Return the workspace with refs that ask whoever moves them."""
    refs = Governed(workspace.database, Leave(workspace, said))
    return dataclasses.replace(workspace, refs=refs)


def need(needs: Needs, settings: Any) -> Permission | None:
    """Return what is needed for these settings; WrongUse for an action that declares nothing."""
    if not isinstance(needs, Mapping):
        return needs
    if settings.action not in needs:
        raise WrongUse(
            f"an action must declare what it needs, got '{settings.action}' without:"
            f" {nearest(settings.action, needs)}"
        )
    return needs[settings.action]


def _given(settings: Any) -> dict[str, str | None]:
    """Return actor and reason of a job that has them among its settings."""
    names = {field.name for field in dataclasses.fields(settings)} & {"actor", "reason"}
    return {name: getattr(settings, name) for name in sorted(names)}


def _what(verb: str, settings: object) -> str:
    action = getattr(settings, "action", None)
    return f"jobs.{verb} {action}" if action else f"jobs.{verb}"

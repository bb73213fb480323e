"""The story of a look at the keys: issue, list, rotate or revoke.

A new key is the only line on standard output, where it may be piped into a safe place; whatever
else is to be said of it goes to standard error. With --json it is the member `key` of the report.
"""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.access import keyring
from cluster.access.acting import Leave, Said
from cluster.access.document import load_roles
from cluster.access.keystore import Asked, Issued, KeyStore
from cluster.access.permissions import Permission
from cluster.errors import FunnelcastError, done
from cluster.settings import load_settings
from cluster.workspace import Workspace
from jobs import show
from jobs.access import table
from jobs.access.spans import span
from jobs.actions import require
from jobs.console import Report, guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.access.apikeys import ApiKey
    from cluster.access.entries import Act

VERB = "access"
EXPIRES_IN, OVERLAP = "90d", "24h"  # unless told otherwise

# of each action: the settings that it must have, and those that it may have
ACTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "issue": (
        ("name", "role"),
        ("actor", "reason", "scope", "region", "team", "expires_in", "starts_in"),
    ),
    "list": ((), ()),
    "rotate": (("id",), ("actor", "reason", "expires_in", "overlap")),
    "revoke": (("id",), ("actor", "reason")),
}
NEEDS = {action: None if action == "list" else Permission.KEYS_MANAGE for action in ACTIONS}
OPTIONS = ("name", "role", "scope", "region", "team", "expires_in", "starts_in", "overlap")

Names = list[str] | None  # a plain name: typer reads no other


class AccessRefused(FunnelcastError):
    """A key that cannot be rotated or revoked."""


@dataclass(frozen=True, kw_only=True)
class AccessSettings:
    """What to do, with which key, and why."""

    action: str
    id: str | None = None
    name: str | None = None
    role: Names = None
    scope: Names = None
    region: Names = None
    team: Names = None
    expires_in: str | None = None
    starts_in: str | None = None
    overlap: str | None = None
    actor: str | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        """WrongUse for an action that is none, and for what it cannot use or must have."""
        require(self, ACTIONS, ("id",), (*OPTIONS, "actor", "reason"))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was done, and the key that was made, which is shown once."""

    report: Report
    key: ApiKey | None = None


def main(
    action: Annotated[str, typer.Argument(help="issue, list, rotate or revoke.")],
    id: Annotated[str | None, typer.Argument(help="rotate, revoke: id of a key.")] = None,
    *,
    name: Annotated[str | None, typer.Option(help="issue: who will hold the key.")] = None,
    role: Annotated[Names, typer.Option(help="issue: a role; may be given again.")] = None,
    scope: Annotated[
        Names, typer.Option(help="issue: a permission; with it only those given, of the roles'.")
    ] = None,
    region: Annotated[
        Names, typer.Option(help="issue: a region whose rows are seen; by default all.")
    ] = None,
    team: Annotated[
        Names, typer.Option(help="issue: a team whose rows are seen; by default all.")
    ] = None,
    expires_in: Annotated[
        str | None, typer.Option(help=f"issue, rotate: such as 90d, 12h; by default {EXPIRES_IN}.")
    ] = None,
    starts_in: Annotated[
        str | None, typer.Option(help="issue: when it becomes valid; by default at once.")
    ] = None,
    overlap: Annotated[
        str | None,
        typer.Option(help=f"rotate: how long the old key stays valid; by default {OVERLAP}."),
    ] = None,
    actor: Annotated[str | None, typer.Option(help="issue, rotate, revoke: who does it.")] = None,
    reason: Annotated[str | None, typer.Option(help="issue, rotate, revoke: why.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Issue, list, rotate and revoke API keys; each change is journalled with actor and reason."""
    given = {"action": action, "id": id, "actor": actor, "reason": reason, "name": name}
    lists = {"role": role, "scope": scope, "region": region, "team": team}
    spans = {"expires_in": expires_in, "starts_in": starts_in, "overlap": overlap}
    several = {option: values or None for option, values in lists.items()}
    with guarded(json), Workspace.open(load_settings(os.environ)) as workspace:
        settings = AccessSettings(**given, **several, **spans)  # type: ignore[arg-type]
        _tell(run(workspace, settings), as_json=json)


def run(workspace: Workspace, settings: AccessSettings) -> Outcome:
    """Do what is asked."""
    actions: dict[str, Callable[[Workspace, AccessSettings], Outcome]] = {
        "issue": _issue,
        "list": _list,
        "rotate": _rotate,
        "revoke": _revoke,
    }
    return actions[settings.action](workspace, settings)


def _tell(outcome: Outcome, *, as_json: bool) -> None:
    told = outcome.report.as_dict()
    if outcome.key is None:
        show.outcome(VERB, told, unchanged=False, as_json=as_json)
    elif as_json:
        show.outcome(VERB, {**told, "key": outcome.key.text}, unchanged=False, as_json=True)
    else:
        show.line(outcome.key.text, as_json=False)
        sys.stdout.flush()
        with redirect_stdout(sys.stderr):
            show.outcome(VERB, told, unchanged=False, as_json=False)


def _issue(workspace: Workspace, settings: AccessSettings) -> Outcome:
    act = _act(workspace, settings)
    starts = span("--starts-in", settings.starts_in or "0s")
    asked = Asked(
        name=settings.name or "",
        roles=tuple(settings.role or ()),
        lifetime=_lifetime(settings),
        scopes=_given(settings.scope),
        regions=_given(settings.region),
        teams=_given(settings.team),
        not_before=act.now + starts if starts > timedelta(0) else None,
    )
    pepper = keyring.read_pepper(workspace.database, workspace.settings)
    return _made(_store(workspace).issue(asked, act, pepper=pepper), [])


def _rotate(workspace: Workspace, settings: AccessSettings) -> Outcome:
    id, act = settings.id or "", _act(workspace, settings)
    overlap = span("--overlap", settings.overlap or OVERLAP)
    pepper = keyring.read_pepper(workspace.database, workspace.settings)
    lifetime = _lifetime(settings)
    store = _store(workspace)
    made = store.rotate(id, act, pepper=pepper, lifetime=lifetime, overlap=overlap)
    issued = done(made, AccessRefused)
    until = next(record.expires_at for record in store.list() if record.id == id)
    return _made(issued, [f"the key {id} stays valid until {table.minute(until)}"])


def _revoke(workspace: Workspace, settings: AccessSettings) -> Outcome:
    # Without the pepper: a key must end also when that is lost.
    record = done(
        _store(workspace).revoke(settings.id or "", _act(workspace, settings)), AccessRefused
    )
    told = [f"{record.id} of {record.name} is refused within a second"]
    if record.rotated_to is not None:
        told.append(f"{record.rotated_to}, to which it was rotated, is a key of its own and stays")
    return Outcome(report=Report(read={}, wrote={"revoked": record.id}, decided=told))


def _list(workspace: Workspace, settings: AccessSettings) -> Outcome:
    records = _store(workspace).list()
    return Outcome(report=table.report(records, workspace.clock()))


def _made(issued: Issued, told: list[str]) -> Outcome:
    record = issued.record
    rows = table.rows_seen(record)
    said = [f"{record.id} is valid until {table.minute(record.expires_at)}", f"it sees {rows}"]
    shown = "this is the only time the key is shown: keep it where secrets are kept"
    report = Report(
        read={},
        wrote={"id": record.id, "name": record.name, "roles": ", ".join(record.roles)},
        decided=[*said, *told, shown],
        figures={"record": record.document()},
    )
    return Outcome(report=report, key=issued.key)


def _store(workspace: Workspace) -> KeyStore:
    return KeyStore(workspace.database, load_roles())


def _act(workspace: Workspace, settings: AccessSettings) -> Act:
    """Return who makes a change and why; NotAllowed for who may not."""
    said = Said.of(os.environ, actor=settings.actor, reason=settings.reason)
    acting = Leave(workspace, said).ask(Permission.KEYS_MANAGE, f"jobs.{VERB} {settings.action}")
    return acting.act(workspace.clock())


def _lifetime(settings: AccessSettings) -> timedelta:
    return span("--expires-in", settings.expires_in or EXPIRES_IN)


def _given(names: Names) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)

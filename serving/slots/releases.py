"""Where releases are kept: a ref per target, and the whole release in the journal, written in the
transaction that moves the ref.

No artefact store has a part in it, so that going back needs none. What follows from a release for
other refs moves with it: when it is promoted, and when that is undone. All of it, or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from pydantic import ValidationError

from cluster import looks, schema
from cluster.access import entries
from cluster.errors import FunnelcastError, Refusal
from cluster.refs import Move
from serving import registry
from serving.registry import alias
from serving.releases.release import Parts, Release, State
from serving.slots import policies

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from cluster.refs import Ref, Refs, Witness
    from cluster.workspace import Workspace

PREFIX = "releases/"
KIND = "release"  # of a journal entry
NOTHING: Mapping[str, Any] = MappingProxyType({})


class ReleaseMissing(FunnelcastError):
    """The journal does not hold what a ref says."""


@dataclass(frozen=True, kw_only=True)
class Note:
    """An entry that is journalled with a move."""

    id: str
    kind: str
    body: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A release as it is since a move of its ref."""

    release: Release
    epoch: int
    since: datetime
    actor: str
    reason: str


def ref_of(target: str) -> str:
    """Return the ref of the releases of a target.

    >>> ref_of("lead_qualification")
    'releases/lead_qualification'
    """
    return PREFIX + target


def current(workspace: Workspace, target: str) -> Kept | None:
    """Return the newest release of a target, open or over; None before the first."""
    ref = workspace.refs.get(ref_of(target))
    return None if ref is None else of_ref(workspace, ref)


def history(workspace: Workspace, target: str, most: int | None = None) -> list[Kept]:
    """Return the releases of a target after each of their moves, or the newest `most` of them,
    oldest first.
    """
    moves = workspace.refs.history(ref_of(target))
    return [of_ref(workspace, ref) for ref in (moves if most is None else moves[-most:])]


def targets(workspace: Workspace) -> list[str]:
    """Return the targets that ever had a release, by name."""
    column = schema.refs.c.name
    query = sa.select(column).where(column.startswith(PREFIX)).order_by(column)
    with workspace.database.connect() as connection:
        return [name.removeprefix(PREFIX) for name in connection.execute(query).scalars()]


def of_ref(workspace: Workspace, ref: Ref) -> Kept:
    """Return the release that a ref named; ReleaseMissing if the journal has it not."""
    body = _body(workspace, ref.name, ref.target)
    try:
        release = Release.model_validate(body["release"])
    except (KeyError, ValidationError) as error:  # other code wrote it
        raise ReleaseMissing(
            f"a release must be of this code's format, got another in '{ref.target}': run the code"
            " that wrote it"
        ) from error
    return Kept(
        release=release,
        epoch=ref.epoch,
        since=ref.moved_at,
        actor=ref.actor,
        reason=ref.reason,
    )


def entry_of(workspace: Workspace, target: str, epoch: int) -> Mapping[str, Any]:
    """Return what the journal holds of a move: the release, actor and reason, and what it rests on;
    ReleaseMissing if it has it not.
    """
    return _body(workspace, ref_of(target), _id(target, epoch))


def _body(workspace: Workspace, name: str, id: str) -> Mapping[str, Any]:
    entry = workspace.journal.get(id)
    if entry is None or entry.kind != KIND:
        raise ReleaseMissing(
            f"'{name}' must name an entry of the journal, got '{id}': verify it with"
            " python -m jobs.audit verify"
        )
    return entry.body


def _id(target: str, epoch: int) -> str:
    return f"{KIND}:{target}:{epoch}"


def put(
    workspace: Workspace,
    after: Release,
    before: Kept | None,
    *,
    actor: str,
    reason: str,
    now: datetime,
    more: Mapping[str, Any] = NOTHING,
    note: Note | None = None,
) -> Kept | Refusal:
    """Keep a release in place of the one before it, and move what follows from that. `more` is
    journalled with it: what it rests on; `note` beside it.

    A Refusal when another moved something meanwhile: nothing is changed then.
    """
    epoch = 0 if before is None else before.epoch
    others = _follow(workspace.refs, after, before.release if before else None)
    if isinstance(others, Refusal):
        return others
    name, id = ref_of(after.target), _id(after.target, epoch + 1)
    act = entries.Act(actor=actor, reason=reason, now=now)
    is_new = before is None or before.release.id != after.id
    tells = [
        _telling(after, id, more, act, is_new=is_new),
        *(_pointing(m, act) for m in others if m.name == alias(after.target)),
        *([] if note is None else [_noted(note, act)]),
    ]
    moved = workspace.refs.move_all(
        [Move(name=name, to=id, expect_epoch=epoch), *others],
        actor=actor,
        reason=reason,
        now=now,
        witness=_all(tells),
    )
    if isinstance(moved, Refusal):
        return moved
    return Kept(release=after, epoch=epoch + 1, since=now, actor=actor, reason=reason)


def answering(refs: Refs, target: str, policy: str, views: dict[str, str]) -> Parts | Refusal:
    """Return what answers now: the live model and the active policy."""
    found = {name: refs.get(name) for name in _names(target, policy)}
    named = [ref.target for ref in found.values() if ref is not None]
    if len(named) < len(found):
        return Refusal(
            rule=f"'{next(n for n in found if not found[n])}' must name something before a release",
            value="nothing",
            remedy="train a model, and publish a policy",
        )
    return Parts(model=named[0], policy=named[1], views=views)


def moved_by(target: str, policy: str, stable: Parts, candidate: Parts) -> list[str]:
    """Return the refs that a release with these parts moves when it is promoted."""
    names = _names(target, policy)
    return [name for name, _, _ in _differing(names, stable, candidate)]


def _all(tells: Sequence[Witness]) -> Witness:
    def write(connection: sa.Connection) -> None:
        for tell in tells:
            tell(connection)

    return write


def _telling(
    release: Release, id: str, more: Mapping[str, Any], act: entries.Act, *, is_new: bool
) -> Witness:
    """Return what journals a release, and where the journal was when it began."""

    def write(connection: sa.Connection) -> None:
        if is_new:
            looks.begin(connection, release.key, act.now)
        entries.hold(connection)
        body = {"release": release.model_dump(mode="json"), **more}
        entries.append(connection, KIND, body, act, id=id)

    return write


def _noted(note: Note, act: entries.Act) -> Witness:
    def write(connection: sa.Connection) -> None:
        entries.append(connection, note.kind, note.body, act, id=note.id)

    return write


def _pointing(move: Move, act: entries.Act) -> Witness:
    """Return what journals the move of a live model as the registry does."""

    def write(connection: sa.Connection) -> None:
        id, body = registry.entry_of(move.made(actor=act.actor, reason=act.reason, now=act.now))
        entries.append(connection, registry.KIND, body, act, id=id)

    return write


def _names(target: str, policy: str) -> tuple[str, str]:
    return alias(target), policies.ref_of(policy)


def _follow(refs: Refs, after: Release, before: Release | None) -> list[Move] | Refusal:
    """Return how model and policy move with a release, if they do: forward as it is promoted, and
    back as that is undone.
    """
    if after.state == State.PROMOTED:
        return _both(refs, after, after.stable, after.candidate)
    if before is not None and before.state == State.PROMOTED and before.id == after.id:
        return _both(refs, after, after.candidate, after.stable)
    return []


def _both(refs: Refs, of: Release, this: Parts, that: Parts) -> list[Move] | Refusal:
    """Return the moves from these parts to those; a Refusal if others are what answers."""
    moves = []
    for name, found, to in _differing(_names(of.target, of.policy), this, that):
        ref = refs.get(name)
        if ref is None or ref.target != found:
            return Refusal(
                rule=f"'{name}' must be what the release {of.id} found, {found[:12]}",
                value=ref.target[:12] if ref else "nothing",
                remedy=f"move '{name}' back, or begin another release",
            )
        moves.append(Move(name=name, to=to, expect_epoch=ref.epoch))
    return moves


def _differing(names: tuple[str, str], this: Parts, that: Parts) -> Iterator[tuple[str, str, str]]:
    """Yield each of the refs that names another thing in that: its name, and both things."""
    both = ((this.model, that.model), (this.policy, that.policy))
    for name, (before, after) in zip(names, both, strict=True):
        if before != after:
            yield name, before, after

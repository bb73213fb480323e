"""Policies under their versions: each a blob, and a ref per name that says which one is active.

A version has one content for ever, so its number grows with it. The moves of the ref are the
history: what was active when, by whom and why. What is published is active at once; going back is
one more move. A policy that was never published is read from configs/policies.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cluster import canonical, schema
from cluster.errors import FunnelcastError, Refusal, WrongUse, nearest
from cluster.settings import CONFIGS
from serving.policy import Policy, load_policy
from serving.slots import document

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from cluster.refs import Ref
    from cluster.workspace import Workspace

PUBLISHED, ACTIVATED = "policy.published", "policy.activated"  # kinds of journal entries
SERVICE, FIRST_START = "service", "first start"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_ID = re.compile(r"(?P<name>.+)@(?P<version>[0-9]+)-(?P<digest>[0-9a-f]{12})")


@dataclass(frozen=True, kw_only=True)
class Version:
    """A policy that was published, and when it first was active."""

    policy: Policy
    digest: str  # name of the blob
    since: datetime
    actor: str
    reason: str
    is_active: bool  # now


def ref_of(name: str) -> str:
    """Return the ref of the active policy of a name; WrongUse if it is no name.

    >>> ref_of("lead_routing")
    'policies/lead_routing/active'
    """
    if not _NAME.fullmatch(name):
        raise WrongUse(
            "the name of a policy must be made of small letters, digits, _ and -, "
            f"got '{name[:80]!r}': name it otherwise"
        )
    return f"policies/{name}/active"


def names(workspace: Workspace) -> list[str]:
    """Return the name of every policy that was ever published."""
    column = schema.refs.c.name
    query = sa.select(column).where(column.like("policies/%/active")).order_by(column)
    with workspace.database.connect() as connection:
        return [name.split("/")[1] for name in connection.execute(query).scalars()]


def active(workspace: Workspace, name: str) -> Policy | Refusal:
    """Return the active policy of a name; a Refusal when none was published, or it is damaged."""
    ref = workspace.refs.get(ref_of(name))
    if ref is None:
        return _missing(workspace, f"a policy '{name}' must be published", name)
    return read(workspace, name, ref.target)


def chosen(workspace: Workspace, name: str) -> Policy | Refusal:
    """Return the policy that a name or a file means: of a name the active one, and what
    configs/policies says while none is.
    """
    if is_file(name) or workspace.refs.get(ref_of(name)) is None:
        return load_policy(name)
    return active(workspace, name)


def is_file(name: str) -> bool:
    """Is this a file, rather than the name of a policy?"""
    return Path(name).suffix in {".yaml", ".yml"}


def declared() -> dict[str, Policy]:
    """Return the policies of configs/policies by name; WrongUse for one that is not its file's."""
    files = sorted((CONFIGS / "policies").glob("*.yaml"))
    found = {path.stem: load_policy(str(path)) for path in files}
    for stem, policy in found.items():
        if policy.name != stem:
            raise WrongUse(
                f"the policy in configs/policies/{stem}.yaml must have its name, got"
                f" '{policy.name}': rename one of them"
            )
    return found


def read(workspace: Workspace, name: str, digest: str) -> Policy | Refusal:
    """Return the policy of a name in a blob; a Refusal when it is damaged, or another's."""
    try:
        policy = document.read(workspace.blobs, digest)
    except FunnelcastError as error:
        return _broken(name, digest, str(error))
    return policy if policy.name == name else _broken(name, digest, f"one called {policy.name!r}")


def of_id(workspace: Workspace, id: str) -> Policy | Refusal:
    """Return the policy of an id, that was ever active; or that a file says, if it never was."""
    said = _ID.fullmatch(id)
    rule = f"the policy {id} must have been active once"
    if said is None or not _NAME.fullmatch(said["name"]):
        return _missing(workspace, rule, id.partition("@")[0])
    name = said["name"]
    for ref in workspace.refs.history(ref_of(name)):
        if ref.target.startswith(said["digest"]):
            return read(workspace, name, ref.target)
    there = declared().get(name)
    return there if there and there.id == id else _missing(workspace, rule, name)


def versions(workspace: Workspace, name: str) -> list[Version]:
    """Return every version that was published, by number; without those that are damaged."""
    moves = workspace.refs.history(ref_of(name))
    first = {move.target: move for move in reversed(moves)}
    found = ((move, read(workspace, name, digest)) for digest, move in first.items())
    known = [
        Version(
            policy=policy,
            digest=move.target,
            since=move.moved_at,
            actor=move.actor,
            reason=move.reason,
            is_active=move.target == moves[-1].target,
        )
        for move, policy in found
        if isinstance(policy, Policy)
    ]
    return sorted(known, key=lambda version: version.policy.version)


def publish(workspace: Workspace, policy: Policy, *, actor: str, reason: str) -> Ref | Refusal:
    """Keep a policy, make it the active one of its name, journal that, and return the ref.

    The active one published again changes nothing. A Refusal when its version is not a new one, or
    another moved the ref meanwhile.
    """
    live = workspace.refs.get(ref_of(policy.name))
    data = canonical.dumps(policy.document)
    digest = canonical.sha256_hex(data)
    if live is None or live.target != digest:
        refusal = _must_grow(policy, digest, versions(workspace, policy.name))
        if refusal is not None:
            return refusal
        workspace.blobs.put(data)
    return _moved(workspace, policy, digest, live, (PUBLISHED, actor, reason))


def activate(
    workspace: Workspace, name: str, version: int, *, actor: str, reason: str
) -> Ref | Refusal:
    """Make a published version the active one again, journal that, and return the ref."""
    live = workspace.refs.get(ref_of(name))
    known = {each.policy.version: each for each in versions(workspace, name)}
    if version not in known:
        return Refusal(
            rule=f"a version of '{name}' must be published",
            value=str(version),
            remedy=f"published are {', '.join(map(str, known)) or 'none'}",
        )
    wanted = known[version]
    return _moved(workspace, wanted.policy, wanted.digest, live, (ACTIVATED, actor, reason))


def begin(workspace: Workspace, policies: Iterable[Policy]) -> None:
    """Publish those whose name was never published, as they are; another may be first."""
    for policy in policies:
        if workspace.refs.get(ref_of(policy.name)) is None:
            publish(workspace, policy, actor=SERVICE, reason=FIRST_START)


def _moved(
    workspace: Workspace,
    policy: Policy,
    digest: str,
    live: Ref | None,
    move: tuple[str, str, str],  # kind, actor, reason
) -> Ref | Refusal:
    """Let the ref name a blob, unless it does, and journal the move, unless it is."""
    kind, actor, reason = move
    ref: Ref | Refusal | None = live
    if live is None or live.target != digest:
        ref = workspace.refs.move(
            ref_of(policy.name),
            to=digest,
            expect_epoch=live.epoch if live else 0,
            actor=actor,
            reason=reason,
            now=workspace.clock(),
        )
    if ref is None or isinstance(ref, Refusal):
        return ref  # type: ignore[return-value]
    _record(workspace, policy, ref, kind)
    return ref


def _record(workspace: Workspace, policy: Policy, ref: Ref, kind: str) -> None:
    # whoever made this move may have died before its entry, and may have called it otherwise
    ids = [f"{kind}:{ref.name}:{ref.epoch}" for kind in (PUBLISHED, ACTIVATED)]
    if any(workspace.journal.get(id) is not None for id in ids):
        return
    body = {
        "policy": policy.id,
        "name": policy.name,
        "version": policy.version,
        "blob": ref.target,
        "epoch": ref.epoch,
        "actor": ref.actor,
        "reason": ref.reason,
    }
    id = f"{kind}:{ref.name}:{ref.epoch}"
    workspace.journal.record(kind, body, id=id, now=ref.moved_at)


def _must_grow(policy: Policy, digest: str, known: list[Version]) -> Refusal | None:
    newest = max((each.policy.version for each in known), default=0)
    if policy.version > newest:
        return None
    same = any(each.digest == digest for each in known)
    back = f"activate it: python -m jobs.policies activate {policy.name} {policy.version}"
    return Refusal(
        rule=f"another content of '{policy.name}' must have a version above {newest}",
        value=f"{policy.version}, which is published" if same else str(policy.version),
        remedy=back if same else f"give it version {newest + 1}",
    )


def _missing(workspace: Workspace, rule: str, name: str) -> Refusal:
    known = names(workspace)
    hint = nearest(name, known) if known else "publish it: python -m jobs.policies publish"
    return Refusal(rule=rule, value="none", remedy=hint)


def _broken(name: str, digest: str, found: str) -> Refusal:
    return Refusal(
        rule=f"the policy {digest[:12]} of '{name}' must be one that was published",
        value=found,
        remedy=f"activate another version: python -m jobs.policies activate {name} VERSION",
    )

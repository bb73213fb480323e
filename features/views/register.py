"""The register: every definition of a view that was ever used, since when, and what was changed.

A definition is a blob, the document of the view; the ref `views/<name>` points to the one used
last. So its history is the change log, and what was computed then can be computed again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster import onrecord
from cluster.errors import WrongUse, nearest
from features.views import document
from features.views.changes import Change, changes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cluster.refs import Ref
    from cluster.workspace import Workspace
    from features.views.language import View

PREFIX = "views/"
ENTRY = "view"  # kind of the journal's entries


@dataclass(frozen=True, kw_only=True)
class OnRecord:
    """A definition and the move that put it on record."""

    view: View
    version: str  # as it was then; the language may have grown since
    digest: str  # name of the blob
    ref: Ref
    changes: tuple[Change, ...]  # since the one before; none for the first


def keep(workspace: Workspace, views: Iterable[View], actor: str, reason: str) -> dict[str, str]:
    """Put definitions on record before they are used; returns the digest of each by name.

    Nothing is written for one that is the newest on record already. Safe to be called again after
    a call that was killed, and by several processes at once.
    """
    return {view.name: _keep(workspace, view, actor, reason) for view in views}


def history(workspace: Workspace, name: str) -> list[OnRecord]:
    """Return every definition of a view, oldest first, each with what it changed."""
    found: list[OnRecord] = []
    for ref in workspace.refs.history(PREFIX + name):
        version, view = document.read(workspace.blobs.get(ref.target))
        changed = tuple(changes(found[-1].view, view)) if found else ()
        found.append(
            OnRecord(view=view, version=version, digest=ref.target, ref=ref, changes=changed)
        )
    return found


def find(workspace: Workspace, name: str, version: str) -> OnRecord:
    """Return the newest definition of a view under a version, or the one beginning of it;
    WrongUse names the nearest one on record.
    """
    by_version = {each.version: each for each in history(workspace, name)}
    meant = [each for each in by_version if each.startswith(version)] if version else []
    if len(meant) == 1:
        return by_version[meant[0]]
    known = meant or list(by_version)
    hint = nearest(version, known) if known else "materialize rows of it first"
    raise WrongUse(f"a version of view '{name}' must be on record, got '{version}': {hint}")


def load(workspace: Workspace, name: str, version: str) -> View:
    """Return the view of a version on record, to be computed again; WrongUse like `find`."""
    return find(workspace, name, version).view


def names(workspace: Workspace) -> list[str]:
    """Return the names of all views on record, those that are no longer declared included."""
    return sorted({entry.body["view"] for entry in workspace.journal.entries(ENTRY)})


def _keep(workspace: Workspace, view: View, actor: str, reason: str) -> str:
    name, what = PREFIX + view.name, f"view '{view.name}'"
    data = document.written(view)
    ref = onrecord.keep(workspace, name, data, what=what, actor=actor, reason=reason)
    _record(workspace, view.name, ref)
    return ref.target


def _record(workspace: Workspace, name: str, ref: Ref) -> None:
    """Journal a move, unless it was: whoever made it may have died before."""
    id = f"{ENTRY}:{name}:{ref.epoch}"
    if workspace.journal.get(id) is not None:
        return
    made = history(workspace, name)[ref.epoch - 1]
    body = {
        "view": name,
        "version": made.version,
        "digest": made.digest,
        "actor": made.ref.actor,
        "reason": made.ref.reason,
        "changes": [change.words for change in made.changes],
    }
    workspace.journal.record(ENTRY, body, id=id, now=made.ref.moved_at)

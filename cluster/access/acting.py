"""Acting: who changes what is governed by running a job, by whose leave and why.

A workspace without keys, of a service on loopback alone, is a laptop: whoever can open it may. Once
`access.jobs_require_key` is set a key or token must be brought, from FUNNELCAST_CREDENTIAL or the
file that FUNNELCAST_CREDENTIAL_FILE names, and never on the command line, where every process of
the machine could read it. Every refusal is journalled. No message holds a letter of a credential.
"""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from cluster.access import entries, keyring
from cluster.access.apikeys import PREFIX
from cluster.access.document import load_access
from cluster.access.entries import REASON_LIMIT, Act
from cluster.access.principal import LOCAL, Forbidden, Unauthenticated, may
from cluster.errors import FunnelcastError, Refusal, WrongUse

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cluster.access.permissions import Permission
    from cluster.access.principal import Principal, Unavailable
    from cluster.access.privacy import Privacy
    from cluster.workspace import Workspace

    type Who = Principal | Unauthenticated | Forbidden | Unavailable

CREDENTIAL, CREDENTIAL_FILE = "FUNNELCAST_CREDENTIAL", "FUNNELCAST_CREDENTIAL_FILE"
REFUSED = "admin.refused"  # kind of a journal entry
NOBODY = "nobody"  # the credential of who brought none that is believed
NO_REASON = "none was given"
LONGEST = 20_000  # bytes of a credential's file

_NONE = Unauthenticated(
    rule="a change by a job must say who makes it",
    value="no key and no token",
    remedy=f"set {CREDENTIAL_FILE} (or {CREDENTIAL})",
)
_BOUND = Forbidden(
    rule="a change that holds for all rows must be made by who sees all",
    value="a credential that is bound to a region or team",
    remedy="use one without --region and --team",
)


class NotAllowed(FunnelcastError):
    """Who runs a job may not do this; it is journalled."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """What one who runs a job says: a name, a reason, and a key or token."""

    actor: str | None = None
    reason: str | None = None
    credential: str | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls, environ: Mapping[str, str], *, actor: str | None = None, reason: str | None = None
    ) -> Self:
        """Return it with the credential of the environment, or of the file that it names.

        WrongUse for a file that cannot be read, or that others may read.
        """
        text, path = environ.get(CREDENTIAL, ""), environ.get(CREDENTIAL_FILE)
        found = text.strip() or (_read(Path(path)) if path else "")
        return cls(actor=actor, reason=reason, credential=found or None)


@dataclass(frozen=True, kw_only=True)
class Acting:
    """One who may make a change, and says why."""

    actor: str
    credential: str  # names a key or token, and is none
    permission: str
    reason: str

    def act(self, now: datetime) -> Act:
        """Return what the journal keeps of it."""
        more = {"credential": self.credential, "permission": self.permission}
        return Act(actor=self.actor, reason=self.reason, now=now, more=more)


class Leave:
    """Asks whether the one who runs a job may change something."""

    def __init__(self, workspace: Workspace, said: Said) -> None:
        self._workspace = workspace
        self._said = said

    def ask(self, permission: Permission, what: str, *, passing: str | None = None) -> Acting:
        """Return who does `what`; NotAllowed, journalled, for who may not.

        `passing` is the reason of what a job does on its way; without it one must be given, but on
        a laptop. WrongUse for an actor or reason that is missing.
        """
        found = self._who(self._workspace.clock())
        refused = found if isinstance(found, Refusal) else _refused(found, permission)
        if refused is not None:
            self._journal(found, permission, what, refused)
            raise NotAllowed(str(refused))
        return self._acting(found, permission, passing)  # type: ignore[arg-type]

    def clear(self, wanted: Privacy) -> None:
        """NotAllowed, journalled, for who is not cleared for a privacy class."""
        found = self._who(self._workspace.clock())
        refused = found if isinstance(found, Refusal) else _unclear(found, wanted)
        if refused is not None:
            self._journal(found, f"clearance {wanted}", "read a report", refused)
            raise NotAllowed(str(refused))

    def _who(self, now: datetime) -> Who:
        """Return who runs the job: of a credential that is brought, also where none is needed."""
        text = self._said.credential
        if text is None:
            actor = self._said.actor or os_user()
            return _NONE if self._strict else replace(LOCAL, subject=actor)
        return known(self._workspace, text, now)

    @property
    def _strict(self) -> bool:
        return self._workspace.settings.access.jobs_require_key

    def _acting(self, who: Principal, permission: Permission, passing: str | None) -> Acting:
        said, shared = self._said, not is_laptop(self._workspace, strict=self._strict)
        if said.credential is not None and said.actor not in (None, who.subject):
            raise WrongUse(
                f"--actor must be who the credential speaks for, got '{said.actor}' for"
                f" '{who.subject}': leave it out"
            )
        if shared and passing is None and said.actor is None and said.credential is None:
            raise WrongUse("a change must have --actor, got none: say who makes it")
        if said.reason is None and shared and (passing is None or self._strict):
            raise WrongUse("a change must have --reason, got none: say why, in a sentence")
        reason = said.reason if said.reason is not None else _passing(passing)
        acting = Acting(
            actor=who.subject, credential=who.credential, permission=permission, reason=reason
        )
        acting.act(self._workspace.clock())  # WrongUse for what cannot be journalled
        return acting

    def _journal(self, who: Who, permission: str, what: str, refused: Refusal) -> None:
        is_known = not isinstance(who, Refusal)
        told: dict[str, Any] = {"what": what, "permission": permission, "refused": str(refused)}
        told["credential"] = who.credential if is_known else NOBODY  # type: ignore[union-attr]
        actor = who.subject if is_known else os_user()  # type: ignore[union-attr]
        act = Act(actor=actor, reason=_safe(self._said.reason), now=self._workspace.clock())
        with entries.alone(self._workspace.database) as connection:
            entries.append(connection, REFUSED, told, act)


def is_laptop(workspace: Workspace, *, strict: bool) -> bool:
    """Has nobody thought of others here yet? `strict`: jobs ask for a key."""
    asks = workspace.settings.serve.asks
    return not (strict or asks or keyring.has_keys(workspace.database))


def known(workspace: Workspace, text: str, now: datetime) -> Who:
    """Return who brings a key or token at `now`, or why nobody does."""
    if text.startswith(PREFIX):
        ring = keyring.open_ring(workspace.database, workspace.settings)
        return ring.authenticate(text, now)
    from cluster.access.tokens import Tokens  # heavy, and most jobs need none of it

    access = load_access()
    tokens = Tokens(access.issuers, access.roles)
    try:
        return tokens.authenticate(text, now)
    finally:
        tokens.close()


def os_user() -> str:
    """Return whose process this is, by the system and not by its environment."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def _refused(who: Principal, permission: Permission) -> Forbidden | None:
    bound = who.regions is not None or who.teams is not None
    return _BOUND if bound else may(who, permission)


def _unclear(who: Principal, wanted: Privacy) -> Forbidden | None:
    if who.clearance.covers(wanted):
        return None
    return Forbidden(
        rule=f"this needs a clearance for {wanted}",
        value=f"a credential of {who.subject!r} for {who.clearance}",
        remedy="ask an administrator for a role that has it",
    )


def _passing(reason: str | None) -> str:
    """Return why a job does what it does on its way."""
    return _safe(reason) if reason else NO_REASON


def _safe(reason: str | None) -> str:
    """Return a reason as the journal can hold it."""
    kept = "".join(c if c.isprintable() else " " for c in reason or "").strip()
    return kept[:REASON_LIMIT] or NO_REASON


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode, text = stat.S_IMODE(os.fstat(file.fileno()).st_mode), file.read(LONGEST)
    except OSError as error:
        raise WrongUse(
            f"{CREDENTIAL_FILE} must name a file that can be read, got '{error.strerror}' at"
            f" '{path}': correct it"
        ) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise WrongUse(
            f"the file of a credential must be closed to others, got mode {mode:04o} at '{path}':"
            " chmod 600 it"
        )
    return text.decode("ascii", errors="replace").strip()

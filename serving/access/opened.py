"""The credentials that a service believes: keys of its workspace, tokens of its issuers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from cluster.access.document import load_access
from cluster.access.keyring import KeyRing, has_keys, read_pepper
from cluster.access.tokens import Tokens
from cluster.beat import Beat
from cluster.errors import WrongUse
from serving.access.credentials import Credentials
from serving.access.sessions import Sessions
from serving.access.signedout import SignedOut

if TYPE_CHECKING:
    from cluster.settings import ServeSettings
    from cluster.workspace import Workspace

RENEWED_S = 0.4  # between two looks at the keys, so that no request has to look


class Opened:
    """Credentials, and what keeps them up to date beside the requests."""

    def __init__(self, workspace: Workspace) -> None:
        access, clock = load_access(), workspace.clock
        pepper = read_pepper(workspace.database, workspace.settings)
        keys = KeyRing(workspace.database, access.roles, pepper)
        self._tokens = Tokens(access.issuers, access.roles) if access.issuers else None
        self._renewal = Beat(lambda: keys.renew(clock()), every_s=RENEWED_S, name="keys")
        self.credentials = Credentials(
            required=workspace.settings.serve.asks,
            keys=keys,
            tokens=self._tokens,
            sessions=Sessions(secret=keys.secret("planner-session/1")),
            signed_out=SignedOut(workspace.database),
        )
        keys.renew(clock())

    def start(self) -> Self:
        """Begin to follow."""
        self._renewal.start()
        if self._tokens is not None:
            self._tokens.start()
        return self

    def close(self) -> None:
        """Stop following."""
        self._renewal.close()
        if self._tokens is not None:
            self._tokens.close()


def check_reachable(serve: ServeSettings, workspace: Workspace) -> None:
    """WrongUse for a service that asks for keys while there is none, nor an issuer."""
    if not serve.asks or load_access().issuers or has_keys(workspace.database):
        return
    why = "serve.require_keys" if serve.require_keys else f"serve.host '{serve.host}'"
    raise WrongUse(
        f"a service that asks for keys must have one, got none for {why}: issue one with"
        " `python -m jobs.access issue`, name an issuer in configs/access.yaml, or serve on"
        " 127.0.0.1"
    )

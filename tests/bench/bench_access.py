"""What it costs to know who asks and whether they may, and what the service bears when it asks.

`auth_us`: a request through the guard of the application, to the route of decisions, with one of
1,000 keys. `auth_read_us`: the same to a route behind the framework. `auth_jwt_us`: a token that
was met before (RS256), as by every request but the first; `auth_jwt_new_us`: one that is new.
Medians, taken in turn. `ratio_plain` is that of bench_serving with a key on every request.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.access.document import load_roles
from cluster.access.entries import Act
from cluster.access.keyring import open_ring, read_pepper
from cluster.access.keystore import Asked, KeyStore
from cluster.access.roles import Role
from cluster.access.tokens import Tokens
from cluster.settings import Settings
from cluster.workspace import Workspace
from serving.access.credentials import Credentials
from serving.access.declared import Declared
from serving.access.guard import Guard
from serving.answer.service import DecisionService
from serving.api import front
from serving.api.application import make_api
from serving.api.desk import Desk
from tests.bench import bench_serving
from tests.cluster.tokenissuer import NOW, Issuer

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS, REPEATS = 1_000, 2_000
AT = datetime.fromtimestamp(NOW, UTC)
READ = "/v1/accounts/account-00007/scores"

type Figures = dict[str, Any]


def main() -> None:
    """Measure, print the figures."""
    with tempfile.TemporaryDirectory(prefix="bench-access-") as folder, Issuer() as issuer:
        figures = _auth(Settings(home=Path(folder)), issuer)
    print(json.dumps(figures), flush=True)
    print(json.dumps({**figures, **bench_serving.by_key("fast", bench_serving.SECONDS)}))


def _auth(settings: Settings, issuer: Issuer) -> Figures:
    workspace = Workspace.open(settings, clock=lambda: AT)
    key = _keys(workspace)
    roles = {"fc-apps": "application"}
    trusted = [issuer.settings(roles=roles, regions={"claim": "regions", "absent": "all"})]
    tokens = Tokens(trusted, load_roles())
    tokens.start()
    service = DecisionService(workspace, {})
    guard = Guard(
        credentials=Credentials(
            required=True, keys=open_ring(workspace.database, settings), tokens=tokens
        ),
        declared=Declared(make_api(Desk(service)).routes),
        hot=front.NEEDS,
        clock=workspace.clock,
    )
    try:
        return asyncio.run(_timed(guard, key, list(_tokens(issuer))))
    finally:
        tokens.close()
        service.close()
        workspace.close()


def _keys(workspace: Workspace) -> str:
    """Issue as many keys as a company has; return one."""
    pepper = read_pepper(workspace.database, workspace.settings)
    store = KeyStore(workspace.database, load_roles())
    act = Act(actor="bench", reason="figures", now=AT - timedelta(days=1))
    for number in range(KEYS):
        name = f"program {number}"
        asked = Asked(name=name, roles=(Role.APPLICATION,), lifetime=timedelta(days=30))
        issued = store.issue(asked, act, pepper=pepper)
    return issued.key.text


def _tokens(issuer: Issuer) -> Iterator[str]:
    claims = {"realm_access": {"roles": ["fc-apps"]}, "regions": None, "exp": NOW + 3600}
    return (issuer.token(jti=f"{number}", **claims) for number in range(REPEATS))


async def _timed(guard: Guard, key: str, tokens: list[str]) -> Figures:
    """Return the median microseconds of each way, taken in turn."""
    spent: dict[str, list[float]] = {}
    known = tokens[0]
    await _once(guard, _scope(known, "POST", front.ONE))
    for token in tokens[1:]:
        for name, text, method, path in (
            ("auth_us", key, "POST", front.ONE),
            ("auth_read_us", key, "GET", READ),
            ("auth_jwt_new_us", token, "POST", front.ONE),
            ("auth_jwt_us", known, "POST", front.ONE),
        ):
            spent.setdefault(name, []).append(await _once(guard, _scope(text, method, path)))
    figures = {name: round(statistics.median(each) * 1e6, 1) for name, each in spent.items()}
    return figures | {"keys": KEYS, "repeats": len(tokens)}


def _scope(text: str, method: str, path: str) -> Any:
    headers = [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {text}".encode())]
    return {"type": "http", "method": method, "path": path, "headers": headers}


async def _once(guard: Guard, scope: Any) -> float:
    """Return the seconds that one request takes to be let in."""
    began = time.perf_counter()
    refused = await guard.admit(scope)
    taken = time.perf_counter() - began
    if refused is not None:
        raise SystemExit(f"the request must be let in, got {refused}")
    return taken


if __name__ == "__main__":
    main()

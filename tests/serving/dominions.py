"""A small company of which every account has a region and a team, and keys that are bound to some:
what the tests of rows and of fields have in common.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from starlette.testclient import TestClient

from cluster.access.document import load_roles
from cluster.access.entries import Act
from cluster.access.keyring import KeyRing
from cluster.access.keystore import Asked, KeyStore
from cluster.settings import Settings
from cluster.workspace import Workspace
from features import log, online
from serving.access.credentials import Credentials
from serving.answer.service import DecisionService
from serving.api.application import make_application
from serving.slots.slot import Answer
from tests.jobs import scoring as shared
from tests.jobs.scoring import NOW, THEN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

HERE = "http://127.0.0.1"
PEPPER = bytes(32)
TEAMS = ("north", "south")
ODD = "odd"  # region of a lead of its own, whatever its account's


@dataclass(frozen=True, kw_only=True)
class Dominion:
    """A service over the company, and who asks it."""

    workspace: Workspace
    service: DecisionService
    http: httpx.Client

    def key(self, role: str = "application", **bounds: Any) -> dict[str, str]:
        """Issue a key and return the header that sends it; its name tells its bounds."""
        name = "-".join([role, *(word for each in bounds.values() for word in each)])
        now = self.workspace.clock()
        asked = Asked(name=name, roles=(role,), lifetime=timedelta(days=30), **bounds)
        act = Act(actor="ada", reason="a test", now=now - timedelta(seconds=5))
        store = KeyStore(self.workspace.database, load_roles())
        made = store.issue(asked, act, pepper=PEPPER)
        self.ring.renew(now + timedelta(seconds=1))
        return {"authorization": f"Bearer {made.key.text}"}

    @property
    def ring(self) -> KeyRing:
        """The keys that are believed."""
        ring: KeyRing = self.http.app._guard.credentials.keys  # type: ignore[attr-defined]
        return ring


@contextmanager
def dominion(folder: Path) -> Iterator[Dominion]:
    """Make a company that was scored twice, follow it online and serve it."""
    with Workspace.open(Settings(home=folder / "home", buckets=4)) as workspace:
        made = shared.company(workspace, folder)
        made.append(pa.concat_tables([_consenting(shared.known(THEN)), teams(), odd()]))
        made.train(made.look(THEN))
        made.score()
        made.append(_consenting(shared.known(NOW, THEN)))
        made.look(NOW)
        made.score()
        online.follow(workspace)
        service = DecisionService(workspace, {"lead": _answer(folder)})
        ring = KeyRing(workspace.database, load_roles(), PEPPER)
        asks = Credentials(required=True, keys=ring)
        with TestClient(make_application(service, asks), base_url=HERE) as http:
            yield Dominion(workspace=workspace, service=service, http=http)
        service.close()


def _consenting(events: pa.Table) -> pa.Table:
    """Return events without what persons said of being scored: here bounds alone decide."""
    return events.filter(pc.not_equal(events["kind"], "consent"))


def teams() -> pa.Table:
    """Return which team looks after each account: every other one after the next."""
    accounts = sorted(filter(None, set(shared.known(NOW)["account"].to_pylist())))
    said = [attribute("team", TEAMS[n % 2], account=a) for n, a in enumerate(accounts)]
    return pa.Table.from_pylist(said, schema=log.CANDIDATE)


def odd() -> pa.Table:
    """Return leads that say another region than their account: every seventh. It says its own."""
    events = shared.known(THEN)
    named = events.filter(pc.and_(pc.equal(events["kind"], "lead"), pc.is_valid(events["account"])))
    pairs = sorted(set(zip(*(named[n].to_pylist() for n in ("lead", "account")), strict=True)))
    said = [attribute("region", ODD, lead=lead, account=account) for lead, account in pairs[::7]]
    said += [attribute("region", "dach", account=a) for a in sorted({a for _, a in pairs[::7]})]
    return pa.Table.from_pylist(said, schema=log.CANDIDATE)


def attribute(name: str, text: str | None, **keys: str) -> dict[str, Any]:
    """Return an event that says a property, later than all others."""
    at = datetime(2025, 7, 13, tzinfo=UTC)
    envelope = {"kind": "attribute", "name": name, "event_time": at, "known_at": at}
    row_key = f"test:{name}:{'/'.join(keys.values())}"
    return {**envelope, **keys, "text": text, "source": "test", "row_key": row_key}


def territories(workspace: Workspace) -> dict[tuple[str, str], tuple[str | None, str | None]]:
    """Return region and team of every lead and account, read plainly from the log."""
    events = log.visible(workspace.tables.read(log.TABLE), datetime(2100, 1, 1, tzinfo=UTC))
    rows = sorted(events.to_pylist(), key=lambda e: (e["event_time"], e["known_at"], e["event_id"]))
    said: dict[tuple[str, str, str], str | None] = {}
    for alone in (False, True):  # what is about an account alone counts more
        for row in rows:
            if row["kind"] != "attribute" or row["name"] not in ("region", "team"):
                continue
            if row["lead"] and not alone:
                said["lead", row["lead"], row["name"]] = row["text"]
            is_alone = not (row["lead"] or row["opportunity"] or row["person"])
            if row["account"] and is_alone == alone:
                said["account", row["account"], row["name"]] = row["text"]
    of = {row["lead"]: row["account"] for row in rows if row["lead"] and row["account"]}
    leads = {row["lead"] for row in rows if row["lead"]}
    accounts = {row["account"] for row in rows if row["account"]}

    def told(kind: str, key: str, name: str) -> str | None:
        own = said.get((kind, key, name))
        return own or said.get(("account", of.get(key, ""), name)) if kind == "lead" else own

    every = [("lead", key) for key in leads] + [("account", key) for key in accounts]
    return {(k, key): (told(k, key, "region"), told(k, key, "team")) for k, key in every}


def _answer(folder: Path) -> Answer:
    return Answer(target=str(folder / "target.yaml"), policy="lead_routing")

"""`python -m jobs.access`: keys are issued, listed, rotated and revoked, and shown once."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cluster.access import apikeys, keyring, keystore
from cluster.access.principal import Principal, Unauthenticated
from cluster.errors import WrongUse
from jobs.access import run
from jobs.access.run import AccessRefused, AccessSettings, Outcome
from jobs.access.spans import span
from tests.commands import command

if TYPE_CHECKING:
    from cluster.settings import Settings
    from cluster.workspace import Workspace

WHY = {"actor": "ada", "reason": "pilot"}
ASKED = {"name": "crm", "role": ["application"], **WHY}


def _asked(workspace: Workspace, action: str, id: str | None = None, **given: Any) -> Outcome:
    return run.run(workspace, AccessSettings(action=action, id=id, **given))


def _issued(workspace: Workspace, **given: Any) -> apikeys.ApiKey:
    key = _asked(workspace, "issue", **{**ASKED, **given}).key
    assert key is not None
    return key


def _who(workspace: Workspace, key: apikeys.ApiKey, now: datetime | None = None) -> Any:
    ring = keyring.open_ring(workspace.database, workspace.settings)
    return ring.authenticate(key.text, now or workspace.clock())


def _rows(workspace: Workspace) -> list[dict[str, Any]]:
    table = _asked(workspace, "list").report.as_dict()["table"]
    assert isinstance(table, dict)
    return [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]


def test_a_key_goes_through_its_life(workspace: Workspace) -> None:
    one = _issued(workspace, region=["emea"], scope=["events:write"])
    found = _who(workspace, one)
    assert isinstance(found, Principal)
    assert (found.subject, found.regions, found.teams) == ("crm", frozenset({"emea"}), None)
    two = _asked(workspace, "rotate", one.id, overlap="1h", **WHY).key
    assert two is not None
    assert _who(workspace, two).permissions == found.permissions
    assert isinstance(_who(workspace, one), Principal)
    late = workspace.clock() + timedelta(hours=1)
    assert isinstance(_who(workspace, one, late), Unauthenticated)
    _asked(workspace, "revoke", two.id, **WHY)
    assert isinstance(_who(workspace, two), Unauthenticated)
    kinds = [entry.kind for entry in workspace.journal.entries()]
    assert kinds == [keystore.ISSUED, keystore.ROTATED, keystore.REVOKED]
    assert all(entry.body["reason"] == "pilot" for entry in workspace.journal.entries())


def test_the_list_tells_what_each_key_is(workspace: Workspace) -> None:
    first = _issued(workspace, team=["north", "south"])
    _issued(workspace, name="bi", role=["viewer", "planner"], starts_in="2d", expires_in="4w")
    _asked(workspace, "revoke", first.id, **WHY)
    one, two = _rows(workspace)
    assert (one["id"], one["status"], one["teams"]) == (first.id, "revoked", "north, south")
    assert (two["roles"], two["status"], two["scopes"]) == (
        "planner, viewer",
        "not yet valid",
        "all",
    )
    report = _asked(workspace, "list").report
    assert report.decided == ["1 not yet valid, 1 revoked"]
    assert first.secret not in json.dumps(report.as_dict())


def test_an_empty_list_says_how_to_begin(workspace: Workspace) -> None:
    assert "no key was issued" in _asked(workspace, "list").report.decided[0]


def test_a_key_ends_also_when_the_pepper_is_lost(workspace: Workspace) -> None:
    key = _issued(workspace)
    (workspace.settings.home / "access.key").unlink()
    with pytest.raises(WrongUse, match="access key"):
        _asked(workspace, "rotate", key.id, **WHY)
    assert _asked(workspace, "revoke", key.id, **WHY).report.wrote == {"revoked": key.id}


def test_what_cannot_be_done_is_refused(workspace: Workspace) -> None:
    key = _issued(workspace)
    _asked(workspace, "revoke", key.id, **WHY)
    for action in ("revoke", "rotate"):
        with pytest.raises(AccessRefused, match="one revoked"):
            _asked(workspace, action, key.id, **WHY)
    assert len(_rows(workspace)) == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"action": "isue"}, "did you mean 'issue'"),
        ({"action": "issue", **WHY, "name": "crm"}, "have --role"),
        ({"action": "revoke", **WHY}, "have ID"),
        ({"action": "list", "actor": "ada"}, "have no --actor"),
        ({"action": "revoke", "id": "a", **WHY, "expires_in": "1d"}, "have no --expires-in"),
    ],
)
def test_what_an_action_needs_is_asked_for(given: dict[str, Any], words: str) -> None:
    with pytest.raises(WrongUse, match=words):
        AccessSettings(**given)


@pytest.mark.parametrize(
    ("given", "words"), [({"actor": "ada"}, "have --reason"), ({"reason": "x"}, "have --actor")]
)
def test_once_there_are_keys_who_and_why_must_be_said(
    workspace: Workspace, given: dict[str, str], words: str
) -> None:
    """The first may be issued without: nobody else has anything to do with the workspace yet."""
    _issued(workspace, actor=None, reason=None)
    with pytest.raises(WrongUse, match=words):
        _asked(workspace, "issue", name="bi", role=["viewer"], **given)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90d", timedelta(days=90)),
        ("12h", timedelta(hours=12)),
        ("2w", timedelta(14)),
        ("0s", timedelta(0)),
    ],
)
def test_lengths_of_time_are_read(text: str, length: timedelta) -> None:
    assert span("--overlap", text) == length


@pytest.mark.parametrize("text", ["", "90", "d", "-1d", "1.5d", "90 d", "9y", "1d\n", "9999999d"])
def test_other_lengths_are_refused(text: str) -> None:
    with pytest.raises(WrongUse, match="--overlap must be a number and s, m, h, d or w"):
        span("--overlap", text)


def test_the_key_alone_is_on_standard_output(settings: Settings) -> None:
    given = ("--name", "crm", "--role", "viewer", "--role", "planner", "--actor", "ada")
    done = command(settings, "jobs.access", "issue", *given, "--reason", "pilot")
    key = apikeys.parse(done.stdout.removesuffix("\n"))
    assert isinstance(key, apikeys.ApiKey)
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    assert key.id in done.stderr
    assert key.secret not in done.stderr
    why = ("--actor", "a", "--reason", "b", "--json")
    rotated = command(settings, "jobs.access", "rotate", key.id, *why)
    assert isinstance(apikeys.parse(json.loads(rotated.stdout)["key"]), apikeys.ApiKey)


def test_an_outcome_prints_no_secret(workspace: Workspace) -> None:
    outcome = _asked(workspace, "issue", **ASKED)
    assert outcome.key is not None
    assert outcome.key.secret not in f"{outcome!r}{outcome.report!r}"

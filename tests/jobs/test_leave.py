"""Who may change what by jobs: every action declares it, every ref asks, every change is told."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cluster.access import acting, entries, governed, keyring
from cluster.access.acting import CREDENTIAL, CREDENTIAL_FILE, REFUSED, NotAllowed, Said, os_user
from cluster.access.document import load_roles
from cluster.access.entries import Act
from cluster.access.governed import GOVERNED, Governed
from cluster.access.keystore import Asked, KeyStore
from cluster.access.permissions import Permission
from cluster.access.roles import Role
from cluster.errors import Refusal, WrongUse
from cluster.settings import ROOT, Settings
from cluster.settings import AccessSettings as Strict
from jobs.access import run as keys
from jobs.access.run import AccessSettings
from jobs.console import Job, Progress, Report, perform
from jobs.leave import need
from jobs.policies.run import JOB, PoliciesSettings
from serving.policy import load_policy
from serving.slots import policies
from tests.commands import command

if TYPE_CHECKING:
    from cluster.workspace import Workspace

NAME = "lead_routing"
FILE = str(ROOT / "configs" / "policies" / f"{NAME}.yaml")
WHY = "as was agreed"


def _declared() -> dict[str, Any]:
    """Return what every job needs, by the words on its command line."""
    found = {}
    for main in sorted((ROOT / "jobs").rglob("__main__.py")):
        if main.parent == ROOT / "jobs":
            continue
        for path in sorted(main.parent.glob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            if path.stem != "run" and "JOB = Job(" not in path.read_text():
                continue
            module = importlib.import_module(name)
            needs = module.JOB.needs if hasattr(module, "JOB") else module.NEEDS
            words = name.removeprefix("jobs.").removesuffix(".run")
            actions = getattr(module, "ACTIONS", None)
            assert actions is None or set(needs) == set(actions), words
            each = needs if isinstance(needs, Mapping) else {"": needs}
            found |= {f"{words} {action}".strip(): needed for action, needed in each.items()}
    return found


def test_every_action_of_every_job_declares_what_it_needs() -> None:
    """And the document says the same of those that need anything."""
    needed = {words: need for words, need in _declared().items() if need is not None}
    lines = (ROOT / "docs" / "access.md").read_text().splitlines()
    told = [line.split("|")[1:3] for line in lines if line.startswith("| `jobs.")]
    said = {words.strip(" `").removeprefix("jobs."): p.strip(" `") for words, p in told}
    assert said == {words: str(permission) for words, permission in needed.items()}
    assert {"policies publish", "models alias", "access issue", "train"} <= set(said)


def test_an_action_that_declares_nothing_is_refused() -> None:
    """As a route without a permission is."""
    settings = PoliciesSettings(action="publish", name=NAME, file=FILE)
    with pytest.raises(WrongUse, match="must declare what it needs, got 'publish'"):
        need({"list": None}, settings)


@pytest.fixture
def strict(workspace: Workspace) -> Workspace:
    """A workspace where jobs ask for a key."""
    asking = workspace.settings.model_copy(update={"access": Strict(jobs_require_key=True)})
    return replace(workspace, settings=asking)


type Issue = Callable[..., str]


@pytest.fixture
def issue(workspace: Workspace) -> Issue:
    """Return a function that issues a key of a role, and returns it."""

    def made(role: str, **more: Any) -> str:
        pepper = keyring.read_pepper(workspace.database, workspace.settings)
        act = Act(actor="eve", reason="a test", now=workspace.clock() - timedelta(hours=2))
        asked = Asked(name=f"the {role}", roles=(role,), **{"lifetime": timedelta(1), **more})
        issued = KeyStore(workspace.database, load_roles()).issue(asked, act, pepper=pepper)
        return issued.key.text

    return made


def _publish(workspace: Workspace, said: Said | None = None) -> str:
    who = {} if said is None else {"actor": said.actor, "reason": said.reason}
    settings = PoliciesSettings(action="publish", name=NAME, file=FILE, **who)
    done = perform(JOB, settings, workspace, lambda *_: None, said=said)
    return str(done.report["wrote"]["policy"])


def _told(workspace: Workspace, kind: str) -> list[dict[str, Any]]:
    return [entry.body for entry in workspace.journal.entries(kind)]


def _is_published(workspace: Workspace) -> bool:
    return workspace.refs.get(policies.ref_of(NAME)) is not None


def test_on_a_laptop_the_user_of_the_system_may(workspace: Workspace) -> None:
    """Without a word about who and why; the journal has both."""
    _publish(workspace)
    ref = workspace.refs.get(policies.ref_of(NAME))
    assert ref is not None
    assert ref.actor == os_user()
    (entry,) = _told(workspace, "admin.policy")
    assert entry == {
        "actor": os_user(), "reason": acting.NO_REASON, "credential": "local",
        "permission": "policies:change", "ref": ref.name, "epoch": 1, "by": os_user(),
        "from": None, "to": ref.target,
    }  # fmt: skip


@pytest.mark.parametrize("how", ["keys", "host", "require_keys"])
def test_where_others_are_expected_who_and_why_must_be_said(
    workspace: Workspace, issue: Issue, how: str
) -> None:
    """There is a key, or a service that asks for one."""
    if how == "keys":
        issue("viewer")
    else:
        asks = {"host": {"host": "0.0.0.0"}, "require_keys": {"require_keys": True}}[how]
        serve = workspace.settings.serve.model_copy(update=asks)
        settings = workspace.settings.model_copy(update={"serve": serve})
        workspace = replace(workspace, settings=settings)
    with pytest.raises(WrongUse, match="--actor"):
        _publish(workspace, Said(reason=WHY))
    with pytest.raises(WrongUse, match="--reason"):
        _publish(workspace, Said(actor="ada"))
    assert not _is_published(workspace)
    _publish(workspace, Said(actor="ada", reason=WHY))
    assert _is_published(workspace)


@pytest.mark.parametrize("role", list(Role))
def test_with_a_key_a_role_may_what_it_may(strict: Workspace, issue: Issue, role: Role) -> None:
    """The actor is whom the key was issued for; who may not leaves a refusal behind."""
    key = issue(role)
    if Permission.POLICIES_CHANGE in load_roles().permissions([role]):
        _publish(strict, Said(reason=WHY, credential=key))
        (entry,) = _told(strict, "admin.policy")
        assert (entry["actor"], entry["reason"]) == (f"the {role}", WHY)
        assert entry["credential"] == f"api-key:{key.split('_')[1]}"
        ref = strict.refs.get(policies.ref_of(NAME))
        assert ref is not None
        assert (ref.actor, ref.reason) == (f"the {role}", WHY)
        return
    with pytest.raises(NotAllowed, match="needs the permission policies:change"):
        _publish(strict, Said(reason=WHY, credential=key))
    assert not _is_published(strict)
    (entry,) = _told(strict, REFUSED)
    assert (entry["actor"], entry["what"]) == (f"the {role}", "jobs.policies publish")
    assert key not in json.dumps(entry)


def _bad(issue: Issue, workspace: Workspace, how: str) -> str | None:
    """Return a credential that opens nothing here."""
    if how == "mistyped":
        key = issue("administrator")
        return key[:-8] + ("A" if key[-8] != "A" else "B") + key[-7:]
    if how == "revoked":
        key, act = issue("administrator"), Act(actor="e", reason="r", now=workspace.clock())
        assert KeyStore(workspace.database, load_roles()).revoke(key.split("_")[1], act)
        return key
    more = {
        "expired": {"lifetime": timedelta(seconds=1)},
        "too early": {"not_before": workspace.clock() + timedelta(days=1)},
        "bound": {"regions": ("emea",)},
        "of a team": {"teams": ("north",)},
        "narrowed": {"scopes": ("accounts:read",)},
    }
    if how in more:
        return issue("administrator", **more[how])
    return {"none": None, "garbage": "fck_x", "a token": "e30.e30.e30"}[how]


BAD = (
    *("none", "garbage", "a token", "mistyped", "expired", "too early", "revoked"),
    *("bound", "of a team", "narrowed"),
)


@pytest.mark.parametrize("how", BAD)
def test_a_bad_credential_changes_nothing(strict: Workspace, issue: Issue, how: str) -> None:
    """And every attempt is in the journal."""
    bad = _bad(issue, strict, how)
    with pytest.raises(NotAllowed) as raised:
        _publish(strict, Said(reason=WHY, credential=bad))
    assert not _is_published(strict)
    (entry,) = _told(strict, REFUSED)
    assert entry["permission"] == "policies:change"
    assert bad is None or (bad not in str(raised.value) and bad not in json.dumps(entry))


def _any_may(*_: object) -> None:
    return None


def _all_are_known(workspace: Workspace, *_: object) -> Any:
    return replace(acting.LOCAL, subject="anybody")


MUTANTS = [
    ("narrowed", acting, "_refused", _any_may),
    ("bound", acting, "_refused", acting.may),
    ("expired", acting, "known", _all_are_known),
    ("none", acting.Leave, "_strict", False),
]


@pytest.mark.parametrize(("how", "where", "name", "off"), MUTANTS, ids=[m[0] for m in MUTANTS])
def test_mutants_let_a_bad_credential_pass(
    strict: Workspace,
    issue: Issue,
    how: str,
    where: Any,
    name: str,
    *,
    off: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What each check is for."""
    bad = _bad(issue, strict, how)
    monkeypatch.setattr(where, name, off)
    _publish(strict, Said(reason=WHY, credential=bad))
    assert _is_published(strict)


def test_a_reason_must_be_given_and_the_actor_is_the_credentials(
    strict: Workspace, issue: Issue
) -> None:
    """Nobody speaks for another."""
    key = issue("administrator")
    with pytest.raises(WrongUse, match="must have --reason"):
        _publish(strict, Said(credential=key))
    with pytest.raises(WrongUse, match="must be who the credential speaks for, got 'ada'"):
        _publish(strict, Said(actor="ada", reason=WHY, credential=key))
    _publish(strict, Said(actor="the administrator", reason=WHY, credential=key))


def test_a_credential_that_is_brought_counts_on_a_laptop_too(
    workspace: Workspace, issue: Issue
) -> None:
    """As over HTTP."""
    with pytest.raises(NotAllowed):
        _publish(workspace, Said(reason=WHY, credential=issue("viewer")))


@dataclass(frozen=True, kw_only=True)
class _Sly:
    ref: str


def _sly(workspace: Workspace, settings: _Sly, progress: Progress) -> Report:
    """Move a ref, though the job declares that it changes nothing."""
    blob = workspace.blobs.put(b"x")
    workspace.refs.move(
        settings.ref, to=blob, expect_epoch=0, actor="sly", reason="why not", now=workspace.clock()
    )
    return Report(read={}, wrote={}, decided=[])


SLY = Job(
    verb="sly",
    summary="",
    settings=_Sly,
    needs=None,
    inputs=lambda workspace, settings: {},
    run=_sly,
    reads_only=True,
)


def _go(workspace: Workspace, ref: str, said: Said) -> None:
    perform(SLY, _Sly(ref=ref), workspace, lambda *_: None, said=said)


@pytest.mark.parametrize("prefix", GOVERNED)
def test_a_governed_ref_asks_for_itself(
    strict: Workspace, issue: Issue, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the job declares; without that it would move."""
    said, name = Said(reason=WHY, credential=issue("viewer")), f"{prefix}x"
    with pytest.raises(NotAllowed, match=str(GOVERNED[prefix][0])):
        _go(strict, name, said)
    assert strict.refs.get(name) is None
    _go(strict, "simulations/x", said)  # others are free
    monkeypatch.setattr(Governed, "_witness", lambda *_: None)
    _go(strict, name, said)
    assert strict.refs.get(name) is not None


@pytest.mark.parametrize("prefix", GOVERNED)
def test_a_moved_ref_tells_from_and_to(workspace: Workspace, prefix: str) -> None:
    """With the job's own reason where nobody gave one."""
    leave = acting.Leave(workspace, Said(actor="ada"))
    refs, name = Governed(workspace.database, leave), f"{prefix}x"
    for epoch, to in enumerate(["one", "two"]):
        moved = refs.move(
            name, to=to, expect_epoch=epoch, actor="j", reason="b\nc", now=workspace.clock()
        )
        assert not isinstance(moved, Refusal)
    lost = refs.move(name, to="x", expect_epoch=0, actor="j", reason="", now=workspace.clock())
    assert isinstance(lost, Refusal)
    told = _told(workspace, GOVERNED[prefix][1])
    assert [(entry["from"], entry["to"]) for entry in told] == [(None, "one"), ("one", "two")]
    assert {(entry["actor"], entry["reason"]) for entry in told} == {("ada", "j: b c")}
    assert workspace.journal.verify()


def test_a_move_and_its_entry_are_one_transaction(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be told is not done."""
    refs = Governed(workspace.database, acting.Leave(workspace, Said()))
    move = {"expect_epoch": 0, "actor": "a", "reason": "r", "now": workspace.clock()}

    def fails(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(governed.entries, "append", fails)
    with pytest.raises(OSError, match="no space"):
        refs.move("views/x", to="one", **move)  # type: ignore[arg-type]
    assert workspace.refs.get("views/x") is None
    assert workspace.refs.history("views/x") == []


def test_keys_are_managed_by_who_may(
    strict: Workspace, issue: Issue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each action that changes them; the entry names the credential."""
    one = issue("viewer").split("_")[1]
    monkeypatch.setenv(CREDENTIAL, issue("ml_engineer"))
    asked = {"issue": {"name": "x", "role": ["viewer"]}, "rotate": {"id": one}}
    asked["revoke"] = {"id": one}
    assert set(asked) == {action for action, need in keys.NEEDS.items() if need is not None}
    for action, more in asked.items():
        with pytest.raises(NotAllowed, match="keys:manage"):
            keys.run(strict, AccessSettings(action=action, reason=WHY, **more))
    assert len(_told(strict, REFUSED)) == len(asked)
    monkeypatch.setenv(CREDENTIAL, issue("administrator"))
    for action, more in asked.items():
        keys.run(strict, AccessSettings(action=action, reason=WHY, **more))
    told = _told(strict, "access.key_revoked")
    assert [(entry["actor"], entry["reason"]) for entry in told] == [("the administrator", WHY)]
    assert told[0]["credential"].startswith("api-key:")
    assert told[0]["permission"] == "keys:manage"


def test_a_credential_comes_from_the_environment_or_a_closed_file(tmp_path: Path) -> None:
    """Never shown; the environment itself goes first."""
    file = tmp_path / "key"
    file.write_text("of the file\n")
    file.chmod(0o600)
    given = {CREDENTIAL_FILE: str(file)}
    assert Said.of({}).credential is None
    assert Said.of(given).credential == "of the file"
    assert Said.of(given | {CREDENTIAL: "of the environment"}).credential == "of the environment"
    assert "of the file" not in repr(Said.of(given))
    file.chmod(0o640)
    with pytest.raises(WrongUse, match="must be closed to others, got mode 0640"):
        Said.of(given)
    with pytest.raises(WrongUse, match="that can be read"):
        Said.of({CREDENTIAL_FILE: str(tmp_path / "none")})


def test_on_the_command_line(settings: Settings, workspace: Workspace, issue: Issue) -> None:
    """The setting by the environment, the key by a variable, nothing of it shown."""
    key = issue("ml_engineer")
    environ = {CREDENTIAL: key, "FUNNELCAST_ACCESS__JOBS_REQUIRE_KEY": "1"}
    given = ["jobs.policies", "publish", NAME, "--file", FILE, "--reason", WHY]
    done = command(settings, *given, **environ)
    assert done.returncode == 1
    assert "policies:change" in done.stderr
    assert key not in done.stdout + done.stderr
    assert not _is_published(workspace)
    assert [e["actor"] for e in _told(workspace, REFUSED)] == ["the ml_engineer"]


def test_entries_of_jobs_that_need_leave_name_who_ran_them(workspace: Workspace) -> None:
    """Such as a compaction, which gives up old snapshots."""
    job = replace(SLY, needs=Permission.SOURCES_INGEST, reads_only=False)
    perform(job, _Sly(ref="free/x"), workspace, lambda *_: None, said=Said(actor="ada"))
    (entry,) = _told(workspace, "job")
    assert (entry["actor"], entry["permission"]) == ("ada", "sources:ingest")


def test_a_policy_is_what_the_file_says(workspace: Workspace) -> None:
    """The tests above publish a real one."""
    assert _publish(workspace) == load_policy(NAME).id
    assert entries.WRITER in {entry.writer for entry in workspace.journal.entries()}

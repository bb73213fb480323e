"""Policies behind refs: a version has one content, what was active is on record, back is a move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cluster import canonical
from cluster.errors import Refusal, WrongUse
from cluster.settings import CONFIGS, Settings, validated
from cluster.workspace import Workspace
from serving.policy import Policy, load_policy
from serving.slots import document, following, policies
from serving.slots.policies import ACTIVATED, PUBLISHED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST = load_policy("lead_routing")
WHY = {"actor": "ada", "reason": "because"}


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workspace]:
    """An empty workspace on either database."""
    more: dict[str, Any] = {}
    if request.param == "postgresql":
        more["database_url"] = request.getfixturevalue("postgresql_url")
    with Workspace.open(Settings(home=tmp_path / "home", buckets=4, **more)) as opened:
        yield opened


def _version(number: int, **changes: Any) -> Policy:
    return validated(Policy, FIRST.document | {"version": number} | changes, where="test")


def test_publish_go_back_and_ask_what_was_when(place: Workspace) -> None:
    """All of it, on either database."""
    assert isinstance(policies.active(place, "lead_routing"), Refusal)
    assert policies.chosen(place, "lead_routing") == FIRST
    policies.begin(place, policies.declared().values())
    second = _version(2, review=None)
    for _ in range(2):  # again is nothing more
        assert policies.publish(place, second, **WHY)
        assert policies.chosen(place, "lead_routing") == second
    assert policies.activate(place, "lead_routing", 1, **WHY)
    assert policies.active(place, "lead_routing") == FIRST
    policies.begin(place, policies.declared().values())
    name = policies.ref_of("lead_routing")
    assert following.look(place.database, [name, "views/none"]) == {name: place.refs.get(name)}
    found = policies.versions(place, "lead_routing")
    assert [(v.policy, v.is_active, v.actor) for v in found] == [
        (FIRST, True, "service"),
        (second, False, "ada"),
    ]
    assert policies.names(place) == sorted(policies.declared())
    for policy in (FIRST, second):
        assert policies.of_id(place, policy.id) == policy
    told = [e for e in place.journal.entries() if e.body["name"] == "lead_routing"]
    assert [(e.kind, e.body["version"], e.body["epoch"]) for e in told] == [
        (PUBLISHED, 1, 1),
        (PUBLISHED, 2, 2),
        (ACTIVATED, 1, 3),
    ]


@pytest.mark.parametrize(
    ("number", "changes", "says"),
    [
        (
            2,
            {"high_confidence_below": 0.1},
            "must have a version above 3, got 2: give it version 4",
        ),
        (3, {"high_confidence_below": 0.1}, "must have a version above 3, got 3"),
        (2, {}, "which is published: activate it: python -m jobs.policies activate lead_routing 2"),
    ],
)
def test_a_version_has_one_content(
    workspace: Workspace, number: int, changes: dict[str, Any], says: str
) -> None:
    """Its number grows with it; nothing moves otherwise."""
    for n in (2, 3):
        assert policies.publish(workspace, _version(n), **WHY)
    refused = policies.publish(workspace, _version(number, **changes), **WHY)
    assert isinstance(refused, Refusal)
    assert says in str(refused)
    assert len(workspace.refs.history(policies.ref_of("lead_routing"))) == 2


def test_a_check_that_is_off_is_noticed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: one number names two contents."""
    monkeypatch.setattr(policies, "_must_grow", lambda *_: None)
    for width in (0.1, 0.15):
        assert policies.publish(workspace, _version(2, high_confidence_below=width), **WHY)
    found = policies.versions(workspace, "lead_routing")
    assert [version.policy.version for version in found] == [2, 2]


def test_a_lost_race_is_a_refusal(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another publishes between the look and the move."""
    put = workspace.blobs.put

    def beaten(data: bytes) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(type(workspace.blobs), "put", lambda _, data: put(data))
            assert policies.publish(workspace, _version(5), **WHY)
        return put(data)

    monkeypatch.setattr(type(workspace.blobs), "put", lambda _, data: beaten(data))
    assert isinstance(policies.publish(workspace, _version(4), **WHY), Refusal)
    assert policies.active(workspace, "lead_routing") == _version(5)


def test_a_publication_cut_short_is_finished_by_doing_it_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry is written once, of the move that was made."""
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(policies, "_record", _interrupt)
        policies.publish(workspace, FIRST, **WHY)
    assert not list(workspace.journal.entries(PUBLISHED))
    for _ in range(2):
        assert policies.publish(workspace, FIRST, actor="ben", reason="again")
    (entry,) = workspace.journal.entries(PUBLISHED)
    assert entry.body["actor"] == "ada"


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{}", "must"),
        (b'{"name": "lead_routing"}', "canonical JSON"),
        (b"\x80\x04.", "canonical JSON"),
        (b"[" * 100_000, "canonical JSON"),
        (b'{"a":"' + b"a" * 2**20 + b'"}', "bytes at most"),
        (canonical.dumps(FIRST.document | {"name": "deal_routing"}), "called 'deal_routing'"),
        (canonical.dumps(FIRST.document | {"code": "import os"}), "unknown key 'code'"),
        (
            canonical.dumps(
                FIRST.document | {"routes": [{"route": "a\nb", "at_least": 0, "reason": ""}]}
            ),
            "printable",
        ),
    ],
)
def test_what_lies_behind_the_ref_is_not_believed(
    workspace: Workspace, data: bytes, says: str
) -> None:
    """A ref that was moved behind everybody's back: one clear line, and versions go on."""
    assert policies.publish(workspace, FIRST, **WHY)
    name = policies.ref_of("lead_routing")
    to = workspace.blobs.put(data)
    assert workspace.refs.move(name, to=to, expect_epoch=1, now=workspace.clock(), **WHY)
    found = policies.active(workspace, "lead_routing")
    assert isinstance(found, Refusal)
    assert says in str(found)
    assert "\n" not in str(found)
    assert [v.policy for v in policies.versions(workspace, "lead_routing")] == [FIRST]
    assert policies.activate(workspace, "lead_routing", 1, **WHY)


@pytest.mark.parametrize("id", ["x", "lead_routing@1-000000000000", "../a@1-000000000000"])
def test_an_id_that_never_was_active_is_a_refusal(workspace: Workspace, id: str) -> None:
    """It names the id."""
    found = policies.of_id(workspace, id)
    assert isinstance(found, Refusal)
    assert f"the policy {id} must have been active" in str(found)


def test_a_file_counts_as_it_is_and_a_name_while_none_is_published(
    workspace: Workspace, tmp_path: Path
) -> None:
    """An id of a file that was never published is found too."""
    file = str(CONFIGS / "policies" / "lead_routing.yaml")
    assert policies.of_id(workspace, FIRST.id) == FIRST
    assert policies.publish(workspace, _version(2), **WHY)
    assert policies.chosen(workspace, file) == FIRST
    assert policies.chosen(workspace, "lead_routing") == _version(2)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "A", "a" * 65])
def test_names_lead_nowhere(name: str) -> None:
    """A name is a plain word."""
    with pytest.raises(WrongUse, match="must be made of small letters"):
        policies.ref_of(name)


def test_a_policy_is_small(workspace: Workspace) -> None:
    """More rules than anybody reads are refused."""
    routes = [{"route": f"r{n}", "at_least": 0, "reason": ""} for n in range(600)]
    with pytest.raises(document.PolicyBroken, match="500 rules"):
        document.must_be_plain(_version(2, routes=routes))

"""Contracts come into force one by one, only as their versions allow, and leave a change log."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from cluster.errors import FunnelcastError, WrongUse
from cluster.refs import Refs
from cluster.settings import CONFIGS
from features.contracts import Contract, compatible, load_contracts, register

if TYPE_CHECKING:
    from cluster.workspace import Workspace

CONTRACTS = load_contracts(CONFIGS / "contracts")
STAGE = {"stage": CONTRACTS["stage"]}


def changed(kind: str, version: str, change: Any) -> dict[str, Contract]:
    """Return all contracts with a change of one and its version."""
    document = CONTRACTS[kind].model_dump(mode="json", by_alias=True)
    change(document["schema"][0]["properties"])
    return CONTRACTS | {kind: Contract.model_validate(document | {"version": version})}


def without_text(properties: list[dict[str, Any]]) -> None:
    """Remove a column."""
    properties[:] = [p for p in properties if p["name"] != "text"]


def longer_text(properties: list[dict[str, Any]]) -> None:
    """Widen a column."""
    text = next(p for p in properties if p["name"] == "text")
    text["logicalTypeOptions"]["maxLength"] += 1


def test_contracts_come_into_force_and_stay(workspace: Workspace) -> None:
    first = register.put_in_force(workspace, CONTRACTS, "ingest", "first source")
    assert register.put_in_force(workspace, CONTRACTS, "ingest", "second source") == first
    there = register.in_force(workspace, CONTRACTS)
    assert {kind: c.contract for kind, c in there.items()} == CONTRACTS
    assert {c.ref.epoch for c in there.values()} == {1}
    assert len(list(workspace.journal.entries(register.ENTRY))) == len(CONTRACTS)


def test_a_compatible_version_moves_and_is_logged_with_who_when_and_why(
    workspace: Workspace,
) -> None:
    register.put_in_force(workspace, STAGE, "ingest", "first")
    new = changed("stage", "1.2.0", longer_text)
    register.put_in_force(workspace, {"stage": new["stage"]}, "revops", "long steps")
    moves = [move for _, move in register.history(workspace, ["stage"])]
    assert [m.contract.version for m in moves] == [STAGE["stage"].version, "1.2.0"]
    assert (moves[1].ref.actor, moves[1].ref.reason) == ("revops", "long steps")
    entry = list(workspace.journal.entries(register.ENTRY))[-1]
    assert entry.body["changes"] == ["text: length widened (maxLength 500 -> maxLength 501)"]
    assert entry.at == moves[1].ref.moved_at


def test_a_breaking_change_without_a_major_version_moves_no_contract(workspace: Workspace) -> None:
    register.put_in_force(workspace, CONTRACTS, "ingest", "first")
    both = changed("stage", "1.2.0", without_text) | {
        "lead": changed("lead", "1.2.0", longer_text)["lead"]
    }
    with pytest.raises(WrongUse, match=r"'stage' needs .* text: column removed .* write version 2"):
        register.put_in_force(workspace, both, "ingest", "careless")
    assert {c.ref.epoch for c in register.in_force(workspace, CONTRACTS).values()} == {1}


def test_it_would_move_if_no_verdict_were_asked_for(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    register.put_in_force(workspace, CONTRACTS, "ingest", "first")
    monkeypatch.setattr(compatible, "verdict", lambda old, new: None)
    broken = changed("stage", "1.2.0", without_text)
    register.put_in_force(workspace, broken, "ingest", "careless")
    assert register.in_force(workspace, ["stage"])["stage"].contract == broken["stage"]


def test_a_breaking_change_with_a_major_version_comes_into_force(workspace: Workspace) -> None:
    register.put_in_force(workspace, STAGE, "ingest", "first")
    new = {"stage": changed("stage", "2.0.0", without_text)["stage"]}
    assert register.put_in_force(workspace, new, "revops", "no steps") != {}
    assert register.in_force(workspace, ["stage"])["stage"].contract.version == "2.0.0"


def test_who_loses_a_race_reads_again(workspace: Workspace) -> None:
    class Slow(Refs):
        """Refs before which another always moves first, once."""

        def move(self, name: str, **how: Any) -> Any:
            register.put_in_force(workspace, STAGE, "another", "first")
            return super().move(name, **how)

    racing = dataclasses.replace(workspace, refs=Slow(workspace.database))
    register.put_in_force(racing, STAGE, "ingest", "second")
    assert register.in_force(workspace, ["stage"])["stage"].ref.actor == "another"


def test_who_never_wins_is_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register, "TRIES", 0)
    with pytest.raises(FunnelcastError, match="try again"):
        register.put_in_force(workspace, STAGE, "ingest", "first")

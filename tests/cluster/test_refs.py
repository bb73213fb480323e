"""Refs: moves are compare-and-swap, and every move is kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from cluster import errors, refs, schema

if TYPE_CHECKING:
    from datetime import datetime

    from cluster import database

THREADS = 8
MOVES = 50


@pytest.fixture
def pointers(db: database.Database) -> refs.Refs:
    """The refs of `db`."""
    return refs.Refs(db)


def test_a_name_never_moved_is_none(pointers: refs.Refs) -> None:
    assert pointers.get("live") is None
    assert pointers.history("live") == []


def test_a_move_is_read_back_with_all_it_said(pointers: refs.Refs, now: datetime) -> None:
    moved = pointers.move(
        "live", to="x", expect_epoch=0, actor="ann", reason="first\nrelease", now=now
    )
    assert moved == refs.Ref(
        name="live", target="x", epoch=1, moved_at=now, actor="ann", reason="first\nrelease"
    )
    assert pointers.get("live") == moved


def test_history_keeps_every_move_in_order(pointers: refs.Refs, now: datetime) -> None:
    moved = [_move(pointers, to, epoch, now) for epoch, to in enumerate("abcab")]
    assert pointers.history("live") == moved
    assert pointers.get("live") == moved[-1]


def test_those_whose_names_begin_alike_are_found_by_name(
    pointers: refs.Refs, now: datetime
) -> None:
    for name in ("a_/2", "a_/10", "A_/1", "ab/1", "a_"):
        pointers.move(name, to="x", expect_epoch=0, actor="a", reason="b", now=now)
    assert [each.name for each in pointers.under("a_/")] == ["a_/10", "a_/2"]


@pytest.mark.parametrize("expect_epoch", [0, 1, 3, 99])
def test_a_wrong_epoch_is_refused_and_changes_nothing(
    pointers: refs.Refs, now: datetime, expect_epoch: int
) -> None:
    _move(pointers, "a", 0, now)
    _move(pointers, "b", 1, now)
    refused = _move(pointers, "c", expect_epoch, now)
    assert isinstance(refused, errors.Refusal)
    assert "epoch 2 at 'b'" in str(refused)
    assert "\n" not in str(refused)
    assert [ref.target for ref in pointers.history("live")] == ["a", "b"]


def test_moving_a_name_that_does_not_exist_is_refused(pointers: refs.Refs, now: datetime) -> None:
    assert "no such ref" in str(_move(pointers, "a", 4, now))


@pytest.mark.parametrize("name", ["", "new\nline", "nul\0", "x" * 201])
def test_a_name_that_not_every_database_can_hold_is_refused(
    pointers: refs.Refs, now: datetime, name: str
) -> None:
    with pytest.raises(errors.WrongUse, match="name of a ref"):
        pointers.move(name, to="a", expect_epoch=0, actor="ann", reason="", now=now)


def test_racing_moves_have_one_winner_per_epoch_and_no_gaps(
    pointers: refs.Refs, now: datetime
) -> None:
    _race(pointers, now)


def test_without_the_epoch_comparison_the_race_is_lost(
    pointers: refs.Refs, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(_self: refs.Refs, row: dict[str, object], expect_epoch: int) -> object:
        if expect_epoch == 0:
            return schema.refs.insert().values(row)
        return schema.refs.update().where(schema.refs.c.name == row["name"]).values(row)

    monkeypatch.setattr(refs.Refs, "_change", careless)
    with pytest.raises((AssertionError, sa.exc.IntegrityError)):
        _race(pointers, now)


def test_an_epoch_cannot_be_written_twice_even_without_the_comparison(
    pointers: refs.Refs, now: datetime, execute: object
) -> None:
    _move(pointers, "a", 0, now)
    with pytest.raises(sa.exc.IntegrityError):
        execute("INSERT INTO ref_moves SELECT * FROM ref_moves")  # type: ignore[operator]


def _move(pointers: refs.Refs, to: str, epoch: int, now: datetime) -> refs.Ref | errors.Refusal:
    return pointers.move("live", to=to, expect_epoch=epoch, actor="ann", reason="", now=now)


def _race(pointers: refs.Refs, now: datetime) -> None:
    def contend(thread: int) -> list[refs.Ref]:
        won: list[refs.Ref] = []
        for number in range(MOVES):
            found = pointers.get("live")
            outcome = _move(pointers, f"{thread}-{number}", found.epoch if found else 0, now)
            if isinstance(outcome, refs.Ref):
                won.append(outcome)
        return won

    with ThreadPoolExecutor(THREADS) as pool:
        won = [ref for wins in pool.map(contend, range(THREADS)) for ref in wins]
    assert len(won) >= MOVES
    history = pointers.history("live")
    assert [ref.epoch for ref in history] == list(range(1, len(won) + 1))
    assert sorted(won, key=lambda ref: ref.epoch) == history
    assert pointers.get("live") == history[-1]


def test_refs_move_together_or_not_at_all(pointers: refs.Refs, now: datetime) -> None:
    """One that has moved meanwhile keeps the others where they are, and what was to be written."""
    said: Any = {"actor": "ada", "reason": "a test", "now": now}
    assert not isinstance(pointers.move("b", to="1", expect_epoch=0, **said), errors.Refusal)
    wrote: list[object] = []

    def both(epoch: int) -> list[refs.Ref] | errors.Refusal:
        moves = [refs.Move(name="a", to="2", expect_epoch=0)]
        moves += [refs.Move(name="b", to="2", expect_epoch=epoch)]
        return pointers.move_all(moves, **said, witness=wrote.append)

    lost = both(0)
    assert isinstance(lost, errors.Refusal)
    assert "'b' must still be at epoch 0" in str(lost)
    assert (pointers.get("a"), wrote) == (None, [])
    moved = both(1)
    assert not isinstance(moved, errors.Refusal)
    assert [(ref.name, ref.target, ref.epoch) for ref in moved] == [("a", "2", 1), ("b", "2", 2)]
    assert len(wrote) == 1


def test_what_a_witness_raises_undoes_the_moves(pointers: refs.Refs, now: datetime) -> None:
    """They are one transaction."""

    def broken(connection: object) -> None:
        raise OSError("the disk is full")

    one = refs.Move(name="a", to="2", expect_epoch=0)
    with pytest.raises(OSError, match="full"):
        pointers.move_all([one], actor="ada", reason="a test", now=now, witness=broken)
    assert pointers.get("a") is None

"""The checkpoints, one after another: signatures, the series, and the chains they sealed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster import checkpoints
from cluster.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cluster.chain import Head
    from cluster.chains import Chains
    from cluster.checkpoints import Checkpoint, Sealed, Series
    from cluster.sealing import Store
    from cluster.signing import PublicKey

EVERY = 100  # checkpoints between two words of progress
TRIES = 3  # a checkpoint that is written meanwhile may follow one behind those already read


@dataclass(frozen=True, kw_only=True)
class NotSealed(Refusal):
    """A chain is not what a checkpoint sealed: entries are gone, or are others."""

    writer: str
    seq: int  # the first that is gone; or the first that may be another


def check(
    store: Store,
    keys: Mapping[str, PublicKey],
    there: Chains,
    progress: Callable[[int, int, str], None],
) -> Series | Refusal:
    """Return the whole series, or the first thing wrong with it. Reads one checkpoint at a time."""
    for _ in range(TRIES):
        found = _checked(store, keys, there, progress)
        if not isinstance(found, Refusal):
            break
    return found


def _checked(
    store: Store,
    keys: Mapping[str, PublicKey],
    there: Chains,
    progress: Callable[[int, int, str], None],
) -> Series | Refusal:
    stranger = next(store.strangers(), None)
    if stranger is not None:
        return Refusal(
            rule="only checkpoints and keys must lie with the checkpoints",
            value=f"'{stranger}'",
            remedy="find out who put it there, and take it away",
        )
    series, heads = checkpoints.Series(), there.heads()
    for count, name in enumerate(store.names(), 1):
        found = checkpoints.opened(name, store.read(name), keys)
        wrong = found if isinstance(found, Refusal) else _wrong(found, series, there, heads)
        if wrong is not None:
            return wrong
        if count % EVERY == 0:
            progress(count, count, "checkpoints")
    return series


def _wrong(
    found: Sealed, series: Series, there: Chains, heads: Mapping[str, Head]
) -> Refusal | None:
    before = dict(series.highest)
    refused = series.follow(found)
    if refused is not None:
        return refused
    for writer, head in sorted(found.checkpoint.heads.items()):
        stored = there.hash_at(writer, head.seq)
        if stored != head.hash:
            end = heads[writer].seq if writer in heads else 0
            gone = stored is None
            return _not_sealed(found.checkpoint, writer, end if gone else None, before)
    return None


def _not_sealed(
    said: Checkpoint, writer: str, end: int | None, before: Mapping[str, int]
) -> NotSealed:
    """Return what to say of a chain that ends too early, at `end`, or that was written anew."""
    sealed = said.heads[writer].seq
    seq = (before.get(writer, 0) if end is None else min(end, sealed - 1)) + 1
    what = f"others from seq {seq} or later" if end is None else f"none from seq {seq} on"
    return NotSealed(
        rule=f"writer '{writer}' must have the entries up to seq {sealed} "
        f"that checkpoint {said.number} sealed",
        value=what,
        remedy="restore the database from a backup that holds them",
        writer=writer,
        seq=seq,
    )

"""Every chain against its hashes: in one walk, or for a large journal in one walk per slice.

A slice begins behind an entry whose hash it takes as it is stored; the slice before has checked it.
Slices end in order, so that the first break found is the first there is.
"""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING

from cluster import chain, chains

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cluster.chains import Key

APART_FROM = 200_000  # entries, from which on processes of their own are worth their start
SLICE = 50_000  # entries of a slice
SLICES = 1_000  # at most, but for the writers: a forged number must not make millions


def verify(url: str, progress: Callable[[int, int, str], None]) -> chain.Verified | chain.Break:
    """Check every chain of the database at `url`; memory does not grow with the journal."""
    with chains.open_chains(url) as there:
        heads = there.heads()
        plain = all(type(head.seq) is int and head.seq > 0 for head in heads.values())
        total = sum(head.seq for head in heads.values()) if plain else 0
        wanted = _cuts(heads, total) if total >= APART_FROM else ()
        cuts = [key for key in wanted if there.hash_at(*key) is not None]
        if not cuts:
            return _walked(there, total, progress)
    return _apart(url, [chains.START, *cuts, None], total, progress)


def walk(url: str, after: Key, until: Key | None) -> chain.Walk:
    """Return the walk along one slice."""
    with chains.open_chains(url) as there:
        known = there.hash_at(*after)
        begun = {} if known is None else {after[0]: chain.Head(seq=after[1], hash=known)}
        walk = chain.Walk(heads=begun)
        for page in there.pages(after, until):
            if not walk.along(page):
                break
    return walk


def _walked(
    there: chains.Chains, total: int, progress: Callable[[int, int, str], None]
) -> chain.Verified | chain.Break:
    walk = chain.Walk()
    for page in there.pages():
        if not walk.along(page):
            break
        progress(walk.entries, max(total, walk.entries), "entries")
    return walk.outcome()


def _cuts(heads: Mapping[str, chain.Head], total: int) -> Iterator[Key]:
    size = room = max(SLICE, total // SLICES)
    for writer, head in heads.items():
        at = 0
        while head.seq - at >= room:
            at, room = at + room, size
            yield writer, at
        room -= head.seq - at


def _apart(
    url: str, bounds: list[Key | None], total: int, progress: Callable[[int, int, str], None]
) -> chain.Verified | chain.Break:
    whole = chain.Walk()
    spawn = multiprocessing.get_context("spawn")  # a fork would share open connections
    with ProcessPoolExecutor(os.cpu_count(), mp_context=spawn) as pool:
        walks = [pool.submit(walk, url, a, b) for a, b in pairwise(bounds) if a is not None]
        for done in walks:
            part = done.result()
            whole.entries += part.entries
            whole.heads |= part.heads
            if part.broken is not None:
                whole.broken = part.broken
                pool.shutdown(wait=False, cancel_futures=True)
                break
            progress(whole.entries, max(total, whole.entries), "entries")
    return whole.outcome()

"""The journal, killed at random moments: nothing acknowledged is lost, and no chain has a gap."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from cluster import database, journal

if TYPE_CHECKING:
    from collections.abc import Iterator

KILLS = 6
DRILL_KILLS, DRILL_WRITES, PROCESSES = 50, 10_000, 4
THREADS = 4  # of a child, each with one entry under way
WRITERS = ("one", "two", "both", "both")  # the last two extend one chain


def test_kills_at_random_moments_lose_nothing_acknowledged(
    current_url: str, log: journal.Journal, nurseries: list[Any]
) -> None:
    acknowledged = _killed(nurseries[0], "plain", current_url, kills=KILLS)
    assert len(acknowledged) >= KILLS
    assert acknowledged <= {entry.id for entry in log.entries()}
    assert log.verify()


def test_acknowledging_before_the_commit_loses_entries(
    current_url: str, log: journal.Journal, nurseries: list[Any]
) -> None:
    acknowledged = _killed(nurseries[0], "hasty", current_url, kills=KILLS)
    assert acknowledged - {entry.id for entry in log.entries()}


@pytest.mark.drill
def test_fifty_kills_over_ten_thousand_writes_of_four_processes(
    current_url: str, four: list[Any]
) -> None:
    each = -(-DRILL_KILLS // PROCESSES)
    with ThreadPoolExecutor(PROCESSES) as pool:
        jobs = [
            pool.submit(
                _killed, nursery, "plain", current_url, kills=each,
                writes=DRILL_WRITES // PROCESSES, writer=WRITERS[number], name=f"{number}",
            )
            for number, nursery in enumerate(four)
        ]  # fmt: skip
        acknowledged = set().union(*(job.result() for job in jobs))
    with (
        closing(database.open_database(current_url)) as db,
        closing(journal.Journal(db, "look")) as log,
    ):
        stored = {entry.id for entry in log.entries()}
        verified = log.verify()
    assert len(acknowledged) >= DRILL_WRITES
    assert not acknowledged - stored
    killed = {id.rsplit("-", 2)[0] for id in stored}  # more than asked for where writes take longer
    assert len(stored - acknowledged) <= len(killed) * THREADS
    assert verified
    assert verified.entries == len(stored)


@pytest.fixture
def four(nurseries: list[Any]) -> Iterator[list[Any]]:
    """Four processes to start children from."""
    more = [type(nurseries[0])() for _ in range(PROCESSES - len(nurseries))]
    yield [*nurseries, *more]
    for nursery in more:
        nursery.process.communicate()


def _killed(
    nursery: Any, work: str, url: str, *, kills: int, writes: int = 0, writer: str = "child",
    name: str = "",
) -> set[str]:  # fmt: skip
    """Return all that children acknowledged who were killed one after another."""
    moments = random.Random(f"20260301{name}")
    acknowledged: set[str] = set()
    kill = 0
    while kill < kills or len(acknowledged) < writes:
        nursery.start(work, url, prefix=f"{name}-{kill}", count=10_000, writer=writer)
        acknowledged |= nursery.kill(after_s=moments.uniform(0.0, 0.2))
        kill += 1
    return acknowledged

"""Child of the drill: events in through the entrance by several threads at once, compaction beside
them, until it is killed.

Prints the row key of every event that was acknowledged, one per line, as soon as it is; and the
process that does the work, which is the one to kill: another then takes its place. With `early` as
second argument all workers but the first are mutants: they acknowledge what is not yet committed.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cluster.settings import CONFIGS, Settings
from cluster.workspace import Workspace
from features import compaction, fingerprint, online
from features.arrivals import Entrance, Sent
from features.arrivals.intake import Intake
from features.arrivals.wire import Data
from features.contracts import Contract, load_contracts
from features.online import follower

WORKER = "worker "
POSTERS = 4
EVENTS = 5  # of a request
REQUESTS = 12  # beside each compaction
LEADS = 40
LATE_S = 1.0  # of a mutant's commit


def sent(run: str, number: int) -> Sent:
    """Return an event of its own."""
    lead = number % LEADS
    return Sent(
        id=f"{run}-{number}",
        source="/child",
        kind="touch",
        name="web_visit",
        time=datetime(2026, 1, 1, number % 24, tzinfo=UTC),
        data=Data(lead=f"lead-{lead}", account=f"account-{lead % 7}"),
        raw=b"{}",
    )


def post(entrance: Entrance, run: str, request: int) -> None:
    """Send a request of events of its own, and tell what is acknowledged by one write."""
    events = [sent(run, request * EVENTS + n) for n in range(EVENTS)]
    assert {outcome.status for outcome in entrance.accept(events)} == {"accepted"}
    os.write(sys.stdout.fileno(), "".join(f"{event.row_key}\n" for event in events).encode())


def work(home: Path, run: str, contracts: dict[str, Contract]) -> None:
    """Post and compact for ever; the tail is kept short, so that there are many bases."""
    follower.FEW, follower.TAIL_MOST = 20 * EVENTS, 40 * EVENTS
    with Workspace.open(Settings(home=home, buckets=2)) as workspace:
        entrance = Entrance(workspace, online.OnlineStore(workspace), contracts)
        with ThreadPoolExecutor(POSTERS) as posters:
            for start in count(step=REQUESTS):
                posts = [posters.submit(post, entrance, run, start + n) for n in range(REQUESTS)]
                compaction.fold(workspace)
                compaction.rewrite(workspace, most_files=3)
                for each in posts:
                    each.result()


def acknowledge_early() -> None:
    """Make this process answer first and commit later."""
    keep = Intake._keep

    def late(intake: Intake, checked: Any, now: datetime) -> np.ndarray:
        def run() -> None:
            time.sleep(LATE_S)
            keep(intake, checked, now)

        threading.Thread(target=run, daemon=True).start()
        return np.ones(checked.good.num_rows, bool)

    Intake._keep = late  # type: ignore[method-assign]


def main(home: Path, mutant: str = "") -> None:
    """Start one worker after the other, each when the one before was killed; imports cost once."""
    contracts = load_contracts(CONFIGS / "contracts")
    fingerprint.of_rows([pa.array(["compiled"]), pa.array([1])])
    for run in count():
        worker = os.fork()
        if not worker:
            if mutant == "early" and run:
                acknowledge_early()
            work(home, str(run), contracts)
        sys.stdout.write(f"{WORKER}{worker}\n")
        sys.stdout.flush()
        os.waitpid(worker, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])

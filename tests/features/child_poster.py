"""Child of the drill: events in through the entrance, compaction in between, until it is killed.

Prints the row key of every event that was acknowledged, one per line, as soon as it is; and the
process that does the work, which is the one to kill: another then takes its place.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pyarrow as pa

from cluster.settings import CONFIGS, Settings
from cluster.workspace import Workspace
from features import compaction, fingerprint, online
from features.arrivals import Entrance, Sent
from features.arrivals.wire import Data
from features.contracts import Contract, load_contracts
from features.online import follower

WORKER = "worker "
EVENTS = 20  # of a request
REQUESTS = 3  # between compactions
LEADS = 40


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


def work(home: Path, run: str, contracts: dict[str, Contract]) -> None:
    """Post and compact for ever; the tail is kept short, so that there are many bases."""
    follower.FEW, follower.TAIL_MOST = 2 * EVENTS, 4 * EVENTS
    with Workspace.open(Settings(home=home, buckets=2)) as workspace:
        entrance = Entrance(workspace, online.OnlineStore(workspace), contracts)
        for request in count():
            events = [sent(run, request * EVENTS + n) for n in range(EVENTS)]
            assert {outcome.status for outcome in entrance.accept(events)} == {"accepted"}
            sys.stdout.write("".join(f"{event.row_key}\n" for event in events))
            sys.stdout.flush()
            if request % REQUESTS == REQUESTS - 1:
                compaction.fold(workspace)
                compaction.rewrite(workspace, most_files=3)


def main(home: Path) -> None:
    """Start one worker after the other, each when the one before was killed; imports cost once."""
    contracts = load_contracts(CONFIGS / "contracts")
    fingerprint.of_rows([pa.array(["compiled"]), pa.array([1])])
    for run in count():
        worker = os.fork()
        if not worker:
            work(home, str(run), contracts)
        sys.stdout.write(f"{WORKER}{worker}\n")
        sys.stdout.flush()
        os.waitpid(worker, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""What a planner waits for: from POST to the finished comparison of five scenarios, and business as
usual beside them, of a company with 2,000 open deals, over 26 weeks in 1,000 draws.

The service runs as `python -m serving` starts it, on two cores, and has simulated before: kernels
are compiled, files are in memory. Its company is the synthetic one at the size that has so many
open deals, of which the log holds deals alone: what leads bring is an arrival of deals. Each round
asks with another seed, when its planner has looked for ten seconds at what came out before; so a
process waits for it that has learnt from the same log. `at_once_s` is the median of rounds between
them that are asked when the one before has just ended, and wait for a process to start and to
learn; it is asserted which ran where. All are looked at five times a second (the planners' page
looks every 0.7 s): each look is a request that takes the service's processor, and fifty in a second
take half a core from it.
`seconds` is the median from POST to `done`, `repeated_s` that of asking the same again, POST to
answer; `split` says where the time of that round went: `submit` (the POST), `start` (until
the process says its first word), `learn` (it learns what it has not yet, until the first part is
simulated), `simulate` (until the last), `write` (sums up, keeps the result). `load`
is that of the machine as the bench began and ended: above 1 at the beginning, other work took part
of both cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pyarrow as pa
import pyarrow.compute as pc

from cluster.settings import Settings
from cluster.workspace import Workspace
from features import log
from features.sources.world import WorldConfig, generate
from serving.simulations.records import Run
from serving.simulations.spares import Spares
from tests.serving.running import running

if TYPE_CHECKING:
    from collections.abc import Iterator

SCALE, WEEKS, SEED = 10.0, 40, 7  # of the company: about 2,000 open deals
HORIZON, DRAWS = 26, 1_000
ROUNDS, REPEATED, LOOK_S, MOST_S = 3, 9, 0.2, 600.0
LOOKED_S = 10.0  # at what came out, before something else is asked
KINDS = ("opportunity", "stage", "outcome", "attribute")
PATH = "/v1/simulations"
LEVERS = (  # stages, share listed in a week, odds ratio
    (["discovery"], 0.2, 1.2),
    (["evaluation"], 0.2, 1.3),
    (["proposal"], 0.3, 1.3),
    (["negotiation"], 0.3, 1.2),
    (["discovery", "proposal"], 0.5, 1.2),
)

type Figures = dict[str, Any]


def main() -> None:
    """Measure, print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_what_if")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="bench-what-if-") as folder:
        deals = company(Path(folder) / "home")
        figures = measured(Path(folder), given.draws, given.rounds)
    load = [round(each, 1) for each in (before, os.getloadavg()[0])]
    facts = {"events": deals, "draws": given.draws, "horizon": HORIZON, "load": load}
    print(json.dumps({**figures, **facts}))


def company(home: Path) -> int:
    """Make the workspace; return how many events its log holds."""
    told = generate(WorldConfig(seed=SEED, scale=SCALE, weeks=WEEKS, faults=0.0)).events
    events = log.identified(deals(told))
    with Workspace.open(Settings(home=home)) as workspace:
        log.create(workspace.tables, workspace.settings.buckets)
        workspace.tables.append(log.TABLE, events)
    return events.num_rows


def deals(told: pa.Table) -> pa.Table:
    """Return what is told of deals and their accounts, as of a company that records no leads."""
    of_deal = pc.is_valid(told["opportunity"])
    of_account = pc.and_(pc.is_null(told["opportunity"]), pc.is_null(told["lead"]))
    wanted = pc.is_in(told["kind"], pa.array(KINDS))
    found = told.filter(pc.and_(wanted, pc.or_(of_deal, of_account)))
    place = found.column_names.index("lead")
    return found.set_column(place, "lead", pa.nulls(found.num_rows, found["lead"].type))


def measured(folder: Path, draws: int, rounds: int) -> Figures:
    """Return the figures of a service over the workspace."""
    home = folder / "home"
    environ = {"FUNNELCAST_RAY__CPUS": "2", "FUNNELCAST_LOG__LEVEL": "none"}
    with (
        running(
            home, folder / "told", profile="portable", environ=environ, ready="/healthz"
        ) as service,
        httpx.Client(base_url=service.url, timeout=60.0) as http,
    ):
        once(http, asked(0, draws=16))  # compiles, and fills the memory of files
        found, at_once = [], []
        for seed in range(1, rounds + 1):
            time.sleep(LOOKED_S)
            found.append(once(http, asked(seed, draws)))
            at_once.append(once(http, asked(-seed % 2**32, draws)))
        again = [_again(http, asked(1, draws)) for _ in range(REPEATED)]
        assert all(_waited(home, each) for each in found), "no process waited"
        assert not any(_waited(home, each) for each in at_once), "one waited that was just started"
    middle = sorted(found, key=lambda each: each["seconds"])[len(found) // 2]
    return {
        "seconds": middle["seconds"],
        "at_once_s": statistics.median(each["seconds"] for each in at_once),
        "repeated_s": round(statistics.median(again), 4),
        "split": middle["split"],
        "every_s": [each["seconds"] for each in found],
    }


def _waited(home: Path, found: Figures) -> bool:
    """Did it run in a process that waited?"""
    with Workspace.open(Settings(home=home)) as workspace:
        return Spares(workspace.database).of(Run(id=found["id"], attempt=1)) is not None


def asked(seed: int, draws: int) -> Figures:
    """Return a comparison of five scenarios."""
    desks = [{"name": "inside", "reps": 12, "contacts_per_day": 8}]
    shared = {"draws": draws, "horizon": HORIZON, "seed": seed, "desks": desks}
    own = [{"name": f"s{n}", "levers": [_lever(*each)]} for n, each in enumerate(LEVERS)]
    return {"scenarios": [{**each, **shared} for each in own]}


def _lever(stages: list[str], rate: float, ratio: float) -> Figures:
    effect = {"ratio": ratio, "sd": 0.1, "grade": "assumption"}
    said = {"kind": "outreach", "stages": stages, "rate": rate, "effect": effect}
    return {**said, "cost_per_contact_cents": 1_500}


def once(http: httpx.Client, body: Figures) -> Figures:
    """Ask for a simulation, and wait until it is done."""
    began = time.perf_counter()
    sent = http.post(PATH, json=body)
    assert sent.status_code == 202, sent.text
    marks = {"submit": time.perf_counter() - began}
    for at, told in _looks(http, sent.headers["location"], began):
        progress = told["progress"] or {"what": None, "done": 0, "total": 1}
        if told["status"] != "queued":
            marks.setdefault("start", at)
        if progress["what"] == "chunks":
            marks.setdefault("learn", at)
            if progress["done"] == progress["total"]:
                marks.setdefault("simulate", at)
        if told["status"] == "done":
            marks["write"] = at
    id = sent.json()["id"]
    return {"id": id, "seconds": round(marks["write"], 2), "split": _split(marks)}


def _looks(http: httpx.Client, where: str, began: float) -> Iterator[tuple[float, Figures]]:
    """Yield how far a simulation is, until it is over."""
    while (at := time.perf_counter() - began) < MOST_S:
        told = http.get(where).json()
        yield at, told
        if told["status"] == "done":
            return
        assert told["status"] in {"queued", "running"}, told
        time.sleep(LOOK_S)
    raise AssertionError(f"a simulation must end within {MOST_S} s")


def _split(marks: dict[str, float]) -> Figures:
    last, found = 0.0, {}
    for name, at in sorted(marks.items(), key=lambda each: each[1]):
        found[name], last = round(at - last, 2), at
    return found


def _again(http: httpx.Client, body: Figures) -> float:
    began = time.perf_counter()
    sent = http.post(PATH, json=body)
    took = time.perf_counter() - began
    assert (sent.status_code, sent.json()["unchanged"]) == (200, True), sent.text
    return took


if __name__ == "__main__":
    main()

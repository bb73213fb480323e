"""Releases: how soon a bad canary is undone, how seldom a good one, and what a flip costs.

Bad canaries (releases_canary.py), on the real service in this process: 1 % of the rows fail in the
stable arm, 10 % in the candidate's, the shipped plan `canary` at its step of 5 %, open load of 200
accounts a second that are all different for a minute. `rollback_decided_*` runs from the start of
the step until the rollback can be read, `last_bad_answer_s` from there to the candidate's last
answer. Where the machine does not bear 200 requests a second with the generator in the same
process, 100 are sent for twice as long and the seconds halved; `rate` and `time_scaled_by` say so.

Simulated (releases_simulated.py), by the product's evidence: releases without a fault under a load
that follows the day, one account making 30 % of the errors; then models that are worse, not
calibrated, or as good, by how many leads with an outcome it takes to say so.

Flips (releases_flips.py), over HTTP and Ray Serve: blue to green and back, from the move until all
replicas have followed; every request that fails meanwhile, and every old answer a second later.
The flips with two replicas are beside, under `two_replicas`; requests that failed are of both.

The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench import load, releases_canary, releases_flips, releases_simulated, serving_workspace

if TYPE_CHECKING:
    from tests.bench.serving_workspace import Made

LEADS, EVENTS = 12_000, 30  # of the company: a minute at 200 a second
GOALS = {  # at most
    "rollback_decided_p95_s": 20.0,
    "last_bad_answer_s": 1.0,
    "false_rollback_share": 0.002,
    "worse_found_median": 3_500,
    "equal_rejected_share": 0.05,
    "flip_failed_requests": 0,
    "flip_p95_s": 2.0,
    "late_old_answers": 0,
}

type Figures = dict[str, Any]


def main() -> None:
    """Measure in turn, print the figures of each part, then all."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_releases")
    parser.add_argument("--runs", type=int, default=20, help="bad canaries")
    parser.add_argument("--rate", type=float, help="of their load; by default what is borne")
    parser.add_argument("--releases", type=int, default=2_000, help="simulated ones")
    parser.add_argument(
        "--models", type=int, default=100, help="of each kind; of equals five times"
    )
    parser.add_argument("--flips", type=int, default=30)
    parser.add_argument("--flips-of-two", type=int, default=5, help="with two replicas")
    parser.add_argument("--profile", default="fast")
    print(json.dumps(measured(parser.parse_args())))


def measured(given: argparse.Namespace) -> Figures:
    """Return all figures; what is asked for no time is left out."""
    figures: Figures = {}
    if given.runs:
        figures |= _told(releases_canary.measured(_made(), given.runs, given.rate))
    if given.flips:
        figures |= _told(_flips(given))
    if given.releases:
        figures |= _told(releases_simulated.measured(given.releases, given.models))
    return {**figures, "missed": _missed(figures)}


def _flips(given: argparse.Namespace) -> Figures:
    one = releases_flips.measured(_made(), given.profile, given.flips, 1)
    if not given.flips_of_two:
        return one
    two = releases_flips.measured(_made(), given.profile, given.flips_of_two, 2)
    both = ("flip_failed_requests", "late_old_answers")
    return {**one, **{name: one[name] + two[name] for name in both}, "two_replicas": two}


def _made() -> Made:
    home = Path(os.environ.get("FUNNELCAST_HOME") or load.ROOT / ".workspace").resolve()
    return serving_workspace.fresh(home / "cache", count=LEADS, median=EVENTS)


def _missed(figures: Figures) -> list[str]:
    """Return the names of the figures that are above their goal."""
    return [name for name, most in GOALS.items() if figures.get(name, 0) > most]


def _told(figures: Figures) -> Figures:
    print(json.dumps(figures), flush=True)
    return figures


if __name__ == "__main__":
    main()

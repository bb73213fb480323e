"""The forecast's kernel at 10,000 open deals x 52 weeks, and the same model in NumPy and SimPy.

Capacity and fatigue are on: three desks (first in first out, freshest first, by rank), two levers,
ten groups in five segments with shared shocks; about as many units arrive as close, so that some
10,000 stay open (simulation_case.py). `deal_weeks_per_s` counts the weeks of units that really
were open; `nominal_per_s` is units x weeks x draws / s, arrivals not counted. Two threads share
this process: the kernel holds no lock of Python, and takes chunks of draws until time is up.

The peers (simulation_numpy.py, simulation_simpy.py) run 1,000 units, one thread each, and so does
the kernel for the ratios. NumPy asks for the same random numbers and must give the same outcome to
the last cent; SimPy must agree within four standard errors. The figures are void otherwise.

Where the time goes, `ns_by_part` says by leaving parts out.

The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from serving.forecast import levers
from serving.forecast.laws import arriving
from serving.forecast.luck import Chance
from tests.bench import simulation_case as small
from tests.bench import simulation_numpy, simulation_simpy

if TYPE_CHECKING:
    from serving.forecast.given import Outcome
    from tests.bench.simulation_case import Case

UNITS, CHUNK = 10_000, 16  # draws of a chunk
FEW_UNITS, FEW_DRAWS, MANY_DRAWS = 1_000, 20, 400
GOALS = {
    "deal_weeks_per_s": 100e6,
    "vs_simpy": 300,
    "vs_numpy": 10,
    "speedup_2_workers": 1.8,
    "peak_rss_mb": 2_000,  # below
}
FOUR = 4.0  # standard errors

type Figures = dict[str, Any]


def main() -> None:
    """Measure one thread, two threads and the peers, and say what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_simulation")
    parser.add_argument("--seconds", type=float, default=60.0, help="of two threads; half for one")
    seconds = parser.parse_args().seconds
    given = small.case(UNITS, CHUNK)
    began = time.perf_counter()
    small.simulate(small.case(50, 1), 0)
    figures: Figures = {"first_call_s": round(time.perf_counter() - began, 2)}
    one = _shown("one thread", _rates(given, 1, seconds / 2))
    two = _shown("two threads", _rates(given, 2, seconds))
    figures |= two
    figures["one_thread_per_s"] = one["deal_weeks_per_s"]
    figures["speedup_2_workers"] = round(two["deal_weeks_per_s"] / one["deal_weeks_per_s"], 2)
    figures["peak_rss_mb"] = _peak_mb()
    figures["ns_by_part"] = _parts(given)
    figures |= _peers()
    print(json.dumps(figures | {"goals": GOALS}))
    if not (figures["same_as_numpy"] and figures["simpy_worst_z"] < FOUR):
        sys.exit("all versions must give the same answers")


def _rates(given: Case, threads: int, seconds: float) -> Figures:
    """Simulate chunks until time is up, and keep every outcome."""
    began = time.perf_counter()

    def work(thread: int) -> list[Outcome]:
        kept: list[Outcome] = []
        while time.perf_counter() < began + seconds:
            kept.append(small.simulate(given, (len(kept) * threads + thread) * CHUNK))
        return kept

    with ThreadPoolExecutor(threads) as pool:
        outcomes = [outcome for kept in pool.map(work, range(threads)) for outcome in kept]
    took = time.perf_counter() - began
    draws = sum(outcome.won.shape[0] for outcome in outcomes)
    return {
        "deal_weeks_per_s": round(sum(small.open_weeks(given, o) for o in outcomes) / took),
        "nominal_per_s": round(draws * UNITS * small.WEEKS / took),
        "draws": draws,
        "seconds": round(took, 1),
        "open_at_end": round(float(np.mean([o.open[:, -1].sum(axis=(1, 2)) for o in outcomes]))),
        "contacts_per_draw": round(float(np.mean([o.contacts.sum() / CHUNK for o in outcomes]))),
    }


def _shown(name: str, figures: Figures) -> Figures:
    print(name, json.dumps(figures), flush=True)
    return figures


def _peak_mb() -> int:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return round(sum(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1024)


def _parts(given: Case) -> dict[str, float]:
    """Return ns of a thread per week of an open unit: of all, and with parts of it left out."""
    still = given["desks"]._replace(capacity=np.zeros_like(given["desks"].capacity))
    calm = given["parameters"]._replace(shock_sd=np.zeros(1 + small.SEGMENTS))
    none = levers.none(small.STAGES, small.STRATA, small.GROUPS)
    return {
        "all": _ns(given),
        "nobody served": _ns({**given, "desks": still}),
        "no levers": _ns({**given, "levers": none}),
        "no levers, no shocks": _ns({**given, "levers": none, "parameters": calm}),
    }


def _ns(given: Case) -> float:
    best = np.inf
    for _ in range(3):
        began = time.perf_counter()
        outcome = small.simulate(given, 0)
        best = min(best, (time.perf_counter() - began) / small.open_weeks(given, outcome))
    return round(best * 1e9, 2)


def _peers() -> Figures:
    """Return the ratios to NumPy and SimPy, each at the same size on one thread."""
    given = small.case(FEW_UNITS, FEW_DRAWS)
    first, rows = Chance(1, 0, 0), given["parameters"]
    counts = arriving(rows.rates, rows.spread, first)
    ours, ours_s = _best(lambda: small.simulate(given, 0), 5)
    plain, plain_s = _best(lambda: simulation_numpy.simulate(given, 0, counts), 3)
    theirs, theirs_s = _best(lambda: _simpy(given), 1)
    weeks = small.open_weeks(given, ours)
    figures = {
        "same_as_numpy": all(np.array_equal(a, b) for a, b in zip(ours, plain, strict=True)),
        "simpy_worst_z": _worst_z(given, theirs),
        "vs_numpy": round(plain_s / ours_s, 1),
        "vs_simpy": round(theirs_s / theirs[:, 4].sum() / (ours_s / weeks)),
        "small_ns": round(ours_s / weeks * 1e9, 2),
        "numpy_ns": round(plain_s / weeks * 1e9, 1),
        "simpy_ns": round(theirs_s / float(theirs[:, 4].sum()) * 1e9),
    }
    return _shown("peers", figures)


def _simpy(given: Case) -> np.ndarray:
    return np.array([simulation_simpy.Funnel(given, draw).run() for draw in range(FEW_DRAWS)])


def _worst_z(given: Case, theirs: np.ndarray) -> float:
    """Return the largest difference of means (won, cents, contacts, unsubscribed) in its errors;
    ours are of many draws, each parameter row as often as theirs.
    """
    chunks = range(0, MANY_DRAWS, FEW_DRAWS)
    many = [_totals(small.simulate(given, first)) for first in chunks]
    ours = np.stack(many).reshape(-1, 4)
    means = ours.mean(axis=0) - theirs[:, :4].mean(axis=0)
    variance = ours.var(axis=0) / MANY_DRAWS + theirs[:, :4].var(axis=0, ddof=1) / FEW_DRAWS
    return round(float(np.abs(means / np.sqrt(np.maximum(variance, 1e-12))).max()), 2)


def _totals(outcome: Outcome) -> np.ndarray:
    fields = (outcome.won, outcome.cents, outcome.contacts, outcome.lost_to)
    return np.stack([f.reshape(FEW_DRAWS, -1).sum(axis=1).astype(float) for f in fields], axis=-1)


def _best(work: Any, rounds: int) -> tuple[Any, float]:
    seconds, answer = np.inf, None
    for _ in range(rounds):
        began = time.perf_counter()
        answer = work()
        seconds = min(seconds, time.perf_counter() - began)
    return answer, seconds


if __name__ == "__main__":
    main()

"""The whole way of a decision against a bare scorer: how much load each bears, and how fast.

Bare: FastAPI on uvicorn, XGBoost scoring 50 numbers that the request brings. Full: the decision
service, which reads some 300 events of the lead, makes the features, scores the same trees,
calibrates, explains or not, routes, and journals durably before it answers. One scoring process
each, both cores for it, the generator and all that belongs to it; each runs alone, in turn, so that
other work on the machine meets both. Load is open: see load.py. What is borne is the highest rate
at which 99 % are answered with 200 inside 100 ms; p50 and p99 are those at half of that, medians of
five runs. The bare scorer writes nothing; a run of the full path that was not good and during which
the disk stalled, as a writer beside it saw (serving_disk.py), is run again, twice at most, and so
is any at half load; `disk` says how many runs met a stall, and what the disk was like, `processor`
what share of the time it ran at half of its usual speed or less (serving_processor.py).
Every body was sent once before (`first`: leads that nobody had asked about). `overload` offers five
times what is borne, and says how much was answered in time, and how long refusals took.

`in_memory` are the figures of the same service over a workspace that lies in memory, where nothing
waits for a disk: what the service itself costs. Nothing there survives a loss of power, so the
goals are not held against them.

Beside that: as many decisions are in the journal as were answered, and answered scores equal those
of the batch to the bit. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench import (
    load,
    serving_capacity,
    serving_services,
    serving_workspace,
)
from tests.bench.serving_sender import Sender

if TYPE_CHECKING:
    from tests.bench.serving_workspace import Made

SECONDS, WARMUP = 5.0, 1.0
ROUNDS = 1
HALVES = 5  # runs at half load
LOWEST = 150.0  # rate from which is searched
SAMPLE = 20  # of the answers at half load so many-th are looked into
OVERLOAD = 5
REFUSED = (429, 503)
MEMORY = Path("/dev/shm/funnelcast-bench")  # Linux keeps it in memory
IN_MEMORY = (
    *("ratio_plain", "ratio_reasons", "p99_ratio", "p99_ratio_reasons", "rps", "rps_reasons"),
    *("p50_ms", "p99_ms", "p99_reasons_ms", "p99_of_each_ms", "overload", "stages"),
    *("checked", "journal"),
)

type Figures = dict[str, Any]


def main() -> None:
    """Measure in turn, check, print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_serving")
    parser.add_argument("--profile", default="fast")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each step")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    print(json.dumps(measured(given.profile, given.seconds, given.rounds)))


def by_key(profile: str, seconds: float) -> Figures:
    """Return the figures of one round without reasons, in which everybody is asked for a key."""
    home = Path(os.environ.get("FUNNELCAST_HOME") or load.ROOT / ".workspace").resolve()
    made = serving_workspace.fresh(home / "cache")
    plan = load.Plan(url="", rate=LOWEST, seconds=seconds, warmup=WARMUP)
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as folder:
        bare = _bare(plan, made, Path(folder))
        key = (("authorization", f"Bearer {serving_services.key(made)}"),)
        asked, sender = replace(plan, headers=key), Sender(folder=made.home)
        with serving_services.full(made, Path(folder), profile, by_key=True) as url:
            plain = _measured(replace(asked, url=url, bodies=made.leads), sender)
    figures = {f"{name}_bare": bare[name] for name in ("rps", "p99_ms")}
    figures |= {name: plain[name] for name in ("rps", "p50_ms", "p99_ms")}
    ratios = {
        "ratio_plain": plain["rps"] / bare["rps"],
        "p99_ratio": plain["p99_ms"] / bare["p99_ms"],
    }
    return {
        **{name: round(ratio, 3) for name, ratio in ratios.items()},
        **figures,
        "disk": sender.disk,
        "processor": sender.processor,
    }


def measured(profile: str, seconds: float, rounds: int) -> Figures:
    """Return the figures of so many rounds."""
    home = Path(os.environ.get("FUNNELCAST_HOME") or load.ROOT / ".workspace").resolve()
    plan = load.Plan(url="", rate=LOWEST, seconds=seconds, warmup=WARMUP)
    made: dict[str, Made] = {}
    try:
        if MEMORY.parent.is_dir():
            made["memory"] = serving_workspace.fresh(MEMORY)
        made["disk"] = serving_workspace.fresh(home / "cache")
        found = [_round(plan, made, profile) for _ in range(rounds)]
    finally:
        shutil.rmtree(MEMORY, ignore_errors=True)
    figures = {"profile": profile, **_together([each["disk"] for each in found])}
    if "memory" in made:
        alone = _together([each["memory"] for each in found])
        figures["in_memory"] = {name: alone[name] for name in IN_MEMORY}
    return {**figures, **made["disk"].facts}


def _round(plan: load.Plan, made: dict[str, Made], profile: str) -> Figures:
    """Measure the bare scorer, then the service in each place."""
    figures: Figures = {}
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as folder:
        bare = _bare(plan, made["disk"], Path(folder))
        for place, there in made.items():
            told = Path(folder, place)
            told.mkdir()
            figures[place] = {"bare": bare, **_full(plan, there, told, profile)}
    return figures


def _bare(plan: load.Plan, made: Made, folder: Path) -> Figures:
    """Measure the bare scorer."""
    with serving_services.bare(made, folder) as url:
        return _measured(replace(plan, url=url, bodies=made.rows), Sender())


def _full(plan: load.Plan, made: Made, folder: Path, profile: str) -> Figures:
    """Measure the service over one workspace."""
    figures: Figures = {}
    before, sender = serving_workspace.decisions(made.home), Sender(folder=made.home)
    with serving_services.full(made, folder, profile) as url:
        for way, bodies in (("plain", made.leads), ("reasons", made.explained)):
            figures[way] = _measured(replace(plan, url=url, bodies=bodies), sender)
            figures[way]["stages"] = _stages(sender.samples)
            figures[way]["checked"] = _checked(made, sender.samples)
            sender.samples.clear()
        figures["overload"] = _overload(
            replace(plan, url=url, bodies=made.leads), sender, figures["plain"]["rps"]
        )
    figures |= {"disk": sender.disk, "processor": sender.processor}
    figures["journal"] = _journalled(sender, serving_workspace.decisions(made.home) - before)
    return figures


def _measured(plan: load.Plan, sender: Sender) -> Figures:
    whole = replace(plan, rate=LOWEST, seconds=len(plan.bodies) / LOWEST, warmup=0)
    first = sender(whole, tries=1)
    found = serving_capacity.of(plan, sender, lowest=LOWEST)
    half = replace(plan, rate=max(found.rate, LOWEST) / 2, sample=SAMPLE)
    at_half = [sender(half) for _ in range(HALVES)]
    figures = {
        "rps": found.rate,
        "p50_ms": statistics.median(each.p50_ms for each in at_half),
        "p99_ms": statistics.median(each.p99_ms for each in at_half),
        "p99_of_each_ms": [each.p99_ms for each in at_half],
        "void": [each.void for each in at_half if each.void],
        "first": {"rate": LOWEST, "p50_ms": first.p50_ms, "p99_ms": first.p99_ms},
        "generator_cpu": found.result.cpu,
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps({"url": plan.url, **figures, "steps": found.steps}), flush=True)
    return figures


def _overload(plan: load.Plan, sender: Sender, borne: float) -> Figures:
    """Offer far more than is borne."""
    found = sender(replace(plan, rate=OVERLOAD * borne))
    refused = [found.by_status[status] for status in REFUSED if status in found.by_status]
    figures = {
        "offered": OVERLOAD * borne,
        "goodput": round(found.good / plan.seconds, 1),
        "goodput_share": round(found.good / plan.seconds / borne, 3) if borne else 0.0,
        "statuses": found.statuses,
        "unanswered": found.errors,
        "refused_p99_ms": max((each.p99_ms for each in refused), default=None),
    }
    print(json.dumps(figures), flush=True)
    return figures


def _stages(samples: list[load.Answer]) -> dict[str, float]:
    """Return the mean milliseconds of each stage, of answers that tell them."""
    spent: dict[str, list[float]] = defaultdict(list)
    for answer in samples:
        for line in answer.head.decode("latin-1").split("\r\n"):
            name, _, value = line.partition(": ")
            if name.lower() == "server-timing":
                for part in value.split(", "):
                    stage, _, duration = part.partition(";dur=")
                    spent[stage].append(float(duration))
    return {stage: round(statistics.fmean(each), 4) for stage, each in spent.items()}


def _checked(made: Made, samples: list[load.Answer]) -> int:
    """Hold answered scores against the batch; returns how many were."""
    bodies = [json.loads(answer.body) for answer in samples if answer.status == 200]
    several = {body["entity"]: body for body in bodies if not body.get("fallback")}
    chosen = list(several.values())[: serving_workspace.CHECKED]
    if wrong := serving_workspace.mismatches(made.home, chosen):
        raise SystemExit(f"answered scores must be those of the batch, got others for {wrong[:5]}")
    return len(chosen)


def _journalled(sender: Sender, entries: int) -> Figures:
    """Hold the journal against the answers: every answer is there, and nothing that nobody sent."""
    if not sender.answered <= entries <= sender.answered + sender.unsure:
        raise SystemExit(
            f"the journal must hold the {sender.answered} decisions that were answered, and at"
            f" most {sender.unsure} more, got {entries}"
        )
    return {"answered": sender.answered, "unsure": sender.unsure, "entries": entries}


def _together(rounds: list[Figures]) -> Figures:
    """Return the medians over the rounds, each against the bare one of its own round."""

    def median(way: str, name: str) -> float:
        return round(statistics.median(each[way][name] for each in rounds), 3)

    def ratio(way: str, name: str) -> float:
        each = [one[way][name] / one["bare"][name] for one in rounds]
        return round(statistics.median(each), 3)

    return {
        "ratio_plain": ratio("plain", "rps"),
        "ratio_reasons": ratio("reasons", "rps"),
        "p99_ratio": ratio("plain", "p99_ms"),
        "p99_ratio_reasons": ratio("reasons", "p99_ms"),
        "rps": median("plain", "rps"),
        "rps_reasons": median("reasons", "rps"),
        "rps_bare": median("bare", "rps"),
        "p50_ms": median("plain", "p50_ms"),
        "p99_ms": median("plain", "p99_ms"),
        "p50_bare_ms": median("bare", "p50_ms"),
        "p99_bare_ms": median("bare", "p99_ms"),
        "p99_reasons_ms": median("reasons", "p99_ms"),
        "p99_of_each_ms": [each["plain"]["p99_of_each_ms"] for each in rounds],
        "disk": [each["disk"] for each in rounds],
        "processor": [each["processor"] for each in rounds],
        "first": rounds[-1]["plain"]["first"],
        "first_bare": rounds[-1]["bare"]["first"],
        "overload": rounds[-1]["overload"],
        "stages": rounds[-1]["plain"]["stages"],
        "stages_reasons": rounds[-1]["reasons"]["stages"],
        "generator_cpu": median("plain", "generator_cpu"),
        "checked": sum(each[way]["checked"] for each in rounds for way in ("plain", "reasons")),
        "mismatches": 0,
        "journal": rounds[-1]["journal"],
        "rounds": len(rounds),
    }


if __name__ == "__main__":
    main()

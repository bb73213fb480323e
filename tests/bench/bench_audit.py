"""How fast the journal takes and verifies records of 3 kB, and what an audit misses.

Appends are closed-loop: so many records under way, each followed by the next once it is durable;
CPU is that of the whole process. Verification walks a journal of many records, best of three, by
one process and by one per core. Ten thousand changes of a sealed journal follow, and a hundred
journals that nobody changed. The last line is one JSON object.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster import canonical, chain, database, journal, links
from jobs.audit import walks
from tests.jobs import tampering

if TYPE_CHECKING:
    from concurrent.futures import Future

UNDER_WAY = {1: 3_000, 16: 30_000, 64: 40_000}  # records appended, by how many at once
RECORDS, GROUP, ROUNDS = 400_000, 500, 3
TAMPERINGS, CLEAN = 10_000, 100
BODIES = 1_000
NOW = datetime(2026, 3, 1, tzinfo=UTC)

type Figures = dict[str, Any]


def main() -> None:
    """Measure, tamper, and print the figures."""
    with tempfile.TemporaryDirectory(prefix="bench-audit-") as folder:
        spelt = _bodies(random.Random(1))
        figures: Figures = {"body_bytes": round(sum(map(len, spelt)) / BODIES)}
        for count, records in UNDER_WAY.items():
            figures |= _appended(Path(folder) / f"{count}.db", spelt, count, records)
        figures |= {k: figures[f"{k}_16"] for k in ("append_records_per_s", "cpu_us_per_record")}
        figures |= _verified(Path(folder) / "large.db", spelt)
        figures |= _tampered(Path(folder))
    sys.stdout.write(json.dumps(figures) + "\n")


def _bodies(rng: random.Random) -> list[str]:
    return [canonical.dumps(_body(rng, number)).decode() for number in range(BODIES)]


def _body(rng: random.Random, number: int) -> dict[str, Any]:
    """Return something like a decision's record."""
    reasons = [
        {"feature": f"f{n}", "value": n, "contribution": rng.random(), "label": "Web visits"}
        | {"text": "Web visits: 4 in 7 days, raises the chance by 18.4 points"}
        | {"group": "touch:web_visit", "features": ["web_visits_7d", "web_visits_30d"]}
        for n in range(4)
    ]
    windows = [(n, days) for n in range(12) for days in (7, 30, 90)]
    return {
        "entity": f"lead-{number:05d}",
        "as_of": "2026-06-29T09:06:11Z",
        "score": rng.random(),
        "interval": [rng.random(), rng.random()],
        "inputs": {f"feature_number_{n}_{d}d": rng.random() * 100 for n, d in windows},
        "reasons": reasons,
        "prefix": [rng.randbytes(16).hex() for _ in range(6)],
        "basis": {"model": rng.randbytes(32).hex(), "code": rng.randbytes(32).hex()},
    }


def _appended(path: Path, spelt: list[str], under_way: int, records: int) -> Figures:
    bodies = [journal.Spelt(text) for text in spelt]
    room, waits = threading.Semaphore(under_way), []

    def done(future: Future[journal.Entry], start: float) -> None:
        future.result()
        waits.append(time.perf_counter() - start)
        room.release()

    with (
        closing(database.open_database(f"sqlite:///{path}")) as db,
        closing(journal.Journal(db, "bench")) as log,
    ):
        log.record("decision", {}, now=NOW)
        cpu, wall = time.process_time(), time.perf_counter()
        for number in range(records):
            room.acquire()
            start = time.perf_counter()
            made = log.append("decision", bodies[number % BODIES], id=f"{number:032x}", now=NOW)
            made.add_done_callback(lambda future, start=start: done(future, start))
        for _ in range(under_way):
            room.acquire()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    waits.sort()
    figures = {
        f"append_records_per_s_{under_way}": round(records / wall),
        f"cpu_us_per_record_{under_way}": round(cpu / records * 1e6, 1),
        f"append_p50_ms_{under_way}": round(waits[records // 2] * 1e3, 2),
        f"append_p99_ms_{under_way}": round(waits[records * 99 // 100] * 1e3, 2),
    }
    print(figures, flush=True)
    return figures


def _verified(path: Path, spelt: list[str]) -> Figures:
    url = f"sqlite:///{path}"
    with closing(database.open_database(url)) as db:
        there, head = links.Links(db), chain.GENESIS
        for start in range(0, RECORDS, GROUP):
            rows = _rows(range(start, start + GROUP), head, spelt)
            assert there.extend(rows, head)
            head = chain.head_of(rows[-1])
    figures: Figures = {"verify_records": RECORDS}
    for name, limit in (("verify_records_per_s_one", 10**12), ("verify_records_per_s", 0)):
        walks.APART_FROM = limit
        figures[name] = round(RECORDS / min(_walk(url) for _ in range(ROUNDS)))
        print(name, figures[name], flush=True)
    walks.APART_FROM = 200_000
    return figures


def _rows(numbers: range, head: chain.Head, spelt: list[str]) -> list[chain.Link]:
    rows = []
    for n in numbers:
        body = spelt[n % BODIES]
        rows.append(chain.link("bench", head, id=f"{n:032x}", kind="decision", at=n, body=body))
        head = chain.head_of(rows[-1])
    return rows


def _walk(url: str) -> float:
    start = time.perf_counter()
    assert walks.verify(url, lambda *_: None)
    return time.perf_counter() - start


def _tampered(folder: Path) -> Figures:
    rng = random.Random(2)
    sealed = tampering.make(folder / "sealed", rng)
    change = tampering.Tampering(sealed, folder / "changed", rng)
    ways, undetected, misnamed = list(change.ways), 0, 0
    for number in range(TAMPERINGS):
        expected = change.once(ways[number % len(ways)])
        found = tampering.audited(change.there)
        undetected += not found.problems
        misnamed += not expected.is_named(found)
    clean = [tampering.make(folder / f"clean-{n}", rng, rounds=1 + n % 4) for n in range(CLEAN)]
    alarms = sum(bool(tampering.audited(one).problems) for one in clean)
    return {
        "tamperings": TAMPERINGS,
        "ways": len(ways),
        "undetected": undetected,
        "misnamed": misnamed,
        "clean": CLEAN,
        "false_alarms": alarms,
    }


if __name__ == "__main__":
    main()

"""Ten million web and mail events from a CSV export into the log, beside Polars doing the like.

Ours reads, maps, checks, pseudonymises, names, removes duplicates, partitions and writes with zstd,
and commits to Iceberg; then, timed apart, makes the online store ready. Polars, in its streaming
engine, reads the same file, validates the same rules, hashes, partitions and writes the same
columns as zstd Parquet. Both run in processes of their own, in turn, timed after their imports; the
rows that both kept are compared by count and sums.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 10_000_000
ROUNDS = 3
BUCKETS = 8
PER_LEAD, PER_ACCOUNT = 20, 200  # events
NAMES = {
    "web_visit": 0.5,
    "pricing_visit": 0.05,
    "email_opened": 0.25,
    "email_clicked": 0.1,
    "form_submitted": 0.05,
    "content_download": 0.05,
}
BROKEN = 1_000  # one row in so many has a time on site below zero
MAPPING: dict[str, Any] = {
    "source": "web",
    "files": [
        {
            "file": "web.csv",
            "row_key": "id",
            "people": [{"key": "visitor", "namespace": "web-visitor"}],
            "events": [
                {
                    "kind": "touch",
                    "name": {"column": "activity"},
                    "event_time": {"column": "at"},
                    "known_at": {"column": "known"},
                    "keys": {"account": "account", "lead": "lead", "person": "visitor"},
                    "number": {"column": "seconds"},
                    "text": "page",
                }
            ],
        }
    ],
}


def export(path: Path, rows: int) -> None:
    """Write the export: about 120 bytes a row."""
    import polars as pl

    rng = np.random.default_rng(1)
    lead = rng.integers(0, rows // PER_LEAD, rows)
    happened = 1_700_000_000 + rng.integers(0, 540 * 86_400, rows)
    seconds = rng.integers(0, 600, rows)
    seconds[::BROKEN] = -1
    frame = pl.DataFrame(
        {
            "id": np.arange(rows),
            "activity": np.array(list(NAMES))[rng.choice(len(NAMES), rows, p=list(NAMES.values()))],
            "lead": lead,
            "account": lead % (rows // PER_ACCOUNT),
            "at": happened,
            "known": happened + rng.integers(0, 3600, rows),
            "seconds": seconds,
            "page": seconds % 50,
        }
    )
    iso = "%Y-%m-%dT%H:%M:%SZ"
    frame.select(
        pl.format("ev-{}", "id").alias("id"),
        "activity",
        pl.format("L{}", "lead").alias("lead"),
        pl.format("A{}", "account").alias("account"),
        pl.format("V{}", "lead").alias("visitor"),
        pl.from_epoch("at", "s").dt.strftime(iso).alias("at"),
        pl.from_epoch("known", "s").dt.strftime(iso).alias("known"),
        "seconds",
        pl.format("/page/{}", "page").alias("page"),
    ).write_csv(path)


def ours(folder: Path) -> dict[str, Any]:
    """Ingest with the inline runner into an empty workspace."""
    from cluster.settings import CONFIGS, Settings
    from cluster.workspace import Workspace
    from features import fingerprint, ingest, log, online
    from features.contracts import load_contracts
    from features.ingest import run
    from features.known import KnownIds
    from features.sources.mapping import SourceMapping

    _warm(fingerprint, KnownIds)
    terms = load_contracts(CONFIGS / "contracts")
    with tempfile.TemporaryDirectory(dir=folder) as home:
        settings = Settings(home=Path(home), buckets=BUCKETS)
        with Workspace.open(settings) as workspace:
            mapping = SourceMapping.model_validate(MAPPING)
            what = ingest.Source(mapping=mapping, folder=folder, terms=terms)
            begun = time.perf_counter()
            result = run.landed(workspace, what, "inline", lambda *_: None)
            seconds = time.perf_counter() - begun
            peak = _peak_mb()
            online.follow(workspace)
            online_s = time.perf_counter() - begun - seconds
            rows = workspace.tables.read(log.TABLE, columns=["number", "event_time"])
            return {
                "seconds": seconds,
                "online_s": online_s,
                "peak_rss_mb": peak,
                "online_peak_rss_mb": _peak_mb(),
                "rows": result.counts.read,
                "quarantined": result.quarantined,
                **_sums(rows["number"], rows["event_time"]),
            }


def polars(folder: Path) -> dict[str, Any]:
    """Do the like with Polars alone."""
    import polars as pl
    import pyarrow.dataset as ds

    with tempfile.TemporaryDirectory(dir=folder) as out:
        begun = time.perf_counter()
        plan = _rows(pl, pl.scan_csv(folder / "web.csv", row_index_name="source_row"))
        plan = plan.filter(_rules(pl)).with_columns(
            event_id=pl.struct(
                "row_key", "name", "event_time", "known_at", "account", "lead", "number", "text"
            ).hash(),
            bucket=pl.col("account").hash() % BUCKETS,
        )
        where = pl.PartitionBy(out, key=["bucket"], include_key=False)
        plan.sink_parquet(where, compression="zstd", compression_level=1, mkdir=True)
        seconds = time.perf_counter() - begun
        peak = _peak_mb()
        rows = ds.dataset(out, format="parquet").to_table(columns=["number", "event_time"])
        return {"seconds": seconds, "peak_rss_mb": peak} | _sums(rows["number"], rows["event_time"])


def _rows(pl: Any, raw: Any) -> Any:
    def moment(column: str) -> Any:
        text = pl.col(column).str
        return text.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", strict=False)

    return raw.select(
        row_key=pl.concat_str(pl.lit("web:web.csv:touch."), "activity", pl.lit(":"), "id"),
        ingest=pl.lit("0" * 64),
        source=pl.lit("web"),
        source_row=pl.col("source_row"),
        kind=pl.lit("touch"),
        name=pl.col("activity"),
        event_time=moment("at").dt.replace_time_zone("UTC"),
        known_at=moment("known").dt.replace_time_zone("UTC"),
        shard=pl.col("account"),
        account=pl.col("account"),
        person=pl.col("visitor").hash(),
        lead=pl.col("lead"),
        **{name: pl.lit(None, pl.String) for name in ("opportunity", "campaign", "product", "rep")},
        number=pl.col("seconds").cast(pl.Int64, strict=False),
        text=pl.col("page"),
    )


def _rules(pl: Any) -> Any:
    """The rules of the touch contract that can break here, over whole columns."""
    listed = _names_of_touches()
    keys = [pl.col(name) for name in ("row_key", "account", "lead")]
    texts = [*keys, pl.col("text")]
    phone, iban = r"(?:\+\d|\d[ ./()-])[\d ./()-]{6,}\d", r"\b[A-Z]{2}\d{2}[ ]?[A-Z0-9]{4}"
    identifying = rf"{phone}|{iban}|\b(?:\d[ -]?){{13,19}}\b"
    now = pl.datetime(2100, 1, 1, time_zone="UTC")
    first = pl.datetime(1990, 1, 1, time_zone="UTC")
    checks = [
        pl.col("event_time").is_between(first, now),
        pl.col("known_at").is_between(first, now),
        pl.col("event_time") <= pl.col("known_at"),
        pl.col("name").is_in(listed),
        pl.col("number").is_between(0, 86_400),
        pl.any_horizontal(pl.col(name).is_not_null() for name in ("lead", "account", "person")),
        *(key.is_not_null() & key.str.len_chars().is_between(1, 200) for key in keys),
        *(~text.str.contains(r"[\x00-\x1f]|^\s|\s$") for text in texts),
        *(~text.str.contains("@", literal=True) for text in texts),
        pl.col("text").str.len_chars() <= 500,
        ~pl.col("text").str.contains(identifying),
    ]
    return pl.all_horizontal(checks)


def _names_of_touches() -> list[str]:
    from cluster.settings import CONFIGS
    from features.contracts import load_contracts

    touch = load_contracts(CONFIGS / "contracts")["touch"]
    return [name for p in touch.properties if p.name == "name" for name in p.allowed]


def _warm(fingerprint: Any, known: Any) -> None:
    """Load what is compiled once and kept on disk."""
    import pyarrow as pa

    fingerprint.of_rows([pa.array(["a", None]), pa.array([1, 2])])
    words = np.ones(2, np.uint64)
    known().add(words, words)


def _sums(number: Any, event_time: Any) -> dict[str, int]:
    import pyarrow as pa
    import pyarrow.compute as pc

    times = pc.sum(pc.divide(event_time.cast(pa.int64()), 1_000_000)).as_py()
    return {"good": len(number), "sum_number": pc.sum(number).as_py(), "sum_time": times}


def _peak_mb() -> float:
    """Return the most memory that this process held at once; not what its parent held before."""
    status = Path("/proc/self/status").read_text()
    return round(int(status.partition("VmHWM:")[2].split()[0]) / 1024, 1)


def _apart(run: Callable[[Path], dict[str, Any]], folder: Path) -> dict[str, Any]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run, (folder,))


def main(rows: int) -> dict[str, Any]:
    """Run both in turn; medians over the rounds."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        export(folder / "web.csv", rows)
        print(f"export: {(folder / 'web.csv').stat().st_size / 2**20:.0f} MB", flush=True)
        rounds = []
        for _ in range(ROUNDS):
            mine, theirs = _apart(ours, folder), _apart(polars, folder)
            same = ("good", "sum_number", "sum_time")
            if {k: mine[k] for k in same} != {k: theirs[k] for k in same}:
                raise SystemExit(f"the answers differ: {mine} {theirs}")
            print(json.dumps({"ours": mine, "polars": theirs}), flush=True)
            rounds.append((mine, theirs))
    return _figures(rounds)


def _figures(rounds: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    mine, theirs = zip(*rounds, strict=True)

    def median(runs: Any, key: str) -> float:
        return round(statistics.median(run[key] for run in runs), 2)

    ratios = [b["seconds"] / a["seconds"] for a, b in rounds]
    return {
        "rows": mine[0]["rows"],
        "quarantined": mine[0]["quarantined"],
        "seconds": median(mine, "seconds"),
        "polars_s": median(theirs, "seconds"),
        "ratio_to_polars": round(statistics.median(ratios), 3),
        "rows_per_s": round(mine[0]["rows"] / median(mine, "seconds")),
        "peak_rss_mb": max(run["peak_rss_mb"] for run in mine),
        "polars_peak_rss_mb": max(run["peak_rss_mb"] for run in theirs),
        "online_s": median(mine, "online_s"),
        "online_peak_rss_mb": max(run["online_peak_rss_mb"] for run in mine),
    }


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)))

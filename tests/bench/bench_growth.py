"""Time per event of the feature engine as the log grows, at one number of buckets and two threads.

Logs of a million to twenty million events (5 % late, 1 % corrected, 8 rows per 100 events), 96
features. Each size runs in a process of its own, timed from opening the files to the columns in
memory, best of three; the plot is docs/figures/growth.svg. The last line is one JSON object.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

MILLIONS = (1, 2, 5, 10, 20)
ROUNDS = 3
PLOT = Path(__file__).parents[2] / "docs" / "figures" / "growth.svg"


def main(shapes: tuple[str, ...] = ("uniform", "skew")) -> None:
    """Measure every size and shape, draw them, and say the figures."""
    seconds = {shape: [_measured(shape, millions) for millions in MILLIONS] for shape in shapes}
    per_event = {
        shape: [round(s * 1e3 / m, 1) for (s, _), m in zip(found, MILLIONS, strict=True)]
        for shape, found in seconds.items()
    }
    _draw(per_event)
    figures = {f"{shape}_ns_per_event": ns for shape, ns in per_event.items()}
    figures |= {f"{shape}_growth": round(ns[-1] / ns[0], 2) for shape, ns in per_event.items()}
    peaks = {f"{shape}_peak_rss_mb": [mb for _, mb in found] for shape, found in seconds.items()}
    print(json.dumps({"million_events": MILLIONS, **figures, **peaks}))


def _measured(shape: str, millions: int) -> tuple[float, float]:
    """Return the best seconds, and the peak of memory in MB, of a log of that size."""
    with tempfile.TemporaryDirectory() as folder:
        _apart(_write, shape, millions, folder)
        seconds, peak = _apart(_compute, folder)
    print(f"{shape} {millions} M: {seconds:.2f} s, {peak:,.0f} MB", flush=True)
    return seconds, peak


def _apart(work: object, *arguments: object) -> tuple[float, float]:
    spawn = multiprocessing.get_context("spawn")
    answers: Queue[tuple[float, float]] = spawn.Queue()
    process = spawn.Process(target=work, args=(*arguments, answers))  # type: ignore[arg-type]
    process.start()
    answer = answers.get()
    process.join()
    return answer


def _write(shape: str, millions: int, folder: str, answers: Queue[tuple[float, float]]) -> None:
    from tests.bench import features_data as data

    size = data.Size(events=millions * 1_000_000, rows=millions * 80_000)
    data.write(Path(folder), shape, size)
    answers.put((0.0, 0.0))


def _compute(folder: str, answers: Queue[tuple[float, float]]) -> None:
    from tests.bench import features_ours

    seconds = min(features_ours.ours(Path(folder), "all")[0] for _ in range(ROUNDS))
    status = Path("/proc/self/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    answers.put((seconds, round(int(peak.split()[1]) / 1024)))


def _draw(per_event: dict[str, list[float]]) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "growth"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
    for shape, nanoseconds in per_event.items():
        axes.plot(MILLIONS, nanoseconds, marker="o", label=shape)
    axes.set_xscale("log")
    axes.set_xticks(MILLIONS, [str(millions) for millions in MILLIONS])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("events, millions")
    axes.set_ylabel("ns per event, 96 features")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(PLOT, metadata={"Date": None})


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or ("uniform", "skew"))

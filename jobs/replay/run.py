"""The story of a replay: take decisions from the journal, make them again, count what differs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cluster.errors import FunnelcastError, WrongUse
from cluster.settings import CONFIGS
from features import contracts, online
from jobs.console import Job, Progress, Report, option
from serving.answer import again, record
from serving.observe import meters
from serving.observe.folder import OF_JOB, Folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.journal import Entry
    from cluster.workspace import Workspace
    from serving.answer.again import Again
    from serving.observe.tallies import Samples, Snapshot

KIND = "decisions.replayed"  # of a journal entry
SNAPSHOT = OF_JOB + "replay"
MOST_SHOWN = 50


@dataclass(frozen=True, kw_only=True)
class ReplaySettings:
    """Which decisions."""

    sample: int = option(200, "As many decisions at most, chosen at random.")
    since: str | None = option(None, "Only decisions made since, as 2026-02-01T00:00.")
    id: str | None = option(None, "This decision alone.")
    seed: int = option(0, "Of the choice.")

    def __post_init__(self) -> None:
        """WrongUse for a sample of nothing."""
        if self.sample < 1:
            raise WrongUse(f"--sample must be 1 or more, got {self.sample}: leave it out for 200")


def inputs(workspace: Workspace, settings: ReplaySettings) -> dict[str, str]:
    """Return the identity of the moment: what is in place may have changed since last time."""
    return {"at": workspace.clock().isoformat()}


def run(workspace: Workspace, settings: ReplaySettings, progress: Progress) -> Report:
    """Make decisions again by the path of requests and by that of batches; fail if any differs."""
    chosen = _chosen(workspace, settings)
    store = online.OnlineStore(workspace)
    rules = contracts.Rules.of(contracts.load_contracts(CONFIGS / "contracts"))
    made = []
    for number, entry in enumerate(chosen, start=1):
        made.append(again.again(workspace, store, rules, entry.body))
        progress(number, len(chosen), "decisions")
    counts = Counter(each.verdict for each in made)
    figures = {verdict: counts[verdict] for verdict in ("equal", "differs", "gone")}
    now = workspace.clock()
    workspace.journal.record(KIND, {**figures, "sample": len(made)}, now=now)
    Folder.of(workspace.settings).write(SNAPSHOT, _snapshot(figures, now))
    if counts["differs"]:
        raise FunnelcastError(_said(made, len(made)))
    return Report(
        read={"decisions": len(made)},
        wrote={"journal": KIND},
        decided=_told(made),
        figures=dict(figures),
        table=_table(made),
    )


def _snapshot(figures: dict[str, int], now: datetime) -> Snapshot:
    """Return what the service tells Prometheus of this replay."""
    verdicts: Samples = [([verdict], count) for verdict, count in figures.items()]
    return {meters.REPLAYED.name: verdicts, meters.REPLAYED_AT.name: [([], now.timestamp())]}


def _chosen(workspace: Workspace, settings: ReplaySettings) -> list[Entry]:
    if settings.id is not None:
        entry = workspace.journal.get(settings.id)
        if entry is None or entry.kind != record.KIND:
            raise WrongUse(f"--id must be that of a decision, got '{settings.id}': check it")
        return [entry]
    rng = np.random.default_rng(settings.seed)
    entries = workspace.journal.entries(record.KIND, _moment(settings.since))
    return _sampled(entries, settings.sample, rng)


def _moment(said: str | None) -> datetime | None:
    """Return the time that was given, in UTC unless it says otherwise."""
    if said is None:
        return None
    try:
        found = datetime.fromisoformat(said)
    except ValueError:
        raise WrongUse(f"--since must be a time, got '{said}': as 2026-02-01T00:00") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _sampled(entries: Iterator[Entry], size: int, rng: np.random.Generator) -> list[Entry]:
    """Return as many of a stream, each as likely as any other (Vitter 1985, algorithm R)."""
    kept: list[Entry] = []
    for count, entry in enumerate(entries):
        if count < size:
            kept.append(entry)
        elif (place := int(rng.integers(count + 1))) < size:
            kept[place] = entry
    return kept


def _said(made: list[Again], count: int) -> str:
    first = next(each for each in made if each.verdict == "differs")
    several = sum(each.verdict == "differs" for each in made)
    names = ", ".join([*first.replayed.differs, *(f"batch {name}" for name in first.skew)])
    return (
        f"a decision made again must be the same to the byte, got {several} of {count} that are "
        f"not, the first '{first.replayed.id}' in {names}: look at its record and at the code of "
        "then"
    )


def _told(made: list[Again]) -> list[str]:
    notes = Counter(note for each in made for note in each.replayed.notes)
    gone = Counter(why for each in made for why in each.replayed.gone)
    told = [f"{count} x {what}" for what, count in (*notes.most_common(3), *gone.most_common(3))]
    return told or ["every input is there, under the code of then"]


def _table(made: list[Again]) -> pd.DataFrame | None:
    rows = [
        {
            "decision": each.replayed.id,
            "verdict": each.verdict,
            "why": "; ".join(each.replayed.gone),
        }
        for each in made
        if each.verdict != "equal"
    ]
    return pd.DataFrame(rows[:MOST_SHOWN]) if rows else None


JOB: Job[ReplaySettings] = Job(
    verb="replay",
    summary="Make decisions of the journal again, and count what differs.",
    settings=ReplaySettings,
    needs=None,
    inputs=inputs,
    run=run,
)

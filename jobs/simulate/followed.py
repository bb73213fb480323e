"""`python -m jobs.simulate --simulation ID`: a simulation that a planner asked the service for.

What is asked stands in the database, and what comes out goes there: how far it is, the result, or
why there is none. It leaves alone what a run by hand moves: the forecast table, refs and pages.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import yaml

from cluster.dataset import Dataset
from cluster.errors import FunnelcastError, WrongUse
from cluster.settings import load_settings
from cluster.workspace import Workspace
from features import log
from jobs.console import Job, Report, perform
from jobs.simulate import question
from jobs.simulate.question import SimulateSettings
from serving.simulations import questions, retained
from serving.simulations.records import Run
from serving.simulations.retained import FOLDER
from serving.simulations.starting import RUN
from serving.simulations.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jobs.console import Progress
    from jobs.simulate.answer import Answer
    from jobs.simulate.basis import Bases
    from serving.simulations.records import Kept

APART_S = 0.25  # between two words about how far it is
NICE = 5  # decisions go first


class Stopped(FunnelcastError):
    """It was cancelled, or given up for dead: nobody waits for it."""


def main(arguments: Sequence[str]) -> int:
    """Run a simulation and say on record what became of it; return the exit code."""
    return guarded(lambda: _followed(_run(only(arguments, RUN))))


def guarded(work: Callable[[], int]) -> int:
    """Do the work of a process; return its exit code, 1 or 2 with a line where it cannot."""
    try:
        return work()
    except FunnelcastError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2 if isinstance(error, WrongUse) else 1


def only(arguments: Sequence[str], option: str) -> str:
    """Return the value of the one option there is."""
    found = [argument for argument in arguments if argument != option]
    if len(found) != 1:
        said = " ".join(arguments)
        raise WrongUse(f"{option} must have one value, and be alone, got '{said}': leave it out")
    return found[0].removeprefix(f"{option}=")


def _followed(run: Run) -> int:
    os.nice(NICE)
    with Workspace.open(load_settings(os.environ)) as workspace:
        return follow(workspace, run)


def follow(workspace: Workspace, run: Run, bases: Bases | None = None) -> int:
    """Run one attempt at a simulation of a workspace; return the exit code. `bases` may know what
    the question rests on.
    """
    store = Store(workspace.database)
    kept = store.get(run.id)
    if kept is None or kept.run != run:
        raise WrongUse(f"a simulation must be on record, got '{run}': submit it over the API")
    said = Said(store, run, workspace)
    try:
        said(0, 1, "learning")
        with _settings(workspace, kept) as settings:
            done = perform(_job(kept, bases), settings, workspace, said)
    except Stopped as error:
        sys.stderr.write(f"{error}\n")
        return 0
    except Exception as error:
        if store.failed(run, _why(error), workspace.clock()):
            raise
        sys.stderr.write(f"{_why(error)}\n")  # of what counts no more: its question may be gone
        return 0
    result = done.report["wrote"]["result"]
    if not store.done(run, result, workspace.clock()):
        retained.let_go(workspace, run, result)
    return 0


class Moved(FunnelcastError):
    """What a question rests on is another by now."""


class Said:
    """Says how far a simulation is, seldom enough; Stopped when it counts no more."""

    def __init__(
        self,
        store: Store,
        run: Run,
        workspace: Workspace,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._run, self._clock = store, run, workspace.clock
        self._timer = timer
        self._last: float | None = None

    def __call__(self, done: int, total: int, what: str) -> None:
        """Say it, unless something was said just now and this is not the last."""
        at = self._timer()
        if self._last is not None and at - self._last < APART_S and done < total:
            return
        self._last = at
        said = {"done": done, "total": total, "what": what}
        if not self._store.running(self._run, said, self._clock()):
            raise Stopped("this simulation was cancelled: nothing is kept of it")


def _run(text: str) -> Run:
    try:
        return Run.read(text)
    except ValueError:
        raise WrongUse(
            f"{RUN} must be the id of a simulation and its attempt, got '{text}': submit one over"
            " the API"
        ) from None


@contextmanager
def _settings(workspace: Workspace, kept: Kept) -> Iterator[SimulateSettings]:
    """Give the settings of a run, whose question is in a file of its own until it is over."""
    asked = {name: value for name, value in kept.asked.items() if value is not None}
    document = {**asked, "as_of": kept.pinned["as_of"]}
    file = workspace.settings.home / FOLDER / f"{kept.run}.yaml"
    file.parent.mkdir(mode=0o700, exist_ok=True)
    # not JSON, though YAML nearly holds it: 1e+16 would come back as a text, a DEL not at all
    file.write_text(yaml.safe_dump(document), encoding="ascii")
    runner = workspace.settings.simulations.runner
    try:
        yield SimulateSettings(comparison=str(file), runner=runner)
    finally:
        file.unlink(missing_ok=True)


def _job(kept: Kept, bases: Bases | None) -> Job[SimulateSettings]:
    return Job(
        verb="simulate",
        summary="A simulation that was asked for over the API.",
        settings=SimulateSettings,
        needs=None,
        inputs=lambda workspace, settings: _inputs(workspace, settings, kept),
        run=lambda workspace, settings, progress: simulated(
            workspace, settings, progress, kept, bases
        ),
        current=lambda workspace, report: workspace.blobs.has(report["wrote"]["result"]),
    )


def _inputs(workspace: Workspace, settings: SimulateSettings, kept: Kept) -> dict[str, str]:
    """Return the identity of what a run reads; Moved if it is not what the planner asked about."""
    asked = _asked(workspace, settings, kept)
    there = questions.pins(
        workspace,
        questions.Question(
            comparison=asked.comparison,
            funnel=asked.funnel,
            snapshot=asked.snapshot,
            as_of=asked.as_of,
        ),
    )
    if there != kept.pinned:
        raise Moved(
            "scores, effects and policies must be those of the question, got newer ones:"
            " submit it again"
        )
    return {**question.pins(workspace, asked), "simulation": kept.id}


def _asked(workspace: Workspace, settings: SimulateSettings, kept: Kept) -> question.Question:
    """Return the question, put to the snapshot of the log that the planner asked about."""
    return replace(question.ask(workspace, settings), snapshot=int(kept.pinned["log"]))


def simulated(
    workspace: Workspace,
    settings: SimulateSettings,
    progress: Progress,
    kept: Kept,
    bases: Bases | None,
) -> Report:
    """Answer the question and keep the result."""
    from jobs.simulate.answer import answer, under_way  # what a question alone needs not

    asked = _asked(workspace, settings, kept)
    found = answer(
        workspace,
        asked,
        asked_runner=settings.runner,
        progress=progress,
        folded=True,
        bases=bases,
    )
    digest = workspace.blobs.put(_result(found, kept.id))
    under_way(workspace, found.question, folded=True).drop()
    return Report(
        read={"log snapshot": asked.snapshot, "as of": asked.as_of.isoformat()},
        wrote={"result": digest, "simulation": kept.id},
        decided=[found.ran],
        inputs=[Dataset.table(log.TABLE, asked.snapshot, found.course.events.num_rows)],
    )


def _result(found: Answer, id: str) -> bytes:
    from jobs.simulate import result

    return result.told(found, id).model_dump_json().encode()


def _why(error: Exception) -> str:
    """Return what planners are told: words of ours; those of others may name paths and hosts."""
    if isinstance(error, FunnelcastError):
        return " ".join(str(error).split())[:1_000]
    return f"{type(error).__name__}: see the log of its job"

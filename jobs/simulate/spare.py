"""`python -m jobs.simulate --spare JOB`: a process that waits for a simulation of a planner.

It reads and learns what the newest question rested on, and answers that with one draw: then all is
imported, and kernels are loaded. What it has learnt serves the next question if that rests on the
same; nothing else of the one answer is in the other. It leaves when nobody asks.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from cluster import runs
from cluster.settings import load_settings
from cluster.workspace import Workspace
from jobs.simulate import followed, question
from jobs.simulate.basis import Bases
from jobs.simulate.question import Question, SimulateSettings
from serving.forecast.scenario import BASELINE
from serving.simulations import questions
from serving.simulations.questions import JOB
from serving.simulations.spares import Spares
from serving.simulations.starting import SPARE
from serving.simulations.store import Store
from serving.simulations.words import Wrong
from serving.wire.simulations import SimulationRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from serving.simulations.records import Run

LOOK_S = 0.1  # between two looks whether there is a run


def main(arguments: Sequence[str]) -> int:
    """Wait for a run, and do it; return the exit code."""
    return followed.guarded(lambda: _waiting(followed.only(arguments, SPARE)))


def _waiting(job: str) -> int:
    code, bases = runs.code_version(JOB), Bases()  # of what is imported, from here on
    os.nice(followed.NICE)
    settings = load_settings(os.environ)
    with Workspace.open(settings) as workspace:
        spares = Spares(workspace.database)
        if spares.place(job) is None:
            return 0
        prepare(workspace, bases)
        is_wanted = spares.ready(job, code)
        rest_s = 60.0 * settings.simulations.spare_minutes
        run = waited(spares, job, rest_s) if is_wanted else None
    if run is None:
        return 0
    with Workspace.open(load_settings(os.environ)) as workspace:  # as if it had just begun
        return followed.follow(workspace, run, bases)


def prepare(workspace: Workspace, bases: Bases) -> None:
    """Learn what the newest question rested on, or else business as usual; what cannot be learnt,
    or asked any more, is left to the run.
    """
    from jobs.simulate import result
    from jobs.simulate.answer import answer

    usual = SimulateSettings(scenario=BASELINE, draws=1)
    silent = lambda *_: None  # noqa: E731
    try:
        asked = _newest(workspace) or question.ask(workspace, usual)
        found = answer(
            workspace, asked, asked_runner="inline", progress=silent, folded=True, bases=bases
        )
        result.told(found, "").model_dump_json()
    except Exception as error:  # whatever an old question, or a log that changes, brings
        sys.stderr.write(f"not prepared: {type(error).__name__}: {error}\n")


def waited(
    spares: Spares,
    job: str,
    rest_s: float,
    timer: Callable[[], float] = time.monotonic,
) -> Run | None:
    """Return the run that a process is given; None if it was given none for so many seconds, or was
    dismissed.
    """
    until = timer() + rest_s
    while (place := spares.place(job)) is not None and place.run is None:
        if timer() > until and spares.leave(job):
            return None
        time.sleep(LOOK_S)
    return None if place is None else place.run


def _newest(workspace: Workspace) -> Question | None:
    """Return what was asked last, by whomever, put to the newest snapshot of the log with one draw;
    None if nothing was, or it cannot be asked any more.
    """
    kept = Store(workspace.database).listed(None, 1)
    if not kept:
        return None
    asked = SimulationRequest.model_validate(kept[0].asked)
    few = [{**each, "draws": 1} for each in asked.scenarios]
    comparison = questions.read(asked.model_copy(update={"scenarios": few}))
    if isinstance(comparison, Wrong):
        return None
    found = questions.put(workspace, comparison, asked.as_of)
    return None if isinstance(found, Wrong) else Question(**vars(found))

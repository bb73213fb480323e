"""What the log says against the campaigns of a question, before anything runs."""

from __future__ import annotations

from functools import cache, partial
from threading import Lock
from typing import TYPE_CHECKING

from cluster.errors import FunnelcastError, Refusal
from features import log
from serving.forecast import campaigning, person, units
from serving.forecast.kinds import Campaign
from serving.simulations.words import Wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cluster.workspace import Workspace
    from serving.forecast.person import Person
    from serving.forecast.units import Course
    from serving.simulations.once import Once
    from serving.simulations.questions import Question

MOST_EVENTS = 1_000_000  # to be read beside decisions; of more the job says it
FITS = "it fits"
ASKED = {"stages", "segments", "teams", "budget", "response", "spend_per_step_cents"}
_READING = Lock()


def wrong(workspace: Workspace, question: Question, once: Once) -> Wrong | None:
    """Return the first campaign whose budget was never seen, whose answer cannot be estimated, or
    whose spend is not known; None where all fit, or the log is too long to be asked here.
    """
    read = cache(partial(_read, workspace, question))  # once, and only if something is new
    for name, place, lever in _asking(question):
        what = lever.model_dump_json(include=ASKED)
        key = (question.funnel.name, question.snapshot, question.as_of, what)
        said = once.get(key, partial(_said, read, lever))
        if isinstance(said, Refusal):
            rule = f"scenario '{name}': lever {place}: {said.rule}"
            return Wrong(rule=rule, value=said.value, remedy=said.remedy)
    return None


def _asking(question: Question) -> Iterator[tuple[str, int, Campaign]]:
    for each in question.comparison.scenarios:
        for place, lever in enumerate(each.levers, start=1):
            if isinstance(lever, Campaign) and campaigning.asks_the_log(lever):
                yield each.name, place, lever


def _read(workspace: Workspace, question: Question) -> tuple[Course, Person] | None:
    """Return what the log says; None where it is too long, or says nothing of the funnel. One
    reads at a time, as it takes memory and processor beside decisions.
    """
    tables, snapshot = workspace.tables, question.snapshot
    if sum(bucket.rows for bucket in tables.buckets(log.TABLE, snapshot)) > MOST_EVENTS:
        return None
    with _READING:
        try:
            events = tables.read(log.TABLE, snapshot, columns=units.COLUMNS)
            course = units.read(events, question.funnel, question.as_of)
            return course, person.table(course)
        except FunnelcastError:  # of all levers: the job says it
            return None


def _said(read: Callable[[], tuple[Course, Person] | None], lever: Campaign) -> Refusal | str:
    there = read()
    if there is None:
        return FITS
    found = campaigning.answered(*there, lever)
    if isinstance(found, Refusal):
        return found
    spent = campaigning.spent(*there, lever)
    return spent if isinstance(spent, Refusal) else FITS

"""What the log says against the campaigns of a question, before anything runs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cluster.errors import FunnelcastError, Refusal
from features import log
from serving.forecast import campaigning, person, units
from serving.forecast.kinds import Campaign
from serving.simulations.words import Wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.workspace import Workspace
    from serving.simulations.once import Once
    from serving.simulations.questions import Question

MOST_EVENTS = 1_000_000  # to be read beside decisions; of more the job says it
FITS = "it fits"


def wrong(workspace: Workspace, question: Question, once: Once) -> Wrong | None:
    """Return the first campaign whose budget was never seen, whose answer cannot be estimated, or
    whose spend is not known; None where all fit, or the log is too long to be asked here.
    """
    for name, place, lever in _asking(question):
        key = (question.funnel.name, question.snapshot, question.as_of, lever.model_dump_json())
        said = once.get(key, partial(_said, workspace, question, lever))
        if isinstance(said, Refusal):
            rule = f"scenario '{name}': lever {place}: {said.rule}"
            return Wrong(rule=rule, value=said.value, remedy=said.remedy)
    return None


def _asking(question: Question) -> Iterator[tuple[str, int, Campaign]]:
    for each in question.comparison.scenarios:
        for place, lever in enumerate(each.levers, start=1):
            if isinstance(lever, Campaign) and campaigning.asks_the_log(lever):
                yield each.name, place, lever


def _said(workspace: Workspace, question: Question, lever: Campaign) -> Refusal | str:
    tables, snapshot = workspace.tables, question.snapshot
    if sum(bucket.rows for bucket in tables.buckets(log.TABLE, snapshot)) > MOST_EVENTS:
        return FITS
    try:
        events = tables.read(log.TABLE, snapshot, columns=units.COLUMNS)
        course = units.read(events, question.funnel, question.as_of)
        rows = person.table(course)
    except FunnelcastError:  # of all levers: the job says it
        return FITS
    found = campaigning.answered(course, rows, lever)
    if not isinstance(found, Refusal):
        spent = campaigning.spent(course, rows, lever)
        return spent if isinstance(spent, Refusal) else FITS
    return found

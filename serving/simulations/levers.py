"""What the log and what was learnt from it say against the levers of a question, before anything
runs.
"""

from __future__ import annotations

from functools import cache, partial
from threading import Lock
from typing import TYPE_CHECKING

from cluster.errors import FunnelcastError, Refusal
from serving.forecast import campaigning, history, person
from serving.forecast.evidence import ESTIMATED
from serving.forecast.kinds import Campaign, Outreach, Price
from serving.simulations import courses, estimates
from serving.simulations.words import Wrong

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.workspace import Workspace
    from serving.forecast.funnels import Funnel
    from serving.forecast.kinds import Lever
    from serving.forecast.person import Person
    from serving.forecast.units import Course
    from serving.simulations.once import Once
    from serving.simulations.questions import Question

    type Against = Callable[[Course, Person], Refusal | None]

FITS = "it fits"
_CAMPAIGN = {"kind", "stages", "segments", "teams", "budget", "response", "spend_per_step_cents"}
_MORE = {"kind", "action", "stages"}
_READING = Lock()


def wrong(workspace: Workspace, question: Question, once: Once) -> Wrong | None:
    """Return the first lever that the log is against: a campaign whose budget was never seen, whose
    answer cannot be estimated or whose spend is not known, an effect that cannot be estimated, more
    of contacts that there never were. None where all fit, or the log is too long to be asked here.
    """
    read = cache(partial(_read, workspace, question))  # once, and only if something is new

    def ask(what: str, against: Against) -> Refusal | str:
        key = (question.funnel.name, question.snapshot, question.as_of, what)
        return once.get(key, partial(_said, read, against))

    for each in question.comparison.scenarios:
        for place, lever in enumerate(each.levers, start=1):
            said = _against(workspace, question, lever, ask)
            if said is not None:
                rule = f"scenario '{each.name}': lever {place}: {said.rule}"
                return Wrong(rule=rule, value=said.value, remedy=said.remedy)
    return None


def never_contacted(stages: tuple[str, ...]) -> Refusal:
    """Return what is said of more contacts than none."""
    return Refusal(
        rule="`more` is more than there was",
        value=f"no contacts in {', '.join(stages)}",
        remedy="give `rate` in its place",
    )


def _against(
    workspace: Workspace,
    question: Question,
    lever: Lever,
    ask: Callable[[str, Against], Refusal | str],
) -> Refusal | None:
    """Return what is against a lever; `ask` asks the log."""
    said: Refusal | str = FITS
    if isinstance(lever, Campaign) and campaigning.asks_the_log(lever):
        said = ask(lever.model_dump_json(include=_CAMPAIGN), partial(_campaign, lever))
    if isinstance(lever, Outreach | Price) and lever.effect == ESTIMATED:
        said = _effect(workspace, question, lever, ask)
    if said == FITS and isinstance(lever, Outreach) and lever.more is not None:
        what = lever.model_dump_json(include=_MORE)
        said = ask(what, partial(_more, question.funnel, lever))
    return said if isinstance(said, Refusal) else None


def _effect(
    workspace: Workspace,
    question: Question,
    lever: Outreach | Price,
    ask: Callable[[str, Against], Refusal | str],
) -> Refusal | str:
    try:
        found = estimates.learnt(workspace, question.funnel, question.as_of, lever)
    except (FunnelcastError, ValueError):  # it cannot be read: the job says it
        return FITS
    if found is None:
        return ask("lots", _lots)
    return found if isinstance(found, Refusal) else FITS


def _campaign(lever: Campaign, course: Course, rows: Person) -> Refusal | None:
    found = campaigning.answered(course, rows, lever)
    if isinstance(found, Refusal):
        return found
    spent = campaigning.spent(course, rows, lever)
    return spent if isinstance(spent, Refusal) else None


def _lots(course: Course, _: Person) -> Refusal | None:
    found = estimates.of_lots(course)
    return found if isinstance(found, Refusal) else None


def _more(funnel: Funnel, lever: Outreach, course: Course, rows: Person) -> Refusal | None:
    names = [stage.name for stage in funnel.stages]
    stages = frozenset(names.index(stage) for stage in lever.stages)
    past = history.past(course, rows, lever.action, stages=stages, lasts=1)
    return None if past.per_step else never_contacted(lever.stages)


def _read(workspace: Workspace, question: Question) -> tuple[Course, Person] | None:
    """Return what the log says; None where it is too long, or says nothing of the funnel. One
    reads at a time, as it takes memory and processor beside decisions.
    """
    tables, snapshot = workspace.tables, question.snapshot
    if courses.are_many(tables, snapshot):
        return None
    with _READING:
        try:
            course = courses.read(tables, question.funnel, snapshot, question.as_of)
            return course, person.table(course)
        except FunnelcastError:  # of all levers: the job says it
            return None


def _said(read: Callable[[], tuple[Course, Person] | None], against: Against) -> Refusal | str:
    there = read()
    said = None if there is None else against(*there)
    return FITS if said is None else said

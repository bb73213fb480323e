"""What a forecast rests on: the courses of all units, and what was learnt from them.

It is a pure function of the log's snapshot, the moment, the scores, the funnel and how many steps
are looked ahead; so a process that answers a second question may keep it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from cluster.errors import done
from jobs.simulate import question as questions
from jobs.simulate.known import NotEnough
from serving import scored
from serving.forecast import learning, person

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from jobs.simulate.question import Question
    from serving.forecast.learning import Learnt
    from serving.forecast.person import Person
    from serving.forecast.strata import Scored
    from serving.forecast.units import Course


@dataclass(frozen=True, kw_only=True, eq=False)
class Basis:
    """The courses as known at the time of a question, the scores, and the posterior."""

    course: Course
    scores: tuple[Scored, ...]
    learnt: Learnt

    @cached_property
    def rows(self) -> Person:
        """The person-period table of the courses."""
        return person.table(self.course)


class Bases:
    """Remembers the last one. For one thread."""

    def __init__(self) -> None:
        self._key: object = None
        self._last: Basis | None = None

    def get(self, workspace: Workspace, question: Question) -> Basis:
        """Return what a question rests on; NotEnough where the log says too little."""
        key = (questions.rests_on(workspace, question), question.scenario.horizon)
        if self._last is None or self._key != key:
            self._last = None  # two of a long log may not fit
            self._last, self._key = learnt(workspace, question), key
        return self._last


def learnt(workspace: Workspace, question: Question) -> Basis:
    """Read the log and learn from it; NotEnough where it says too little."""
    course = questions.course(workspace, question)
    scores = scored.known(workspace.tables, question.funnel)
    found = learning.fit(course, question.scenario.horizon, scores=scores)
    return Basis(course=course, scores=scores, learnt=done(found, NotEnough))

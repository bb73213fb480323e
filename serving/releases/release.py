"""A release as a value: what it moves, how far it is, and every step that may follow. Pure.

  begin ──► running ──► (last step) promoted ──► rolled_back
             │  ▲                                    ▲
pause, hold  ▼  │ resume, approve                    │ rollback, of any that is not over
       paused, held, awaiting ───────────────────────┘        abort ──► aborted
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal, Self

from cluster.errors import Refusal
from cluster.settings import Frozen
from serving.releases.assignment import PLACES
from serving.releases.plan import Plan


class State(StrEnum):
    """How a release is."""

    RUNNING = "running"
    PAUSED = "paused"  # by a person
    HELD = "held"  # by the judge, until a person decides
    AWAITING = "awaiting"  # approval of its next step
    PROMOTED = "promoted"  # the candidate is what answers
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"


OPEN = frozenset({State.RUNNING, State.PAUSED, State.HELD, State.AWAITING})


class Parts(Frozen):
    """A full set of what answers: ids of immutable things."""

    model: str
    policy: str  # digest of its document
    views: dict[str, str]  # digest of each definition, by name


class Release(Frozen):
    """One release of one target, after one of its moves."""

    format: Literal[1] = 1
    id: str
    target: str
    policy: str  # name of the policy that is followed
    plan: Plan
    salt: str
    stable: Parts  # what answered when it began; warm until the next release
    candidate: Parts
    shadows: tuple[Parts, ...] = ()  # more that make decisions nobody sees
    state: State
    step: int = 0
    since: datetime  # of the step
    waived: tuple[str, ...] = ()  # guards that a person has heard, and decided to go on
    why: str
    began: datetime

    @property
    def is_open(self) -> bool:
        """May it still go on?"""
        return self.state in OPEN

    @property
    def key(self) -> str:
        """Its name among those of all targets."""
        return f"{self.target}/{self.id}"

    @property
    def places(self) -> int:
        """How many of the ten thousand places the candidate answers."""
        if self.state == State.PROMOTED:
            return PLACES
        return self.plan.steps[self.step].places if self.is_open else 0

    @property
    def mirror(self) -> float:
        """Share of the other decisions that the candidate makes too, 0 to 1."""
        return self.plan.steps[self.step].mirror / 100 if self.is_open else 0.0

    def advanced(self, why: str, now: datetime) -> Self | Refusal:
        """Return it at its next step, waiting for approval of it, or promoted after the last."""
        if self.state != State.RUNNING:
            return self._must_be("running", "to go on")
        after = self.step + 1
        if after == len(self.plan.steps):
            last = State.AWAITING if self.plan.experiment else State.PROMOTED
            return self._moved(last, why)
        if self.plan.steps[after].approval:
            return self._moved(State.AWAITING, why)
        return self._at(after, why, now)

    def approved(self, why: str, now: datetime) -> Self | Refusal:
        """Return it at the step that was waited for, or promoted after the last."""
        if self.state != State.AWAITING:
            return self._must_be("awaiting approval", "to be approved")
        if self.step + 1 == len(self.plan.steps):
            return self._moved(State.PROMOTED, why)
        return self._at(self.step + 1, why, now)

    def paused(self, why: str) -> Self | Refusal:
        """Return it standing where it is: accounts keep their arm, and the judge may undo it."""
        if self.state != State.RUNNING:
            return self._must_be("running", "to be paused")
        return self._moved(State.PAUSED, why)

    def held(self, why: str) -> Self | Refusal:
        """Return it standing until a person decides."""
        if self.state != State.RUNNING:
            return self._must_be("running", "to be held")
        return self._moved(State.HELD, why)

    def resumed(self, why: str, now: datetime, *, waived: tuple[str, ...] = ()) -> Self | Refusal:
        """Return it running again at its step, which begins anew; what is waived alarms no more."""
        if self.state not in (State.PAUSED, State.HELD):
            return self._must_be("paused or held", "to go on")
        every = tuple(dict.fromkeys((*self.waived, *waived)))
        changes = {"state": State.RUNNING, "why": why, "since": now, "waived": every}
        return self.model_copy(update=changes)

    def rolled_back(self, why: str) -> Self | Refusal:
        """Return it undone: what answered before it answers again."""
        if not self.is_open and self.state != State.PROMOTED:
            return self._must_be("open or promoted", "to be rolled back")
        return self._moved(State.ROLLED_BACK, why)

    def aborted(self, why: str) -> Self | Refusal:
        """Return it called off."""
        if not self.is_open:
            return self._must_be("open", "to be aborted")
        return self._moved(State.ABORTED, why)

    def _at(self, step: int, why: str, now: datetime) -> Self:
        changes = {"state": State.RUNNING, "step": step, "since": now, "why": why}
        return self.model_copy(update=changes)

    def _moved(self, state: State, why: str) -> Self:
        return self.model_copy(update={"state": state, "why": why})

    def _must_be(self, state: str, to: str) -> Refusal:
        return Refusal(
            rule=f"the release {self.id} must be {state} {to}",
            value=str(self.state),
            remedy="see python -m jobs.release status",
        )


def begin(
    *,
    id: str,
    target: str,
    policy: str,
    plan: Plan,
    salt: str,
    stable: Parts,
    candidate: Parts,
    shadows: tuple[Parts, ...] = (),
    before: Release | None,
    why: str,
    now: datetime,
) -> Release | Refusal:
    """Return a release at its first step; a Refusal while the one before it is open, or when there
    is nothing to release.
    """
    if before is not None and before.is_open:
        return Refusal(
            rule=f"one release of '{target}' must be over before the next begins",
            value=f"{before.id} is {before.state}",
            remedy=f"python -m jobs.release abort {target}",
        )
    if candidate == stable:
        return Refusal(
            rule="a candidate must differ from what answers",
            value=candidate.model[:12],
            remedy="name another model or policy",
        )
    return Release(
        id=id,
        target=target,
        policy=policy,
        plan=plan,
        salt=salt,
        stable=stable,
        candidate=candidate,
        shadows=shadows,
        state=State.RUNNING,
        since=now,
        why=why,
        began=now,
    )

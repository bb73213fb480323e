"""What a candidate's replica does: it holds the slot of the candidate, and decides on cases."""

from __future__ import annotations

import time
from threading import get_ident
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from cluster.errors import FunnelcastError, done
from cluster.settings import Settings
from cluster.workspace import Workspace
from serving.apart import words
from serving.releases.release import Parts
from serving.slots.arms import Loader
from serving.slots.following import Followed
from serving.slots.slot import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from serving.slots.slot import Slot

LOST_S = 10.0  # a call takes some milliseconds


class NotTaken(FunnelcastError):
    """The candidate does not fit, or does not answer."""


class Lost(FunnelcastError):
    """A call does not return: this process should be replaced by another."""


class CandidateArgs(BaseModel):
    """What a candidate's replica is given: the workspace, and the parts of the candidate."""

    settings: Settings
    kind: str  # of entity
    answer: Answer
    parts: Parts


class Deciding:
    """Decides on cases. Safe to share between threads."""

    def __init__(self, args: CandidateArgs) -> None:
        self._slot = _loaded(args)
        self._since: dict[int, float] = {}  # when calls began, by thread

    def decide(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Answer what is asked in plain values; what failed is answered too, in words."""
        self._since[get_ident()] = time.monotonic()
        try:
            asked = words.asked(said)
            made = self._slot.decide(asked.cases, asked.now, reasons=asked.reasons)
            return {"made": words.answering(made)}
        except Exception as error:  # a model may raise anything
            return {"failed": f"{type(error).__name__}: {error}"}
        finally:
            del self._since[get_ident()]

    def must_be_well(self) -> None:
        """Lost when a call is under way for too long."""
        longest = time.monotonic() - min(self._since.copy().values(), default=time.monotonic())
        if longest > LOST_S:
            raise Lost(f"a call must return within {LOST_S:g} s, got {longest:.0f} s: replace me")


def begun(said: Mapping[str, Any]) -> Deciding:
    """Return what decides, of plain values: the shell around it may be of another version."""
    return Deciding(CandidateArgs.model_validate(said))


def _loaded(args: CandidateArgs) -> Slot:
    """Return the slot of a candidate by the loader, and after the trial, of every other slot."""
    followed = Followed.of(args.kind, args.answer)
    with Workspace.open(args.settings) as workspace:
        loader = Loader(workspace=workspace, followed=followed, loaded=())
        return done(loader.slot(args.parts), NotTaken)

"""The slots in force at one moment, as one immutable value. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from serving.releases import assignment
from serving.releases.evidence import CANDIDATE, STABLE

if TYPE_CHECKING:
    from datetime import datetime

    from serving.releases.plan import Pilot
    from serving.slots.slot import Slot

ANSWERED_BY = {"account": "lead"}  # kinds that the slot of another answers


@dataclass(frozen=True, kw_only=True)
class Refused:
    """What a ref names and is not taken; what was there before goes on answering."""

    what: str  # name of the ref
    target: str  # what it names
    epoch: int  # of the ref: it is tried again when that rises
    why: str
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What one account drew in a release, as the record of its decision says it."""

    release: str
    epoch: int  # of the release's ref
    step: int
    arm: str  # stable or candidate
    share: float  # of the accounts that are the candidate's


@dataclass(frozen=True, kw_only=True)
class Arms:
    """A release as one replica answers by it."""

    release: str
    epoch: int
    step: int
    salt: str
    places: int  # of ten thousand that are the candidate's
    mirror: float  # share of the other decisions that the candidate makes too
    candidate: Slot | None  # None: it is not taken, and nobody is its
    shadows: tuple[Slot, ...] = ()  # more that make decisions nobody sees
    pilot: Pilot | None = None

    def is_for(self, features: Mapping[str, object]) -> bool:
        """Is an account with these features offered the candidate?"""
        return self.pilot is None or str(features.get(self.pilot.feature)) in self.pilot.values

    @property
    def share(self) -> float:
        """Of the accounts that are the candidate's; none while it is not taken."""
        return self.places / assignment.PLACES if self.candidate else 0.0

    def draw(self, unit: str) -> tuple[Slot | None, Draw]:
        """Return the candidate's slot if an account is its, else None; and what was drawn."""
        place = assignment.place(self.salt, self.release, unit)
        is_its = self.candidate is not None and assignment.is_within(place, self.places)
        drawn = Draw(
            release=self.release,
            epoch=self.epoch,
            step=self.step,
            arm=CANDIDATE if is_its else STABLE,
            share=self.share,
        )
        return self.candidate if is_its else None, drawn


@dataclass(frozen=True, kw_only=True)
class Slots:
    """What answers, by kind of entity."""

    by_kind: Mapping[str, Slot] = field(default_factory=dict)
    arms: Mapping[str, Arms] = field(default_factory=dict)  # of the releases under way
    warm: tuple[Slot, ...] = ()  # loaded, and answering nobody: to go back needs no load
    missing: tuple[str, ...] = ()  # why, for each kind that nothing answers for yet
    is_waiting: bool = False  # for replicas of a candidate's own: it is looked for them again
    epochs: Mapping[str, int] = field(default_factory=dict)  # of each ref followed; 0: not there

    def __post_init__(self) -> None:
        """Nobody changes what others are reading."""
        for name in ("by_kind", "epochs", "arms"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def of(self, kind: str) -> Slot | None:
        """Return what answers about a kind of entity; None while nothing does."""
        return self.by_kind.get(answered_by(kind))

    def arms_of(self, kind: str) -> Arms | None:
        """Return the release under way of what answers about a kind; None if there is none."""
        return self.arms.get(answered_by(kind))

    @property
    def answering(self) -> tuple[Slot, ...]:
        """The slots that answer somebody: of a release under way the candidate too."""
        candidates = [each.candidate for each in self.arms.values() if each.candidate]
        return (*self.by_kind.values(), *candidates)

    @property
    def loaded(self) -> tuple[Slot, ...]:
        """Every slot that is in memory."""
        shadows = [slot for each in self.arms.values() for slot in each.shadows]
        return (*self.answering, *self.warm, *shadows)


def answered_by(kind: str) -> str:
    """Return the kind whose slot answers about a kind."""
    return ANSWERED_BY.get(kind, kind)

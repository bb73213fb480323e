"""The slots in force at one moment, as one immutable value. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

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
class Slots:
    """What answers, by kind of entity."""

    by_kind: Mapping[str, Slot] = field(default_factory=dict)
    missing: tuple[str, ...] = ()  # why, for each kind that nothing answers for yet
    epochs: Mapping[str, int] = field(default_factory=dict)  # of each ref followed; 0: not there

    def __post_init__(self) -> None:
        """Nobody changes what others are reading."""
        for name in ("by_kind", "epochs"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def of(self, kind: str) -> Slot | None:
        """Return what answers about a kind of entity; None while nothing does."""
        return self.by_kind.get(ANSWERED_BY.get(kind, kind))

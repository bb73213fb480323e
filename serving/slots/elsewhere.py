"""Where a slot decides if not in this process, and what must hold of what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cluster.errors import FunnelcastError, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from serving.decide import Basis, Case, Decision
    from serving.releases.release import Release

    type Apart = Callable[[Release], Elsewhere | Refusal]  # finds where a candidate decides


class NotYet(Refusal):
    """Nobody answers there; somebody may later."""


class Away(FunnelcastError):
    """Nobody answers there: the fault of no case that was asked about."""


class OtherAnswer(FunnelcastError):
    """What came back is no answer to what was asked."""


class Elsewhere(Protocol):
    """Another process that holds the slot. Safe to share between threads."""

    @property
    def name(self) -> str:
        """What tells it from all others: of equal names one stands for the other."""

    def decide(self, cases: Sequence[Case], now: datetime, *, reasons: bool) -> list[Decision]:
        """Return a decision per case, within some seconds; raises whatever kept it from that."""


def checked(made: list[Decision], cases: Sequence[Case], basis: Basis) -> list[Decision]:
    """Return decisions from elsewhere; OtherAnswer unless they are about these cases, by the model
    and the policy that were asked, and chances at all.
    """
    asked = [(each.entity, basis.model, basis.policy) for each in cases]
    told = [(each.entity, each.basis.model, each.basis.policy) for each in made]
    if told != asked:
        raise OtherAnswer(f"an answer must be about {asked[:2]}, got {told[:2]}")
    wrong = [each for each in made if not _is_chance(each)]
    if wrong:
        raise OtherAnswer(f"a probability must lie between 0 and 1, got {wrong[0].probability}")
    return made


def _is_chance(made: Decision) -> bool:
    return 0 < made.probability < 1 and 0 <= made.low <= made.high <= 1

"""Which call is marked: one of a slot that answers in any case is not, nor one that another process
answers. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.releases.evidence import CANDIDATE
from serving.slots.inflight import Mark

if TYPE_CHECKING:
    from collections.abc import Iterable

    from serving.slots.active import Draw, Slots
    from serving.slots.slot import Slot


def of_draw(slot: Slot, draw: Draw, arm: str) -> Mark | None:
    """Return the mark of a call for what an account drew."""
    if slot.elsewhere is not None:
        return None
    return Mark(target=slot.target.name, release=draw.release, epoch=draw.epoch, arm=arm)


def of_draws(slot: Slot, draws: Iterable[Draw | None]) -> Mark | None:
    """Return the mark of a call for several accounts; None if the candidate is nobody's."""
    its = (draw for draw in draws if draw is not None and draw.arm == CANDIDATE)
    return next((of_draw(slot, draw, CANDIDATE) for draw in its), None)


def of_slot(slot: Slot, slots: Slots) -> Mark | None:
    """Return the mark of a call that is for nobody."""
    here = slot.elsewhere is None
    its = (arms for arms in slots.arms.values() if here and arms.candidate is slot)
    made = (
        Mark(target=slot.target.name, release=arms.release, epoch=arms.epoch, arm=CANDIDATE)
        for arms in its
    )
    return next(made, None)

"""The trial of a slot: it answers about nobody before it answers anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from cluster.errors import Refusal
from serving.slots import fit

if TYPE_CHECKING:
    from serving.slots.slot import Slot

AWAY = (OSError, sa.exc.SQLAlchemyError)  # no fault of what is loaded: to be tried again


def tried(slot: Slot) -> Refusal | None:
    """Warm a slot; return why it does not answer."""
    misfit = fit.of_policy(slot.policy, slot.target.features)
    if misfit is not None:
        return misfit
    try:
        slot.warm()
    except AWAY:
        raise
    except Exception as error:  # whatever it is, a request would have met it
        words = " ".join(f"{type(error).__name__}: {error}".split())
        return Refusal(
            rule=f"the model {slot.basis.model[:12]} must answer with {slot.policy.id}",
            value=words,
            remedy="go back to those before",
        )
    return None

"""Consent: given with a form or not at all, and withdrawn by some, after which touches stop.

A withdrawal is final: the contact is neither written to nor followed from then on. An objection to
profiling is recorded and changes nothing else here: to honour it is the task of whoever scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.sources.world.chance import NEVER, WEEK

if TYPE_CHECKING:
    from features.sources.world.touches import Touches

# share of contacts that consent when they become known, by the channel that brought them
GRANTS = {
    "organic": 0.8,
    "paid_search": 0.7,
    "social": 0.6,
    "referral": 0.6,
    "webinar": 0.9,
    "list": 0.15,
}
MEMBER_GRANTS = 0.3  # of the members of a buying committee
ANNOYANCE = -0.4  # of the log rate of withdrawal over interest
OBJECTIONS = 0.25  # against profiling, per withdrawal


@dataclass(frozen=True, kw_only=True)
class Consent:
    """What contacts allow: microseconds, or NEVER; arrays of one entry per contact."""

    granted: np.ndarray
    withdrawn: np.ndarray
    objected: np.ndarray

    def joined(self, others: Consent) -> Consent:
        """Return this consent and then the others'."""
        return Consent(
            **{
                name: np.concatenate([own, getattr(others, name)])
                for name, own in vars(self).items()
            }
        )


def consent(
    rng: np.random.Generator,
    since: np.ndarray,
    share: np.ndarray,
    *,
    weekly: np.ndarray,
    end: int,
) -> Consent:
    """Draw the consent of contacts known `since` (microseconds, NEVER for none).

    `share` is the chance to grant it, `weekly` the rate of withdrawal.
    """
    is_known = since != NEVER
    born = np.where(is_known, since, 0)
    granted = is_known & (rng.random(len(born)) < share)

    def after(rate: np.ndarray) -> np.ndarray:
        wait = rng.exponential(1.0, len(born)) * WEEK / np.maximum(rate, 1e-12)
        time = born + np.minimum(wait, 2.0 * end).astype(np.int64)
        return np.where(is_known & (time < end), time, NEVER)

    return Consent(
        granted=np.where(granted, born, NEVER),
        withdrawn=after(weekly),
        objected=after(weekly * OBJECTIONS),
    )


def allowed(touched: Touches, given: Consent) -> Touches:
    """Return the touches before their contact withdrew its consent."""
    return touched.where(touched.time < given.withdrawn[touched.contact])

"""An outcome folded: by step and by group, in place of every pair of the two.

A document needs no more of it, and many groups take most of the memory of an outcome. Whole numbers
are added, so that nothing is lost, and nothing depends on how draws are cut into chunks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from serving.forecast.given import Outcome


class Folded(NamedTuple):
    """An outcome whose groups are one, field by field as in Outcome, and what each group won."""

    won: np.ndarray  # int64 [draws, steps, 1, parts]
    cents: np.ndarray  # int64 [draws, steps, 1, parts]
    open: np.ndarray  # int32 [draws, steps, 1, stages]
    contacts: np.ndarray
    waiting: np.ndarray
    lost_to: np.ndarray
    winners: np.ndarray
    won_at: np.ndarray
    timing: np.ndarray
    won_by_group: np.ndarray  # int64 [draws, groups, parts], by the end
    cents_by_group: np.ndarray  # int64 [draws, groups, parts]

    @property
    def outcome(self) -> Outcome:
        """Without what each group won."""
        return Outcome(*self[: len(Outcome._fields)])


def folded(outcome: Outcome) -> Folded:
    """Fold an outcome."""
    of_all = {name: _of_all(getattr(outcome, name)) for name in ("won", "cents", "open")}
    by_group = (outcome.won.sum(axis=1), outcome.cents.sum(axis=1))
    return Folded(*outcome._replace(**of_all), *by_group)


def _of_all(counts: np.ndarray) -> np.ndarray:
    """Add up the groups of counts [draws, steps, groups, parts or stages]; the type stays."""
    # einsum adds along an inner axis of few numbers four times as fast as `sum` does
    return np.asarray(np.einsum("abcd->abd", counts)[:, :, None])

"""Rows: which leads, opportunities and accounts are for the eyes of a principal.

A principal that is bound to regions or teams sees the rows of those alone. What it does not see is
answered in the words, and after the work, of what was never seen by anybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster import canonical
from cluster.access.principal import sees_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.access.principal import Principal
    from features.online.areas import Areas
    from features.territory import Territory


def bound(principal: Principal) -> Principal | None:
    """Return the principal if it is bound to rows; None for one that sees them all."""
    return None if principal.regions is None and principal.teams is None else principal


def sees(principal: Principal, found: Territory | None) -> bool:
    """Is a row of this territory for its eyes? One that was never seen is not."""
    return found is not None and sees_row(principal, region=found.region, team=found.team)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Which of many rows are for the eyes of a principal that is bound to some."""

    principal: Principal
    areas: Areas

    @property
    def mark(self) -> str:
        """What is equal for principals that are bound to the same rows."""
        both = (self.principal.regions, self.principal.teams)
        return canonical.digest([None if each is None else sorted(each) for each in both])[:16]

    def among(self, kind: str, entities: Sequence[str]) -> np.ndarray:
        """Return which entities of a kind are: (n,) bool."""
        found = self.areas.of_many(kind, entities)
        in_region = _within(found["region"], self.principal.regions)
        return np.asarray(in_region & _within(found["team"], self.principal.teams))


def _within(values: pa.ChunkedArray, allowed: frozenset[str] | None) -> np.ndarray:
    if allowed is None:
        return np.ones(len(values), np.bool_)
    return np.asarray(pc.is_in(values, pa.array(sorted(allowed), pa.string())))

"""The language of views: what a feature is, said without saying how it is computed.

A view is a frozen list of features of one kind of entity. A feature names the events it looks at
and one aggregate over those in its window, as of a moment T: `T - window <= event_time < T`, known
by T. Without a window it looks at all history.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

import pyarrow as pa

from cluster import canonical

type Entity = Literal["lead", "account", "opportunity"]


@dataclass(frozen=True, kw_only=True)
class Events:
    """Which events a feature looks at."""

    kind: str
    names: tuple[str, ...] = ()  # none: every name of the kind
    of: str = ""  # key column shared with the row; empty: the view's own entity


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One column of a view."""

    name: str
    label: str  # what a seller reads
    events: Events
    window_days: int | None = None

    @property
    def type(self) -> pa.DataType:
        """Arrow type of the column."""
        return pa.int64()


@dataclass(frozen=True, kw_only=True)
class Count(Feature):
    """How many events; 0 when there are none."""


@dataclass(frozen=True, kw_only=True)
class Sum(Feature):
    """Sum of the events' numbers; 0 when there are none."""


@dataclass(frozen=True, kw_only=True)
class Mean(Feature):
    """Mean of the events' numbers; null when there are none."""

    @property
    def type(self) -> pa.DataType:
        """Arrow type of the column."""
        return pa.float64()


@dataclass(frozen=True, kw_only=True)
class LastNumber(Feature):
    """Number of the latest event; null when there is none."""


@dataclass(frozen=True, kw_only=True)
class LastText(Feature):
    """Text of the latest event; null when there is none."""

    @property
    def type(self) -> pa.DataType:
        """Arrow type of the column."""
        return pa.string()


@dataclass(frozen=True, kw_only=True)
class LastName(LastText):
    """Name of the latest event (the stage a deal is in); null when there is none."""


@dataclass(frozen=True, kw_only=True)
class HoursSince(Feature):
    """Hours since the latest event; null when there is none."""

    @property
    def type(self) -> pa.DataType:
        """Arrow type of the column."""
        return pa.float64()


@dataclass(frozen=True, kw_only=True)
class View:
    """A versioned list of features of one kind of entity."""

    name: str
    entity: Entity
    owner: str
    description: str
    privacy: Literal["public", "internal", "personal"]
    features: tuple[Feature, ...]

    @property
    def version(self) -> str:
        """Hash over what is computed: a changed definition is another version."""
        features = [{"aggregate": type(f).__name__, **asdict(f)} for f in self.features]
        return canonical.digest({"entity": self.entity, "features": features})[:16]

    @property
    def columns(self) -> list[str]:
        """Names of the feature columns, in order."""
        return [feature.name for feature in self.features]


def windowed[F: Feature](
    aggregate: type[F], name: str, label: str, events: Events, days: tuple[int, ...]
) -> tuple[F, ...]:
    """Return one feature per window, named `<name>_<days>d`."""
    return tuple(
        aggregate(
            name=f"{name}_{d}d", label=f"{label}, last {d} days", events=events, window_days=d
        )
        for d in days
    )

"""The language of views: which events a feature looks at, and what a view is.

A view is a frozen list of features of one kind of entity. A feature (see aggregates.py) names the
events it looks at and one aggregate over those in its window, as of a moment T:
`T - window <= event_time < T`, known by T, and not corrected by then. Without a window it looks at
all history.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from cluster import canonical

if TYPE_CHECKING:
    from features.views.aggregates import Feature

type Entity = Literal["lead", "account", "opportunity", "person", "campaign", "rep", "segment"]
type Column = Literal[
    "name", "text", "account", "person", "lead", "opportunity", "campaign", "product", "rep"
]


@dataclass(frozen=True, kw_only=True)
class Where:
    """A condition on a column of an event: one of some words, or a number in a range. An event
    without a value does not meet it.
    """

    column: Literal["number"] | Column
    one_of: tuple[str, ...] = ()
    at_least: int | None = None
    below: int | None = None

    def __post_init__(self) -> None:
        """Words are for columns of words, a range is for numbers."""
        has_range = self.at_least is not None or self.below is not None
        if (self.column == "number") != has_range or has_range == bool(self.one_of):
            raise ValueError(
                f"a condition must have words for a column or a range for 'number', got {self}"
            )


@dataclass(frozen=True, kw_only=True)
class Events:
    """Which events a feature looks at."""

    kind: str
    names: tuple[str, ...] = ()  # none: every name of the kind
    of: str = ""  # key column shared with the row; empty: the view's own entity
    where: tuple[Where, ...] = ()  # all of them


@dataclass(frozen=True, kw_only=True)
class View:
    """A versioned list of features of one kind of entity."""

    name: str
    entity: Entity
    owner: str
    description: str
    privacy: Literal["public", "internal", "personal"]
    features: tuple[Feature, ...]
    by: str = ""  # of segments: the attribute of accounts that names them

    def __post_init__(self) -> None:
        """Every column has a name of its own; segments, and no others, have an attribute."""
        if (self.entity == "segment") != bool(self.by):
            raise ValueError(f"a view of segments must say 'by' which attribute, got '{self.name}'")
        twice = {name for name in self.columns if self.columns.count(name) > 1}
        if twice:
            raise ValueError(f"features of view '{self.name}' must differ, got twice: {twice}")

    @property
    def version(self) -> str:
        """Hash over what is computed: a changed definition is another version."""
        features = [{"aggregate": type(f).__name__, **asdict(f)} for f in self.features]
        by = {"by": self.by} if self.by else {}
        return canonical.digest({"entity": self.entity, "features": features, **by})[:16]

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

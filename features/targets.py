"""Targets: what a model is to predict, declared, not programmed.

A row of a target is one entity at one moment T = anchor event + delay (+ k times `every_days`), of
an entity that is eligible at T and whose anchor is known then; without a delay T is the microsecond
after the anchor. Its label is positive when the label event happens in
T <= event_time < T + horizon. It is mature when that horizon and `settle_days` have passed: an
immature row is neither positive nor negative. With `among_closed` a row that neither label nor
closing reached within the horizon stays immature too: open records of an export may lack what is
only filled when they close.

With `label_moves` the label is an event that moves the entity forward, or backward, in `order` from
the stage in which it stood at T, as known at T. Such a label may come again: it closes nothing.
"""

from __future__ import annotations

from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import pyarrow as pa
from pydantic import Field, model_validator

from cluster import canonical
from cluster.errors import WrongUse, nearest
from cluster.settings import Frozen, load, named
from features.views import View, view

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from features.contracts import Contract

type Metric = Literal["log_loss", "auc", "average_precision"]
type Purpose = Literal["training", "scoring", "backfill", "given"]
PURPOSES: tuple[Purpose, ...] = ("training", "scoring", "backfill", "given")
ROW_COLUMNS = ("entity", "account", "time", "label", "mature")  # beside those of the views
PRIVACY = ("public", "internal", "personal")  # least private first
LONGEST_DAYS = 36_525  # a century: more is a unit error

type Days = Annotated[float, Field(ge=0, le=LONGEST_DAYS, allow_inf_nan=False)]


class Named(Frozen):
    """An event by kind and, if given, by name."""

    kind: str
    names: tuple[str, ...] = ()


class Condition(Frozen):
    """What must hold of an entity at T, as known at T: that it has or has not had an event, or that
    its attribute, as last told, is one of some texts.
    """

    has: Named | None = None
    has_not: Named | None = None
    attribute: str | None = None  # name of an attribute event
    one_of: tuple[str, ...] = ()
    of: Literal["", "account"] = ""  # whose events; empty: those of the entity itself

    @property
    def named(self) -> Named:
        """The events that it looks at."""
        event = self.has or self.has_not
        return event or Named(kind="attribute", names=(self.attribute or "",))

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        asked = [n for n in ("has", "has_not", "attribute") if getattr(self, n) is not None]
        if len(asked) != 1:
            raise ValueError(f"give one of has, has_not and attribute, got {asked or 'none'}")
        if (self.attribute is not None) != bool(self.one_of):
            raise ValueError("attribute and one_of must come together")
        return self


class Costs(Frozen):
    """What the two errors cost, in any one unit: only their ratio counts."""

    miss: float = Field(default=1, gt=0, allow_inf_nan=False)  # of a positive that was passed over
    false_alarm: float = Field(default=1, gt=0, allow_inf_nan=False)

    @property
    def threshold(self) -> float:
        """The probability from which acting costs less than waiting (Elkan 2001, equation 2)."""
        return self.false_alarm / (self.false_alarm + self.miss)


class Target(Frozen):
    """One thing to predict."""

    name: str = Field(pattern="^[a-z][a-z0-9_]*$")
    description: str
    entity: Literal["lead", "account", "opportunity"]
    anchor: Named
    delay_days: Days = 0
    every_days: Days = Field(default=7, gt=0)
    times: int = Field(default=1, ge=1, le=1000)
    horizon_days: Days = Field(gt=0)
    settle_days: Days = 0
    label: Named
    label_moves: Literal["forward", "backward"] | None = None  # against the stage at T
    order: tuple[str, ...] = ()  # the names of stages that the label tells, the first to the last
    closed_by: tuple[Named, ...] = ()
    among_closed: bool = False  # judge only rows that were closed, one way or the other, in time
    eligible: tuple[Condition, ...] = ()  # all of them
    views: tuple[str, ...] = Field(min_length=1)
    metric: Metric = "log_loss"  # what parameters are searched by
    monotone: dict[str, Literal["rising", "falling"]] = {}  # numbers, by feature
    costs: Costs = Costs()
    segments: tuple[str, ...] = ()  # features, texts or numbers, by which a model is judged too
    fairness: tuple[str, ...] = ()  # of those, whose groups must be treated alike
    rules: tuple[dict[str, Any], ...] = ()

    @model_validator(mode="after")
    def _moves_in_an_order(self) -> Self:
        if (self.label_moves is not None) != bool(self.order):
            raise ValueError("label_moves and order must come together")
        if self.label_moves is not None and (self.label.names or len(set(self.order)) < 2):
            raise ValueError("order must name two stages or more in place of the label's names")
        if len(set(self.order)) < len(self.order):
            raise ValueError(f"order must name each stage once, got {list(self.order)}")
        return self

    @property
    def version(self) -> str:
        """Hash over the whole declaration; what came later counts only where it is used."""
        later = () if self.label_moves else ("label_moves", "order")
        return canonical.digest(self.model_dump(mode="json", exclude=set(later)))[:16]

    @property
    def closings(self) -> tuple[Named, ...]:
        """The events after which an entity is not asked about any more."""
        return self.closed_by if self.label_moves else (self.label, *self.closed_by)

    @cached_property
    def features(self) -> View:
        """The columns that the model sees: those of all views, side by side."""
        first, *others = several = [view(name) for name in self.views]
        if not others:
            return first
        return View(
            name="+".join(self.views),
            entity=self.entity,
            owner=first.owner,
            description=self.description,
            privacy=max((each.privacy for each in several), key=PRIVACY.index),
            features=tuple(feature for each in several for feature in each.features),
        )

    @property
    def view_versions(self) -> dict[str, str]:
        """The version of each view."""
        return {name: view(name).version for name in self.views}

    @property
    def made_by(self) -> str:
        """The views with their versions, in one line."""
        return ",".join(f"{name}@{version}" for name, version in self.view_versions.items())

    @property
    def events(self) -> Iterator[tuple[str, Named, str]]:
        """The events that it speaks of: place in the declaration, event, key column."""
        own = self.entity
        yield from (("anchor", self.anchor, own), ("label", self.label, own))
        yield from ((f"closed_by.{n}", event, own) for n, event in enumerate(self.closed_by))
        for n, each in enumerate(self.eligible):
            yield f"eligible.{n}", each.named, each.of or own

    def table(self, purpose: Purpose) -> str:
        """Name of the table of feature rows of a purpose."""
        return f"{purpose}_{self.name}"

    @property
    def training_table(self) -> str:
        """Name of the table of labelled rows."""
        return self.table("training")

    @property
    def scoring_table(self) -> str:
        """Name of the table of open entities."""
        return self.table("scoring")

    @property
    def scores_table(self) -> str:
        """Name of the table of their scores."""
        return f"scores_{self.name}"

    @property
    def past_scores_table(self) -> str:
        """Name of the table of scores of past moments, each by a model of its time."""
        return f"{self.scores_table}_past"


def load_target(name: str) -> Target:
    """Read configs/targets/<name>.yaml, or the file given; its views must be declared and fit."""
    target = load(Target, named("targets", name))
    _require_apart(target, [view(name) for name in target.views])
    _require_numbers(target)
    _require_columns(target)
    return target


def require_promised(target: Target, contracts: Mapping[str, Contract]) -> None:
    """WrongUse for an event of the target that no contract promises."""
    for place, event, key in target.events:
        what = f"target '{target.name}', {place}"
        if event.kind not in contracts:
            hint = nearest(event.kind, contracts)
            raise WrongUse(f"{what}: a kind must have a contract, got '{event.kind}': {hint}")
        contract = contracts[event.kind]
        if key not in contract.columns:
            raise WrongUse(f"{what}: events of '{event.kind}' must have a key {key}, got none")
        listed = [p.allowed for p in contract.properties if p.column == "name" and p.allowed]
        for name in event.names if listed else ():
            if name not in listed[0]:
                hint = nearest(name, listed[0])
                raise WrongUse(f"{what}: '{event.kind}' must have the name, got '{name}': {hint}")


def _require_apart(target: Target, several: list[View]) -> None:
    """WrongUse for views of other entities, and for columns of one name."""
    what = f"target '{target.name}'"
    for each in several:
        if each.entity != target.entity:
            raise WrongUse(
                f"{what}: views must be of {target.entity}, got '{each.name}' of {each.entity}:"
                " take another view"
            )
        if taken := set(ROW_COLUMNS) & set(each.columns):
            raise WrongUse(
                f"{what}: every row has {', '.join(ROW_COLUMNS)}, got {sorted(taken)} in view"
                f" '{each.name}' too: rename it there"
            )
    for one, other in combinations(several, 2):
        if twice := sorted(set(one.columns) & set(other.columns)):
            raise WrongUse(
                f"{what}: columns of several views must differ, got '{twice[0]}' in"
                f" '{one.name}' and in '{other.name}': rename one, or leave a view out"
            )


def _require_numbers(target: Target) -> None:
    """WrongUse for a monotone feature that the views lack, or that is a text."""
    features = {feature.name: feature for feature in target.features.features}
    for name in target.monotone:
        what = f"target '{target.name}', monotone"
        if name not in features:
            raise WrongUse(
                f"{what}: a feature must be of the views, got '{name}': {nearest(name, features)}"
            )
        if pa.types.is_string(features[name].type):
            raise WrongUse(
                f"{what}: a feature must be a number, got the text '{name}': leave it out"
            )


def _require_columns(target: Target) -> None:
    """WrongUse for a segment or an attribute of fairness that the views lack."""
    for place in ("segments", "fairness"):
        for name in getattr(target, place):
            if name not in target.features.columns:
                raise WrongUse(
                    f"target '{target.name}', {place}: a feature must be of the views, got"
                    f" '{name}': {nearest(name, target.features.columns)}"
                )

"""Targets: what a model is to predict, declared, not programmed.

A row of a target is one entity at one moment T = anchor event + delay (+ k times `every_days`). Its
label is positive when the label event happens in T <= event_time < T + horizon. It is mature when
that horizon and `settle_days` have passed: an immature row is neither positive nor negative. With
`among_closed` a row that neither label nor closing reached within the horizon stays immature too:
open records of an export may lack what is only filled when they close.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from cluster import canonical
from cluster.settings import Frozen, load, named
from features import views


class Named(Frozen):
    """An event by kind and, if given, by name."""

    kind: str
    names: tuple[str, ...] = ()


class Target(Frozen):
    """One thing to predict."""

    name: str = Field(pattern="^[a-z][a-z0-9_]*$")
    description: str
    entity: Literal["lead", "account", "opportunity"]
    anchor: Named
    delay_days: float = Field(default=0, ge=0)
    every_days: float = Field(default=7, gt=0)
    times: int = Field(default=1, ge=1, le=1000)
    horizon_days: float = Field(gt=0)
    settle_days: float = Field(default=0, ge=0)
    label: Named
    closed_by: tuple[Named, ...] = ()
    among_closed: bool = False  # judge only rows that were closed, one way or the other, in time
    view: str
    metric: Literal["log_loss"] = "log_loss"
    rules: tuple[dict[str, Any], ...] = ()

    @property
    def version(self) -> str:
        """Hash over the whole declaration."""
        return canonical.digest(self.model_dump(mode="json"))[:16]

    @property
    def features(self) -> views.View:
        """The view whose columns the model sees."""
        return views.view(self.view)

    @property
    def training_table(self) -> str:
        """Name of the table of labelled rows."""
        return f"training_{self.name}"

    @property
    def scoring_table(self) -> str:
        """Name of the table of open entities."""
        return f"scoring_{self.name}"

    @property
    def scores_table(self) -> str:
        """Name of the table of their scores."""
        return f"scores_{self.name}"


def load_target(name: str) -> Target:
    """Read configs/targets/<name>.yaml, or the file given; its view must be declared."""
    target = load(Target, named("targets", name))
    views.view(target.view)
    return target

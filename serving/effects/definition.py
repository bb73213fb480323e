"""Definitions: which effect is to be learnt, declared, not programmed.

A lot gives an entity one of several arms at a moment T: treated or control. Where nothing was
drawn, `within_days` makes lots of history: an entity is treated when the event comes within so many
days of T, and is followed from the end of them, if it is still there (a landmark: Anderson, Cain
and Gelber 1983, J. Clin. Oncol. 1, 710-719), so that nobody is treated for having lasted.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cluster import canonical
from cluster.errors import WrongUse, nearest
from cluster.settings import Frozen, load, named
from features.targets import Named, Target
from features.views import view
from serving.forecast.funnels import load_funnel

CONTROL = "control"
CAUSES = ("forward", "lost")
MOST_HORIZONS, MOST_ARMS = 6, 8

type Days = Annotated[float, Field(gt=0, le=3_650, allow_inf_nan=False)]
type Name = Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")]


class Lots(Frozen):
    """The events that say who was given what, and when."""

    events: Named
    # of each arm, which texts of the events say it; the control is called control
    arms: dict[Name, tuple[str, ...]] = {}
    # whose chance the number of a lot is, in millionths: of treatment, or of the arm that was drawn
    chance: Literal["treated", "drawn"] | None = None
    anchor: Named | None = None  # without lots that were drawn: T, and so many days
    delay_days: float = Field(default=0, ge=0, le=3_650)
    within_days: Days | None = None

    @model_validator(mode="after")
    def _drawn_or_not(self) -> Self:
        if (self.anchor is None) != (self.within_days is None):
            raise ValueError("anchor and within_days must come together")
        if (self.within_days is None) == (not self.arms):
            raise ValueError("give either arms, of lots, or anchor and within_days")
        if self.arms and (CONTROL not in self.arms or not 2 <= len(self.arms) <= MOST_ARMS):
            raise ValueError(f"arms must be control and others, got {sorted(self.arms)}")
        texts = [text for said in self.arms.values() for text in said]
        if len(set(texts)) < len(texts):
            raise ValueError(f"a text must say one arm, got {sorted(texts)}")
        if self.chance == "treated" and len(self.arms) > 2:
            raise ValueError("chance must be 'drawn' where there are several treatments")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The arms, the control first."""
        others = [name for name in self.arms if name != CONTROL] or ["treated"]
        return (CONTROL, *others)


class Outcome(Frozen):
    """What may come of it: that an event happens within a horizon, or the sum of its numbers."""

    name: Name
    events: Named
    measure: Literal["happens", "sum"] = "happens"
    unit: str = ""  # of a sum: what one is called
    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False)  # of a sum: one, in numbers
    targeting: bool = False  # is it learnt whom the action helps most?


class Before(Frozen):
    """An outcome from before T, on which the action can have had no effect."""

    name: Name
    events: Named
    days: Days


class Definition(Frozen):
    """One action, whose effect is to be learnt."""

    action: Name
    description: str
    entity: Literal["lead", "opportunity"] = "lead"
    born: Named  # the event by which an entity is there
    funnel: str | None = None  # its causes are outcomes too
    lots: Lots
    only_by_chance: bool = False  # refused without logged propensities
    lasts_days: Days = 28  # for how long an action counts, as a change of hazards
    outcomes: tuple[Outcome, ...] = ()
    horizons_days: tuple[Days, ...] = Field(default=(30, 60, 90), max_length=MOST_HORIZONS)
    settle_days: float = Field(default=3, ge=0, le=365)  # until what happened is known
    views: tuple[str, ...] = Field(min_length=1)  # what may say both who is treated and the outcome
    segments: tuple[str, ...] = ()  # of their features
    bands: int = Field(default=3, ge=1, le=10)  # of what is expected without the action
    cost: float = Field(default=0.0, ge=0, allow_inf_nan=False)  # of one action, in outcomes' units
    negative_controls: tuple[Before, ...] = ()
    ratio: float = Field(default=1.2, gt=1, le=10)  # that an experiment should find

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        if not self.outcomes and self.funnel is None:
            raise ValueError("give outcomes, or a funnel, got neither")
        told = (each.name for each in self.outcomes)
        names = [*told, *(each.name for each in self.negative_controls), *CAUSES]
        if len(set(names)) < len(names):
            raise ValueError(f"names of outcomes must differ, and from {CAUSES}, got {names}")
        if not self.horizons_days or list(self.horizons_days) != sorted(set(self.horizons_days)):
            raise ValueError(f"horizons_days must rise, got {list(self.horizons_days)}")
        units = {(each.measure, each.unit) for each in self.outcomes if each.targeting}
        if self.cost and len(units) > 1:
            raise ValueError(f"a cost is in the unit of what is targeted, got {sorted(units)}")
        return self

    @property
    def version(self) -> str:
        """Hash over the whole declaration."""
        return canonical.digest(self.model_dump(mode="json"))[:16]

    @property
    def ref(self) -> str:
        """The name of what is learnt."""
        return ref(self.funnel, self.action)

    def is_counted(self, events: Named) -> bool:
        """Does a feature look at such events?"""
        looks = [of.events for name in self.views for of in view(name).features]
        names = set(events.names)
        return any(
            of.kind == events.kind and (not of.names or not names or bool(names & set(of.names)))
            for of in looks
        )

    @property
    def target(self) -> Target:
        """The target whose rows have the features that are known at T."""
        return Target(
            name=f"effect_{self.action}",
            description=self.description,
            entity=self.entity,
            anchor=self.born,
            horizon_days=max(self.horizons_days),
            label=self.outcomes[0].events if self.outcomes else self.lots.events,
            views=self.views,
        )


def ref(funnel: str | None, action: str) -> str:
    """Return the name under which the effect of an action in a funnel is kept."""
    return f"effects/{funnel or 'none'}/{action}"


def load_definition(name: str) -> Definition:
    """Read configs/effects/<name>.yaml, or the file given; WrongUse says what is wrong in a
    line.
    """
    definition = load(Definition, named("effects", name))
    what = f"effect '{definition.action}'"
    if definition.funnel is not None:
        load_funnel(definition.funnel)
    for each in [view(name) for name in definition.views]:
        if each.entity != definition.entity:
            raise WrongUse(
                f"{what}: views must be of {definition.entity}, got '{each.name}' of"
                f" {each.entity}: take another view"
            )
    columns = definition.target.features.columns
    for name in definition.segments:
        if name not in columns:
            raise WrongUse(
                f"{what}, segments: a feature must be of the views, got '{name}':"
                f" {nearest(name, columns)}"
            )
    return definition

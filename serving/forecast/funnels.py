"""Funnels: the course of a company's leads and deals, declared, not programmed.

A unit of a funnel is in one stage at a time, or won, or lost. An event that names a deal is about
the unit of that deal, one that names a lead alone about the unit of the lead. A lead that becomes
a deal stays the same unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from cluster.settings import CONFIGS, Frozen, load, named
from features.targets import Named

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = 86_400_000_000  # microseconds
MOST_STAGES, MOST_BANDS = 30, 20

type Key = Literal["rep", "product", "campaign"]
type Whole = Annotated[int, Field(ge=0, le=1_000)]


class Stage(Frozen):
    """A stage: whose it is, and the events that say that a unit entered it."""

    name: str = Field(pattern="^[a-z][a-z0-9_]*$")
    entity: Literal["lead", "opportunity"]
    entered: tuple[Named, ...] = Field(min_length=1)


class Told(Frozen):
    """What says a property of a unit: an attribute, of the deal or else the lead or else the
    account, or the key that the newest of the funnel's events names.
    """

    attribute: str | None = None
    key: Key | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.attribute is None) == (self.key is None):
            raise ValueError("give one of attribute and key")
        return self


class Scores(Frozen):
    """Whose scores tell units apart, and into how many bands of equal size they are cut."""

    target: str
    bands: int = Field(default=5, ge=2, le=50)


class Input(Frozen):
    """Something counted that may bring units later, such as the touches of a campaign."""

    name: str = Field(pattern="^[a-z][a-z0-9_]*$")
    events: Named
    measure: Literal["count", "sum"] = "count"  # of the events, or of their numbers
    lag_steps: int = Field(default=1, ge=0, le=60)


class Contacts(Frozen):
    """Events that wear a unit out, and after how many days half of it is forgotten."""

    events: tuple[Named, ...] = Field(min_length=1)
    half_life_days: float = Field(default=14, gt=0, le=3_650)


class Funnel(Frozen):
    """One course: the stages in order, and the two ends."""

    name: str = Field(pattern="^[a-z][a-z0-9_]*$")
    description: str
    step_days: Literal[1, 7] = 7
    bands: tuple[Whole, ...] = Field(default=(0, 1, 2, 4, 8, 13), max_length=MOST_BANDS)
    stages: tuple[Stage, ...] = Field(min_length=1, max_length=MOST_STAGES)
    deals_from: str | None = None  # the first stage of a deal; none: units are never deals
    won: tuple[Named, ...] = Field(min_length=1)
    lost: tuple[Named, ...] = ()
    amount: tuple[Named, ...] = ()  # events whose number is what a deal is worth from then on
    close_day: tuple[Named, ...] = ()  # events whose number is the day on which it should close
    segment: Told | None = None
    team: Told | None = None
    owner: Told | None = None
    scores: tuple[Scores, ...] = ()  # of leads, of deals, or both; the latest of a unit counts
    inputs: tuple[Input, ...] = ()
    contacts: Contacts | None = None

    @field_validator("scores", mode="before")
    @classmethod
    def _one_or_several(cls, given: object) -> object:
        return (given,) if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _scores_differ(self) -> Self:
        targets = [each.target for each in self.scores]
        if len(set(targets)) < len(targets):
            raise ValueError(f"scores must name each target once, got {targets}")
        return self

    @model_validator(mode="after")
    def _bands_rise(self) -> Self:
        if not self.bands or self.bands[0] != 0 or (np.diff(self.bands) <= 0).any():
            raise ValueError(f"bands must begin with 0 and rise, got {list(self.bands)}")
        return self

    @model_validator(mode="after")
    def _stages_in_order(self) -> Self:
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"names of stages must differ, got {names}")
        if self.deals_from is not None and self.deals_from not in names:
            raise ValueError(f"deals_from must be one of {names}, got '{self.deals_from}'")
        entities = [stage.entity for stage in self.stages]
        should = ["lead" if n < self.first_deal else "opportunity" for n in range(len(names))]
        if entities != should:
            raise ValueError(f"stages before deals_from are of leads, the rest of opportunities:"
                             f" must be {should}, got {entities}")  # fmt: skip
        return self

    @model_validator(mode="after")
    def _each_event_says_one_thing(self) -> Self:
        seen: dict[tuple[str, str], str] = {}
        for state, event in self.declared:
            for name in event.names or ("",):
                place = (event.kind, name)
                if (said := seen.setdefault(place, state)) != state:
                    what = " ".join(filter(None, place))
                    raise ValueError(f"'{what}' must say one thing, got '{said}' and '{state}'")
        return self

    @property
    def declared(self) -> Iterator[tuple[str, Named]]:
        """The events that move units: the name of the state they lead to, and the event."""
        for stage in self.stages:
            yield from ((stage.name, event) for event in stage.entered)
        yield from (("won", event) for event in self.won)
        yield from (("lost", event) for event in self.lost)

    @property
    def states(self) -> tuple[str, ...]:
        """The stages in order, then won, then lost; a state is known by its place here."""
        return (*(stage.name for stage in self.stages), "won", "lost")

    @property
    def won_state(self) -> int:
        """Number of the state won."""
        return len(self.stages)

    @property
    def lost_state(self) -> int:
        """Number of the state lost."""
        return len(self.stages) + 1

    @property
    def first_deal(self) -> int:
        """Number of the first stage of a deal; that of won if units are never deals."""
        names = [stage.name for stage in self.stages]
        return names.index(self.deals_from) if self.deals_from in names else len(names)

    @property
    def begins(self) -> tuple[int, ...]:
        """Where units begin, by kind: leads first, then deals that no lead became."""
        deals = (self.first_deal,) if self.first_deal < len(self.stages) else ()
        return (0, *deals) if self.first_deal > 0 else deals

    @property
    def step(self) -> int:
        """Microseconds of a step."""
        return self.step_days * DAY

    @property
    def step_name(self) -> str:
        """What a step is, in a word."""
        return "day" if self.step_days == 1 else "week"

    @property
    def band_of(self) -> np.ndarray:
        """The band by whole steps in a stage, int64; the last holds for all beyond."""
        stayed = np.arange(self.bands[-1] + 1)
        return np.searchsorted(self.bands, stayed, side="right") - 1

    @property
    def told(self) -> tuple[Told | None, Told | None, Told | None]:
        """What says segment, team and owner."""
        return self.segment, self.team, self.owner


def names() -> tuple[str, ...]:
    """Return the funnels that are configured."""
    return tuple(sorted(path.stem for path in (CONFIGS / "funnels").glob("*.yaml")))


def load_funnel(name: str) -> Funnel:
    """Read configs/funnels/<name>.yaml, or the file given; WrongUse says what is wrong in a
    line."""
    return load(Funnel, named("funnels", name))


def banded(band_of: np.ndarray, stayed: np.ndarray) -> np.ndarray:
    """Return the band of each number of whole steps."""
    return np.asarray(band_of[np.clip(stayed, 0, len(band_of) - 1)])

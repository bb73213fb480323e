"""Evidence: what a lever does, and how that is known. An answer is as good as its weakest grade."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import Field

from cluster.settings import Frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

ESTIMATED = "estimated"


class Grade(StrEnum):
    """How the effect of a lever is known, best first."""

    RANDOMISED = "randomised"
    OBSERVATIONAL = "observational"
    ASSUMPTION = "assumption"

    @property
    def code(self) -> str:
        """E1 for the best, E3 for the weakest."""
        return f"E{1 + list(Grade).index(self)}"


GRADE_WORDS = {
    None: "business as usual: no lever, no assumed effect",
    Grade.RANDOMISED: "randomised: measured here, by chance assignment with logged propensity",
    Grade.OBSERVATIONAL: "observational: from history, not randomised; hidden causes may bias it",
    Grade.ASSUMPTION: "assumption: the planner's number, nothing measured here supports it",
}


class Effect(Frozen):
    """What a contact does to the odds of a unit to go forward in a step, and to be lost, against
    no contact.
    """

    ratio: float = Field(gt=0.0, allow_inf_nan=False)  # of going forward
    sd: float = Field(ge=0.0, allow_inf_nan=False)  # standard error of the log ratio
    lost_ratio: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)  # of being lost
    lost_sd: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    grade: Grade
    lasts: int = Field(default=4, ge=1, le=260)  # steps


class Response(Frozen):
    """How arrivals answer to a budget: they change by the budget's factor to this power."""

    elasticity: float = Field(ge=-1.0, le=3.0, allow_inf_nan=False)
    sd: float = Field(ge=0.0, allow_inf_nan=False)
    grade: Grade
    lag_steps: int = Field(default=0, ge=0, le=60)  # from the spend to what it brings


def lowest(grades: Iterable[Grade]) -> Grade | None:
    """Return the weakest of some grades; None of none."""
    return max(grades, key=list(Grade).index, default=None)

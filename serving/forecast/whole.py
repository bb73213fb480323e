"""Spans of draws put together as they come: each is let go of at once, as all of them are large."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from serving.forecast.folded import Folded
from serving.forecast.given import Outcome

if TYPE_CHECKING:
    from serving.forecast.kernel import Span

Kind = TypeVar("Kind", bound=Outcome | Folded)


class Whole[Kind: Outcome | Folded]:
    """The outcomes of every arm, of so many draws."""

    def __init__(self, draws: int) -> None:
        self._draws = draws
        self._arms: tuple[Kind, ...] = ()

    def put(self, span: Span, outcomes: tuple[Kind, ...]) -> None:
        """Take in the outcomes of a span, one of each arm."""
        if not self._arms:
            self._arms = tuple(
                type(outcome)(*(self._room(array) for array in outcome)) for outcome in outcomes
            )
        rows = slice(span.first_draw, span.first_draw + span.draws)
        for arrays, outcome in zip(self._arms, outcomes, strict=True):
            for array, part in zip(arrays, outcome, strict=True):
                array[rows] = part

    @property
    def outcomes(self) -> tuple[Kind, ...]:
        """The outcomes, once every span is in."""
        return self._arms

    def _room(self, like: np.ndarray) -> np.ndarray:
        return np.empty((self._draws, *like.shape[1:]), like.dtype)

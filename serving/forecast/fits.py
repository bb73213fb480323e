"""What must fit together before the kernel may run: it looks up places without asking whether they
exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from serving.forecast.desks import DISCIPLINES
from serving.forecast.luck import MOST_KINDS, MOST_LEVERS, MOST_SEGMENTS
from serving.forecast.philox import MOST_DRAWS, MOST_STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.forecast.desks import Desks
    from serving.forecast.given import Arrivals, Frame, Parameters, Start
    from serving.forecast.growth import Growth
    from serving.forecast.kernel import Span
    from serving.forecast.levers import Levers

_FIRST_HALF = 2**63  # names from here on are those of arrivals
_CLOSE = 1e-9
_MOST_STAYED = 2**30
_MOST_LASTS = 2**29

type Rules = Iterator[tuple[str, bool]]


def require(
    start: Start,
    arrivals: Arrivals,
    frame: Frame,
    parameters: Parameters,
    *,
    levers: Levers,
    desks: Desks,
    span: Span,
    growth: Growth,
) -> None:
    """Raise ValueError with every rule that does not hold."""
    strata, groups = arrivals.share.shape[1:]
    sizes = {"strata": strata, "groups": groups, "stages": frame.stages}
    sizes |= {"desks": desks.discipline.size, "levers": levers.rate.size, "parts": 2}
    rules = [
        *_of_start(start, sizes),
        *_of_arrivals(arrivals, sizes),
        *_of_frame(frame, parameters, sizes),
        *_of_parameters(parameters, arrivals, frame, span),
        *_of_levers(levers, sizes),
        *_of_desks(desks, sizes, span),
        *_of_growth(growth, arrivals, sizes),
        ("seed, draws and steps are within what addresses hold", _addressed(span)),
    ]
    broken = [rule for rule, holds in rules if not holds]
    if broken:
        raise ValueError(f"what is simulated must fit together; broken: {'; '.join(broken)}")


def _of_start(start: Start, sizes: dict[str, int]) -> Rules:
    yield "the fields of the start are as long as its names", len({x.size for x in start}) == 1
    kinds = ("stages", "strata", "groups", "desks", "parts")
    for places, kind in zip(
        (start.stage, start.stratum, start.group, start.desk, start.part), kinds, strict=True
    ):
        yield f"places of the start lie within the {kind}", _within(places, sizes[kind])
    yield "names of the start are below 2^63", bool((start.name < np.uint64(_FIRST_HALF)).all())
    yield "steps stayed are 0 or more", _within(start.stayed, _MOST_STAYED)
    yield "what is felt is 0 or more", bool((start.tired >= 0.0).all())


def _of_arrivals(arrivals: Arrivals, sizes: dict[str, int]) -> Rules:
    kinds = arrivals.stage.size
    totals = arrivals.share.sum(axis=(1, 2))
    yield "arrivals are in one row per kind", arrivals.share.shape[0] == kinds <= MOST_KINDS
    yield "arrivals begin in a stage", _within(arrivals.stage, sizes["stages"])
    yield "shares of arrivals add up to 1", bool((np.abs(totals - 1.0) < _CLOSE).all())
    yield "shares of arrivals are 0 or more", bool((arrivals.share >= 0.0).all())
    desks = arrivals.desk_of
    yield (
        "each group has a desk",
        (desks.size == sizes["groups"] and _within(desks, sizes["desks"])),
    )


def _of_frame(frame: Frame, parameters: Parameters, sizes: dict[str, int]) -> Rules:
    segments = parameters.shock_sd.size - 1
    known = frame.segment_of.size == sizes["groups"] and _within(frame.segment_of, segments)
    yield "each group has a segment, and each segment a shock", known and segments < MOST_SEGMENTS
    bands = parameters.moves.shape[3]
    yield "each step stayed has a band", frame.band_of.size > 0 and _within(frame.band_of, bands)


def _of_parameters(parameters: Parameters, arrivals: Arrivals, frame: Frame, span: Span) -> Rules:
    draws, kinds, stages = span.draws, arrivals.stage.size, frame.stages
    strata, bands = arrivals.share.shape[1], parameters.moves.shape[3]
    moves = parameters.moves
    yield "moves are by draw, stratum, stage, band and destination", moves.shape == (
        draws, strata, stages, bands, stages + 2
    )  # fmt: skip
    near = bool((np.abs(moves.sum(axis=-1) - 1.0) < _CLOSE).all())
    yield "chances are 0 or more and add up to 1", bool((moves >= 0.0).all()) and near
    yield "rates are by draw, step and kind", parameters.rates.shape == (draws, span.steps, kinds)
    tilt = parameters.tilt
    whole = tilt.shape == (span.steps, stages) and bool(np.isfinite(tilt).all())
    yield "tilts are by step and stage", whole
    level = parameters.level
    whole = level.shape == (draws, span.steps) and bool(np.isfinite(level).all())
    yield "levels are by draw and step", whole
    yield "rates are 0 or more", bool((parameters.rates >= 0.0).all())
    yield "each kind has a spread", parameters.spread.shape == (kinds,)
    amounts = parameters.amounts.shape == parameters.revised.shape == (draws, 2)
    yield "amounts and revisions are by draw", amounts


def _of_levers(levers: Levers, sizes: dict[str, int]) -> Rules:
    n = sizes["levers"]
    yield "there are at most 256 levers", n <= MOST_LEVERS
    for mask, kind in (
        (levers.stages, "stages"),
        (levers.strata, "strata"),
        (levers.groups, "groups"),
    ):
        yield f"levers say yes or no for all {kind}", mask.shape == (n, sizes[kind])
    yield "levers say yes or no for all parts", levers.parts.shape == (n, sizes["parts"] + 1)
    several = (levers.stages, levers.strata, levers.groups, levers.parts, levers.share)
    single = [x for x in levers if isinstance(x, np.ndarray) and not any(x is y for y in several)]
    yield "each lever has each number", all(field.shape == (n,) for field in single)
    shape = (n, sizes["strata"], sizes["groups"])
    yield "levers have a share of each stratum and group", levers.share.shape == shape
    yield "shares are 0 to 1", bool(((levers.share >= 0.0) & (levers.share <= 1.0)).all())
    yield "steps stalled are 0 or more", _within(levers.stalled, _MOST_STAYED)
    yield "what is once is at once", not (levers.once & ~levers.at_once).any()
    yield "what is won is worth 0 or more", bool((levers.worth >= 0.0).all())
    lasts = levers.lasts
    yield "a contact lasts 1 to 2^29 steps", bool(((lasts >= 1) & (lasts <= _MOST_LASTS)).all())
    yield "what is left of being tired is a share", 0.0 <= levers.decay <= 1.0


def _of_desks(desks: Desks, sizes: dict[str, int], span: Span) -> Rules:
    n = sizes["desks"]
    yield "each desk has a capacity in each step", desks.capacity.shape == (n, span.steps)
    yield "each desk has a discipline", _within(desks.discipline, len(DISCIPLINES))
    yield "each stratum has a rank", desks.rank.shape == (sizes["strata"],)


def _of_growth(growth: Growth, arrivals: Arrivals, sizes: dict[str, int]) -> Rules:
    n = growth.budget.size
    yield "there are at most 256 campaigns", n <= MOST_LEVERS
    masks = growth.kinds.shape == (n, arrivals.stage.size)
    yield "campaigns say yes or no for all kinds", masks
    yield "campaigns say yes or no for all groups", growth.groups.shape == (n, sizes["groups"])
    yield "each campaign has each number", all(field.shape == (n,) for field in growth[2:])
    yield "budgets are 0 or more", bool((growth.budget >= 0.0).all())


def _addressed(span: Span) -> bool:
    last = span.first_draw + span.draws
    positive = min(span.seed, span.first_draw, span.draws, span.steps) >= 0
    return positive and span.seed < _FIRST_HALF and last <= MOST_DRAWS and span.steps <= MOST_STEPS


def _within(places: np.ndarray, size: int) -> bool:
    return places.size == 0 or bool(places.min() >= 0 and places.max() < size)

"""Sales' records: work of the reps, deals, stages, objections and outcomes, some entered late."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from features.sources.world import course, effort
from features.sources.world.chance import DAY, HOUR, SECOND, WEEK, delays
from features.sources.world.rows import Block, Words

if TYPE_CHECKING:
    from features.sources.world.appointments import Appointments
    from features.sources.world.division import Division
    from features.sources.world.entities import Entities
    from features.sources.world.story import Story

# mean hours until a deal's change, a piece of work or an invitation is known
BY_HAND, CALENDAR, AT_ONCE = 1.0, 3.0, 0.05
LATE_SHARE, LATEST_DAYS = 0.15, 2.0  # of the changes of deals
LOSSES = ("competitor", "timing", "no_decision", "price")
CONCERNS, BUDGET_SHARE = ("price", "budget"), 0.25  # how an objection to the price is put
PRICE_LOSS = 0.6  # share of losses after an objection that are put down to the price
DISCOUNT = 0.07  # given per objection against the price


def records(division: Division, told: Story, who: Entities) -> list[Block]:
    """Return everything that reps write down."""
    return [
        *_opened(division, told, who),
        _stages(division, told, who),
        _objections(division, told, who),
        *_outcomes(division, told, who),
        *_work(division, told, who),
        *_calendar(division, told, who),
    ]


def _opened(division: Division, told: Story, who: Entities) -> list[Block]:
    deals, deal = told.deals, np.arange(len(told.deals.lead))
    lag = _by_hand(division.stream("opening records"), len(deal))
    as_lead = who.of_lead(deals.lead, "rep") | {"opportunity": who.key("opportunity", deal)}
    as_deal = who.of_deal(deal, "lead", "rep", "product")
    qualified = Block(kind="lead", name="qualified", time=deals.created, lag=lag, keys=as_lead)
    created = Block(
        kind="opportunity",
        name="created",
        time=deals.created,
        lag=lag,
        keys=as_deal,
        number=deals.cents,
    )
    first = Block(
        kind="stage",
        name=course.STAGES[0],
        time=deals.created,
        lag=lag,
        keys=who.of_deal(deal, "rep"),
    )
    return [qualified, created, first]


def _stages(division: Division, told: Story, who: Entities) -> Block:
    moves = told.course.moves
    moves = moves.where(moves.stage < course.WON)
    return Block(
        kind="stage",
        name=Words(vocabulary=course.STAGES, codes=moves.stage),
        time=moves.time,
        lag=_by_hand(division.stream("stage records"), len(moves.deal)),
        keys=who.of_deal(moves.deal, "rep"),
    )


def _objections(division: Division, told: Story, who: Entities) -> Block:
    objected, rng = told.course.objections, division.stream("concerns")
    concern = (rng.random(len(objected.deal)) < BUDGET_SHARE).astype(np.int64)
    return Block(
        kind="objection",
        name=Words(vocabulary=CONCERNS, codes=concern),
        time=objected.time,
        lag=_by_hand(division.stream("objection records"), len(objected.deal)),
        keys=who.of_deal(objected.deal, "rep"),
    )


def _outcomes(division: Division, told: Story, who: Entities) -> list[Block]:
    rng, moves, ran = division.stream("outcome records"), told.course.moves, told.course
    won, lost = (moves.where(moves.stage == end) for end in (course.WON, course.LOST))
    objections = ran.final.objections
    discount = 1.0 - DISCOUNT * np.minimum(objections[won.deal], 3)
    reason = rng.integers(0, len(LOSSES) - 1, len(lost.deal))
    is_price = (objections[lost.deal] > 0) & (rng.random(len(reason)) < PRICE_LOSS)
    is_last = lost.time // WEEK - told.deals.week[lost.deal] == division.config.deal_weeks - 1
    reason = np.select(
        [is_last, is_price], [LOSSES.index("no_decision"), LOSSES.index("price")], reason
    )
    return [
        Block(
            kind="outcome",
            name="won",
            time=won.time,
            lag=_by_hand(rng, len(won.deal)),
            keys=who.of_deal(won.deal, "lead", "rep", "product"),
            number=(told.deals.cents[won.deal] * discount).round().astype(np.int64),
        ),
        Block(
            kind="outcome",
            name="lost",
            time=lost.time,
            lag=_by_hand(rng, len(lost.deal)),
            keys=who.of_deal(lost.deal, "lead", "rep", "product"),
            text=Words(vocabulary=LOSSES, codes=reason),
        ),
    ]


def _work(division: Division, told: Story, who: Entities) -> list[Block]:
    rng, work = division.stream("work records"), told.effort
    on_leads, on_deals = work.where(~work.is_deal), work.where(work.is_deal)
    return [
        _pieces(rng, on_leads, who.of_lead(on_leads.row, "rep")),
        _pieces(rng, on_deals, who.of_deal(on_deals.row, "lead", "rep")),
    ]


def _calendar(division: Division, told: Story, who: Entities) -> list[Block]:
    rng, held = division.stream("calendar records"), told.appointments
    on_deal = held.work.is_deal
    blocks = []
    for is_deal in (False, True):
        fixed = held.where(on_deal == is_deal)
        row = fixed.work.row
        keys = who.of_deal(row, "lead", "rep") if is_deal else who.of_lead(row, "rep")
        blocks += _appointments(rng, fixed, keys)
    return blocks


def _appointments(
    rng: np.random.Generator, fixed: Appointments, keys: dict[str, Words]
) -> list[Block]:
    missed = ~fixed.is_held & ~fixed.is_cancelled
    # an appointment is an event at its own time, and what is planned is known before
    facts = [
        ("scheduled", fixed.scheduled, np.ones(len(missed), dtype=bool)),
        ("cancelled", fixed.cancelled, fixed.is_cancelled),
        ("no_show", fixed.work.time, missed),
    ]
    return [
        Block(
            kind="calendar",
            name=name,
            time=fixed.work.time[keep],
            lag=(told - fixed.work.time)[keep] + delays(rng, int(keep.sum()), AT_ONCE),
            keys={column: words.where(keep) for column, words in keys.items()},
            number=np.full(int(keep.sum()), HOUR // SECOND),
        )
        for name, told, keep in facts
    ]


def _pieces(rng: np.random.Generator, work: effort.Effort, keys: dict[str, Words]) -> Block:
    mean, spread = effort.LOG_SECONDS[work.name].T
    return Block(
        kind="activity",
        name=Words(vocabulary=effort.NAMES, codes=work.name),
        time=work.time,
        lag=delays(rng, len(work.row), CALENDAR),
        keys=keys,
        number=1 + np.exp(rng.normal(mean, spread)).astype(np.int64),
    )


def _by_hand(rng: np.random.Generator, count: int) -> np.ndarray:
    late = rng.uniform(0.0, LATEST_DAYS * DAY, count).astype(np.int64)
    is_late = rng.random(count) < LATE_SHARE
    prompt = np.minimum(delays(rng, count, BY_HAND), DAY)
    return np.asarray(np.where(is_late, np.maximum(late, prompt), prompt))

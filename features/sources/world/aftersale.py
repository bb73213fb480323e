"""After the sale: the records of sessions, of requests to support and of customers who leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from features.sources.world import customers, support, usage
from features.sources.world.chance import HOUR, NEVER, SECOND, WEEK, delays
from features.sources.world.rows import Block, Words

if TYPE_CHECKING:
    from features.sources.world.division import Division
    from features.sources.world.entities import Entities
    from features.sources.world.story import Story

PRODUCT, DESK, BY_HAND = 1.0, 0.5, 12.0  # mean hours until it is known
ANSWER_AFTER = 3 * HOUR  # from the end of a request to the answer how satisfied


def records(division: Division, told: Story, who: Entities) -> list[Block]:
    """Return everything that the product, the desk and those who look after customers write."""
    return [
        _sessions(division, told, who),
        *_support(division, told, who),
        _churn(division, told, who),
    ]


def _sessions(division: Division, told: Story, who: Entities) -> Block:
    rng = division.stream("usage records")
    account = np.concatenate([told.usage.account, told.customers.session_account])
    return Block(
        kind="usage",
        name="session",
        time=np.concatenate([told.usage.time, told.customers.session_time]),
        lag=delays(rng, len(account), PRODUCT),
        keys={"account": who.key("account", account)},
        number=1 + np.exp(rng.normal(*usage.LOG_SECONDS, len(account))).astype(np.int64),
    )


def _support(division: Division, told: Story, who: Entities) -> list[Block]:
    rng, end = division.stream("usage records of support"), division.config.weeks * WEEK
    asked = support.joined(told.usage.tickets, told.customers.tickets)
    answered = asked.resolved + ANSWER_AFTER

    def heard(name: str, time: np.ndarray, place: np.ndarray) -> Block:
        place = place[time[place] < end]
        number = {
            "resolved": (asked.resolved - asked.opened) // SECOND,
            "rated": asked.satisfaction,
        }.get(name)
        return Block(
            kind="support",
            name=name,
            time=time[place],
            lag=delays(rng, len(place), DESK),
            keys={"account": who.key("account", asked.account[place])},
            number=None if number is None else number[place],
            text=Words(vocabulary=support.SUBJECTS, codes=asked.subject[place]),
        )

    everything = np.arange(len(asked.opened))
    return [
        heard("ticket", asked.opened, everything),
        heard("resolved", asked.resolved, everything),
        heard("rated", answered, np.flatnonzero(asked.satisfaction)),
    ]


def _churn(division: Division, told: Story, who: Entities) -> Block:
    lives = told.customers
    place = np.flatnonzero(lives.churned != NEVER)
    deal = lives.deal[place]
    return Block(
        kind="outcome",
        name="churned",
        time=lives.churned[place],
        lag=delays(division.stream("churn records"), len(place), BY_HAND),
        keys=who.of_deal(deal, "lead", "product"),
        text=Words(vocabulary=customers.REASONS, codes=lives.reason[place]),
    )

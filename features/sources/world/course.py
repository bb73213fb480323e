"""The course of the deals: through the stages to won or lost, one step a week.

In each week a deal advances, falls back or is lost with competing hazards that depend on its stage,
the weeks it has spent there, the buyer's engagement, a champion and objections against the price.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.sources.world.chance import HOUR, NEVER, OFFICE, moments

if TYPE_CHECKING:
    from features.sources.world.company import Market
    from features.sources.world.deals import Deals
    from features.sources.world.division import Division

STAGES = ("discovery", "evaluation", "proposal", "negotiation")
WON, LOST = len(STAGES), len(STAGES) + 1  # states after the last stage
# weekly log hazards of an average deal by stage; to advance from negotiation is to win
ADVANCE = np.array([-1.25, -1.55, -1.45, -1.55])
REGRESS = np.array([-np.inf, -4.2, -3.9, -3.7])
LOSE = np.array([-2.6, -2.5, -2.5, -2.5])
OBJECT = np.array([-4.0, -3.0, -2.3, -2.3])  # of an objection against the price


@dataclass(frozen=True, kw_only=True)
class Luck:
    """The luck of every deal in every week of its life: shape (deals, weeks)."""

    move: np.ndarray
    moved: np.ndarray  # microseconds
    objection: np.ndarray
    objected: np.ndarray  # microseconds


@dataclass(frozen=True, kw_only=True)
class State:
    """Where the deals stand; arrays of one entry per deal."""

    stage: np.ndarray  # position in STAGES, WON or LOST
    weeks: np.ndarray  # spent in it
    objections: np.ndarray  # against the price so far


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Things that happened to deals; arrays of one entry per thing."""

    deal: np.ndarray
    time: np.ndarray  # microseconds
    stage: np.ndarray  # entered, or held while it happened

    def where(self, keep: np.ndarray) -> Facts:
        """Return the facts with a true entry in `keep`."""
        return Facts(deal=self.deal[keep], time=self.time[keep], stage=self.stage[keep])


@dataclass(frozen=True, kw_only=True)
class Course:
    """Everything that happened to the deals."""

    moves: Facts
    objections: Facts
    final: State
    closed: np.ndarray  # per deal: microseconds, NEVER while it is open


def course(division: Division, opened: Deals, market: Market, strain: np.ndarray) -> Course:
    """Run every deal week by week to its outcome or the end of the period.

    `strain` is what recent requests to support add to the log hazard of losing, per deal and week.
    """
    count, steps = opened.engagement.shape
    luck, zero = _luck(division, opened), np.zeros(count, dtype=np.int64)
    state = State(stage=zero, weeks=zero, objections=zero)
    moves, objections = [], []
    for step in range(steps):
        state, moved, objected = _week((opened, strain), market, luck, state, step)
        moves.append(moved)
        objections.append(objected)
    happened = _joined(moves)
    is_end = happened.stage >= WON
    closed = np.full(count, NEVER)
    closed[happened.deal[is_end]] = happened.time[is_end]
    return Course(moves=happened, objections=_joined(objections), final=state, closed=closed)


def _week(
    strained: tuple[Deals, np.ndarray], market: Market, luck: Luck, state: State, step: int
) -> tuple[State, Facts, Facts]:
    opened, strain = strained
    week, last = opened.week + step, len(market.shock) - 1
    mood = market.mood[np.minimum(week, last)]
    push = mood + market.push[np.minimum(week, last)]
    runs = (state.stage < WON) & (week <= last)
    draw = luck.move[:, step]
    target = _target((opened, strain), state, draw, step, (mood, push))
    if step == luck.move.shape[1] - 1:
        target = np.full_like(target, LOST)
    moves = runs & (target != state.stage) & (luck.moved[:, step] > opened.created + HOUR)
    stage = np.minimum(state.stage, WON - 1)
    objects = runs & (luck.objection[:, step] < np.exp(OBJECT[stage] + 0.6 * opened.thrift))
    objects &= luck.objected[:, step] > opened.created + HOUR
    # the move of this week may close the deal, and nothing is said after that
    objects &= ~moves | (luck.objected[:, step] < luck.moved[:, step])
    after = State(
        stage=np.where(moves, target, state.stage),
        weeks=np.where(moves, 0, state.weeks + 1),
        objections=state.objections + objects,
    )
    moved = _facts(moves, luck.moved[:, step], target)
    return after, moved, _facts(objects, luck.objected[:, step], stage)


def _target(
    strained: tuple[Deals, np.ndarray],
    state: State,
    luck: np.ndarray,
    step: int,
    mood: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    opened, strain = strained
    stage = np.minimum(state.stage, WON - 1)
    drive, champion = opened.engagement[:, step], opened.has_champion
    push = np.where(stage == WON - 1, mood[1], mood[0])
    weeks, objections = np.minimum(state.weeks, 12), np.minimum(state.objections, 3)
    advance = ADVANCE[stage] + 0.4 * drive + 0.25 * champion - 0.02 * weeks + push
    advance -= 0.2 * objections * (stage == WON - 1)
    regress = REGRESS[stage] - 0.2 * drive + 0.2 * objections
    lose = LOSE[stage] - 0.55 * drive - 0.4 * champion + 0.35 * objections + 0.03 * weeks
    lose += strain[:, step]
    rates = np.exp(np.stack([advance, regress, lose]))
    total = rates.sum(axis=0)
    bounds = np.cumsum(rates / total * -np.expm1(-total), axis=0)
    # in the order of the hazards, and last: nothing happens
    targets = np.stack([stage + 1, stage - 1, np.full_like(stage, LOST), stage])
    return np.asarray(targets[(luck >= bounds).sum(axis=0), np.arange(len(stage))])


def _luck(division: Division, opened: Deals) -> Luck:
    shape = opened.engagement.shape
    week = opened.week[:, None] + np.arange(shape[1])
    rng, other = division.stream("course"), division.stream("objections")
    return Luck(
        move=rng.random(shape),
        moved=moments(rng, week, OFFICE),
        objection=other.random(shape),
        objected=moments(other, week, OFFICE),
    )


def _facts(happens: np.ndarray, time: np.ndarray, stage: np.ndarray) -> Facts:
    return Facts(deal=np.flatnonzero(happens), time=time[happens], stage=stage[happens])


def _joined(parts: list[Facts]) -> Facts:
    return Facts(
        deal=np.concatenate([part.deal for part in parts]),
        time=np.concatenate([part.time for part in parts]),
        stage=np.concatenate([part.stage for part in parts]),
    )

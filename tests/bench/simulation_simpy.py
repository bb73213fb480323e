"""The same funnel in SimPy: a process for each unit and each desk, a store for each queue.

Its random numbers are those of Python's generator, so that its answers agree within the error of
Monte Carlo. A unit is listed and moves in one event a week; a desk wakes a moment after all units
of the week. Chances are tabulated before, as a reader of SimPy's manual would do for speed.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate, count
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import simpy

from serving.forecast.desks import FRESHEST, PRIORITY
from tests.bench.simulation_case import DESKS, GROUPS, STAGES, STRATA, WEEKS

if TYPE_CHECKING:
    from tests.bench.simulation_case import Case

WON, LOST = STAGES, STAGES + 1
DESTINATIONS = (LOST, *range(STAGES), WON)
A_MOMENT = 0.25  # of a week, after which desks serve


class Funnel:
    """One draw."""

    def __init__(self, given: Case, draw: int) -> None:
        self.given, self.env, self.random = given, simpy.Environment(), Random(draw)
        self.won = self.cents = self.contacts = self.lost_to = self.weeks = 0
        self.lists, self.levers = count(), given["levers"]
        self.moves = given["parameters"].moves[draw].tolist()
        self.band_of = given["frame"].band_of.tolist()
        self.effect = [self._effect(lever) for lever in range(2)]
        self.phi = self._shocks()
        self.queues = [simpy.PriorityStore(self.env) for _ in range(DESKS)]
        for desk in range(DESKS):
            self.env.process(self._desk(desk))
        self.env.process(self._arrivals(draw))

    def run(self) -> tuple[int, int, int, int, int]:
        """Return units won, cents, contacts, units that unsubscribed, and weeks of open units."""
        start = self.given["start"]
        rows = zip(*(field.tolist() for field in start[1:]), strict=True)
        for stage, stayed, stratum, group, desk, _, cents, tired in rows:
            unit = Unit(self, stage, stratum, group, desk)
            unit.entered, unit.cents, unit.tired = -stayed, cents, tired
            self.env.process(unit.life(0.0))
        self.env.run(until=WEEKS + 0.1)  # the last moves are made as week 52 begins
        return self.won, self.cents, self.contacts, self.lost_to, self.weeks

    def _effect(self, lever: int) -> float:
        levers = self.levers
        b = self.random.gauss(levers.log_ratio[lever], levers.log_ratio_sd[lever])
        return float(b - math.log1p(levers.contacted[lever] * math.expm1(b)))

    def _shocks(self) -> list[list[float]]:
        sd = self.given["parameters"].shock_sd.tolist()
        of_segment = [[self.random.gauss(0.0, s) for s in sd] for _ in range(WEEKS)]
        segments = self.given["frame"].segment_of.tolist()
        return [[math.exp(row[0] + row[1 + s]) for s in segments] for row in of_segment]

    def _arrivals(self, draw: int) -> Iterator[simpy.Event]:
        rates, spread = self.given["parameters"].rates[draw, :, 0], self.given["parameters"].spread
        arrivals = self.given["arrivals"]
        share = list(accumulate(arrivals.share[0].ravel().tolist()))
        desk_of, rng = arrivals.desk_of.tolist(), np.random.default_rng(draw)
        for rate in rates:
            rate *= self.random.gammavariate(1.0 / spread[0], spread[0])
            for _ in range(rng.poisson(rate)):
                stratum, group = divmod(bisect_right(share, self.random.random()), GROUPS)
                unit = Unit(self, 0, min(stratum, STRATA - 1), group, desk_of[group])
                late = self.random.random() >= 0.5
                unit.entered = int(self.env.now) + late
                self.env.process(unit.life(float(late)))
            yield self.env.timeout(1.0)

    def _desk(self, desk: int) -> Iterator[simpy.Event]:
        queue, capacity = self.queues[desk], self.given["desks"].capacity[desk].tolist()
        yield self.env.timeout(A_MOMENT)
        for left in capacity:
            while left > 0 and queue.items:
                item = yield queue.get()
                unit, ticket = item.item
                if unit.ticket == ticket:
                    left -= 1
                    unit.contacted(int(self.env.now))
            yield self.env.timeout(1.0)


class Unit:
    """A lead or a deal, and its life."""

    __slots__ = (
        "boost", "cents", "desk", "entered", "funnel", "group", "lever", "stage", "stratum",
        "ticket", "tired", "tired_at", "until",
    )  # fmt: skip

    def __init__(self, funnel: Funnel, stage: int, stratum: int, group: int, desk: int) -> None:
        self.funnel, self.stage, self.stratum, self.group = funnel, stage, stratum, group
        self.desk, self.lever = desk, int(stratum >= STRATA // 2)
        self.entered, self.cents, self.tired, self.tired_at = 0, -1, 0.0, 0
        self.boost, self.until, self.ticket = 1.0, 0.0, -1

    def life(self, wait: float) -> Iterator[simpy.Event]:
        """Be listed, wait a week and move, until won or lost."""
        funnel = self.funnel
        env, rng, levers, lever = funnel.env, funnel.random, funnel.levers, self.lever
        rate, stages = float(levers.rate[lever]), levers.stages[lever].tolist()
        first = int(levers.first[lever])
        if wait:
            yield env.timeout(wait)
        while True:
            week = int(env.now)
            if self.until <= week:
                self.boost = 1.0
                if first <= week and rng.random() < rate and stages[self.stage]:
                    self._join(week)
            yield env.timeout(1.0)
            funnel.weeks += 1
            if self._moves(week):
                self.entered = week + 1
                if self.stage >= WON:
                    self.ticket = -1
                    self._closed()
                    return
                if self.ticket >= 0 and not stages[self.stage]:
                    self.ticket, self.until = -1, 0.0

    def contacted(self, week: int) -> None:
        """Feel a contact, or unsubscribe."""
        funnel, lever, levers = self.funnel, self.lever, self.funnel.levers
        tired = self.tired * levers.decay ** (week - self.tired_at)
        self.ticket, self.tired, self.tired_at = -1, tired + 1.0, week
        funnel.contacts += 1
        if funnel.random.random() < -math.expm1(-levers.unsubscribe[lever] * (1.0 + tired)):
            self.until, self.boost = math.inf, 1.0
            funnel.lost_to += 1
        else:
            self.until = week + int(levers.lasts[lever])
            self.boost = math.exp(
                funnel.effect[lever] * math.exp(-levers.saturation[lever] * tired)
            )

    def _join(self, week: int) -> None:
        self.ticket, self.until = next(self.funnel.lists), math.inf
        desks = self.funnel.given["desks"]
        discipline, rank = desks.discipline[self.desk], int(desks.rank[self.stratum])
        turn = -rank if discipline == PRIORITY else 0
        place = -self.ticket if discipline == FRESHEST else self.ticket
        item = simpy.PriorityItem((turn, place), (self, self.ticket))
        self.funnel.queues[self.desk].put(item)

    def _moves(self, week: int) -> bool:
        funnel, stage = self.funnel, self.stage
        band_of = funnel.band_of
        chances = funnel.moves[self.stratum][stage][band_of[min(week - self.entered, 13)]]
        phi = funnel.phi[week][self.group] * self.boost
        ahead = sum(chances[stage + 1 : LOST])
        x = funnel.random.random() * (1.0 + ahead * (phi - 1.0)) - chances[stage]
        if x < 0.0:
            return False
        for to in DESTINATIONS:
            if to != stage:
                x -= chances[to] * phi if stage < to < LOST else chances[to]
                if x < 0.0:
                    break
        self.stage = to
        return True

    def _closed(self) -> None:
        if self.stage == WON:
            funnel = self.funnel
            rows = funnel.given["parameters"]
            mean, sd = (rows.amounts if self.cents < 0 else rows.revised)[0]
            value = math.exp(funnel.random.gauss(mean, sd))
            funnel.won += 1
            funnel.cents += int((value if self.cents < 0 else self.cents * value) + 0.5)

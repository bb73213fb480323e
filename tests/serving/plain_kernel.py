"""The kernel once more, as one would tell it: an object per unit, lists for queues, no packing.

It shares with the kernel the random numbers and their addresses, and nothing else.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from serving.forecast import philox, variates
from serving.forecast.given import Outcome

type Uniform = Callable[[int, int, int, int], float]  # draw, unit, step, purpose


@dataclass
class Unit:
    """A lead or a deal."""

    number: int
    name: int
    stage: int
    stratum: int
    group: int
    desk: int
    part: int
    entered: int
    cents: int = -1
    tired: float = 0.0
    tired_at: int = 0
    is_open: bool = True
    is_silent: bool = False
    listed: dict[int, tuple[int, int, int]] = field(default_factory=dict)  # by lever, since when
    felt: dict[int, tuple[float, float, int]] = field(default_factory=dict)  # by lever: end last


def block(seed: int, draw: int, unit: int, step: int, purpose: int) -> list[int]:
    """Return the four words that four steps share."""
    c = (draw, unit & 0xFFFFFFFF, unit >> 32, step // 4 * 65536 + purpose)
    key = (seed & 0xFFFFFFFF, seed >> 32)
    return [int(x) for x in philox.block(tuple(map(np.uint64, c)), tuple(map(np.uint64, key)))]


def word(seed: int, draw: int, unit: int, step: int, purpose: int) -> float:
    """Return the number of one of four steps that share a block."""
    return (block(seed, draw, unit, step, purpose)[step % 4] + 0.5) / 2**32


class Plain:
    """One draw after another, everything in lists and dictionaries."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.__dict__.update(given)
        self.seed = self.span.seed

    def simulate(self) -> Outcome:
        """Return the same as kernel.simulate."""
        draws = [self.draw(row) for row in range(self.span.draws)]
        return Outcome(*(np.stack(field) for field in zip(*draws, strict=True)))

    def uniform(self, unit: int, step: int, purpose: int) -> float:
        return philox.uniform(self.seed, self.d, np.uint64(unit), step, purpose)

    def word(self, unit: int, step: int, purpose: int) -> float:
        return word(self.seed, self.d, unit, step, purpose)

    def normal(self, step: int, purpose: int) -> float:
        return variates.normal(self.uniform(0, step, purpose))

    def draw(self, row: int) -> Outcome:
        self.row, self.d = row, self.span.first_draw + row
        self.units = [self.started(i) for i in range(self.start.name.size)]
        self.told = self.nothing()
        for step in range(self.span.steps):
            self.step(step)
        return Outcome(**self.told)

    def started(self, i: int) -> Unit:
        s = self.start
        unit = Unit(i, int(s.name[i]), int(s.stage[i]), int(s.stratum[i]), int(s.group[i]),
                    int(s.desk[i]), int(s.part[i]), -int(s.stayed[i]), int(s.cents[i]))  # fmt: skip
        unit.tired = float(s.tired[i])
        return unit

    def nothing(self) -> dict[str, np.ndarray]:
        steps, groups, n = self.span.steps, self.frame.segment_of.size, self.start.name.size
        desks, levers = self.desks.discipline.size, self.levers.rate.size
        return {
            "won": np.zeros((steps, groups, 3), np.int64),
            "cents": np.zeros((steps, groups, 3), np.int64),
            "open": np.zeros((steps, groups, self.frame.stages), np.int32),
            "contacts": np.zeros((steps, desks, levers), np.int64),
            "waiting": np.zeros((steps, desks), np.int64),
            "lost_to": np.zeros(steps, np.int64),
            "winners": np.zeros(-(-n // 8), np.uint8),
            "won_at": np.zeros(n, np.uint16),
            "timing": np.zeros(6, np.int64),
        }

    def step(self, step: int) -> None:
        self.arrive(step)
        there = [unit for unit in self.units if unit.is_open and unit.entered <= step]
        self.list_units(there, step)
        self.serve(step)
        shocks = self.shocks(step)
        for unit in there:
            self.move(unit, step, shocks)
        for unit in self.units:
            if unit.is_open:
                self.told["open"][step, unit.group, unit.stage] += 1
        self.check(step)

    def check(self, step: int) -> None:
        """A unit that closed or unsubscribed waits nowhere."""
        for unit in self.units:
            assert (unit.is_open and not unit.is_silent) or not unit.listed

    def arrive(self, step: int) -> None:
        on_time, late = [], []
        for kind in range(self.arrivals.stage.size):
            rate, spread = self.parameters.rates[self.row, step, kind], self.parameters.spread[kind]
            if spread > 1e-6:
                u = self.uniform(0, step, 1280 + kind)
                rate = rate * variates.gamma(1.0 / spread, u) * spread
            most = max(self.factor(kind, g, step) for g in range(self.frame.segment_of.size))
            usual = variates.poisson(rate, self.uniform(0, step, 1024 + kind))
            more = rate * max(0.0, most - 1.0)
            beside = variates.poisson(more, self.uniform(0, step, 2048 + kind)) if more else 0
            several = [(i, 0) for i in range(usual)] + [(i, 1 << 62) for i in range(beside)]
            for i, mark in several:
                name = 2**63 | mark | kind << 48 | step << 32 | i
                drawn = block(self.seed, self.d, name, step, 130)
                cell = self.cell(kind, drawn)
                factor = self.factor(kind, cell[1], step)
                chance = max(0.0, factor - 1.0) / (most - 1.0) if mark else factor
                if not self.growth.budget.size or (drawn[3] + 0.5) / 2**32 < chance:
                    is_late = drawn[2] < 2**31
                    (late if is_late else on_time).append((kind, name, step + is_late, *cell))
        for kind, name, entered, stratum, group in on_time + late:
            desk = int(self.arrivals.desk_of[group])
            stage = int(self.arrivals.stage[kind])
            number = len(self.units)
            self.units.append(Unit(number, name, stage, stratum, group, desk, 2, entered))

    def cell(self, kind: int, drawn: list[int]) -> tuple[int, int]:
        """Return stratum and group of an arrival."""
        share = np.cumsum(self.arrivals.share[kind].ravel()).tolist()
        u = (((drawn[0] << 32 | drawn[1]) >> 12) + 0.5) / 2**52
        return divmod(bisect.bisect_right(share, u), self.frame.segment_of.size)

    def factor(self, kind: int, group: int, step: int) -> float:
        """Return how many times as many arrive of a kind and group."""
        growth, found = self.growth, 1.0
        for c in range(growth.budget.size):
            is_on = growth.first[c] <= step <= growth.last[c]
            if is_on and growth.kinds[c, kind] and growth.groups[c, group]:
                z = self.normal(0, 1792 + c)
                power = growth.elasticity[c] + growth.elasticity_sd[c] * z
                found *= min(100.0, float(growth.budget[c]) ** power)
        return found

    def list_units(self, there: list[Unit], step: int) -> None:
        levers = self.levers
        for lever in range(levers.rate.size):
            if not levers.first[lever] <= step <= levers.last[lever]:
                continue
            for unit in there:
                contacted = lever in unit.felt and unit.felt[lever][2] > step
                once = levers.once[lever]
                free = not unit.is_silent and lever not in unit.listed and not contacted
                stayed = step - unit.entered
                free = free and stayed >= levers.stalled[lever]
                if once and step != levers.first[lever]:
                    free = free and stayed == levers.stalled[lever]
                meant = (
                    levers.stages[lever, unit.stage]
                    and levers.strata[lever, unit.stratum]
                    and levers.groups[lever, unit.group]
                    and levers.parts[lever, unit.part]
                )
                u = self.word(unit.name, step, 256 + lever)
                rate = levers.rate[lever] * levers.share[lever, unit.stratum, unit.group]
                if free and meant and u < rate:
                    unit.listed[lever] = (step, lever, unit.number)
                    if levers.at_once[lever]:
                        self.contact(unit, lever, step)

    def queue(self, desk: int) -> list[tuple[Unit, int]]:
        """Return who waits at a desk and for what, the next first."""
        waits = [(u, lever) for u in self.units if u.desk == desk for lever in u.listed]
        discipline = self.desks.discipline[desk]
        waits.sort(key=lambda one: one[0].listed[one[1]], reverse=bool(discipline == 1))
        if discipline == 2:
            waits.sort(key=lambda one: -self.desks.rank[one[0].stratum])
        return waits

    def serve(self, step: int) -> None:
        for desk in range(self.desks.discipline.size):
            for _ in range(self.desks.capacity[desk, step]):
                if waits := self.queue(desk):
                    self.contact(*waits[0], step)
            self.told["waiting"][step, desk] = len(self.queue(desk))

    def contact(self, unit: Unit, lever: int, step: int) -> None:
        levers = self.levers
        self.told["contacts"][step, unit.desk, lever] += 1
        del unit.listed[lever]
        tired = unit.tired * levers.decay ** (step - unit.tired_at)
        unit.tired, unit.tired_at = tired + levers.tires[lever], step
        chance = 1.0 - math.exp(-levers.unsubscribe[lever] * (1.0 + tired))
        if self.uniform(unit.name, step, 512 + lever) < chance:
            self.told["lost_to"][step] += 1
            unit.is_silent, unit.listed, unit.felt = True, {}, {}
        else:
            b = levers.log_ratio[lever] + levers.log_ratio_sd[lever] * self.normal(0, 768 + lever)
            z = self.normal(0, 1536 + lever)
            c = levers.lost_log_ratio[lever] + levers.lost_log_ratio_sd[lever] * z
            wear = math.exp(-levers.saturation[lever] * tired)
            share, end = levers.contacted[lever], step + int(levers.lasts[lever])
            forward, lost = (x - math.log(1.0 + share * (math.exp(x) - 1.0)) for x in (b, c))
            unit.felt[lever] = (forward * wear, lost * wear, end)

    def shocks(self, step: int) -> list[float]:
        sd = self.parameters.shock_sd
        of_all = self.parameters.level[self.row, step] + sd[0] * self.normal(step, 4096)
        of_segment = [sd[1 + s] * self.normal(step, 4097 + s) for s in range(sd.size - 1)]
        return [of_all + of_segment[segment] for segment in self.frame.segment_of]

    def chances(self, unit: Unit, step: int, shock: float) -> dict[int, float]:
        """Return the chances of all destinations, in the order in which they are compared."""
        bands, n = self.frame.band_of, self.frame.stages
        band = bands[min(step - unit.entered, bands.size - 1)]
        q = self.parameters.moves[self.row, unit.stratum, unit.stage, band]
        in_force = [felt for felt in unit.felt.values() if felt[2] > step]
        forward = sum(felt[0] for felt in in_force)
        phi = math.exp(shock + forward + self.parameters.tilt[step, unit.stage])
        psi = math.exp(sum(felt[1] for felt in in_force))
        weights = {d: q[d] * (phi if unit.stage < d <= n else 1.0) for d in (n + 1, *range(n + 1))}
        weights[n + 1] *= psi
        total = sum(weights.values())
        return {d: weight / total for d, weight in weights.items()}

    def move(self, unit: Unit, step: int, shocks: list[float]) -> None:
        below, u, n = 0.0, self.word(unit.name, step, 128), self.frame.stages
        chances = self.chances(unit, step, shocks[unit.group])
        to = unit.stage
        for to, chance in chances.items():  # noqa: B007  the last is kept
            below += chance
            if u < below:
                break
        if to == unit.stage:
            return
        unit.stage, unit.entered, unit.is_open = to, step + 1, to < n
        if to == n:
            self.win(unit, step)
        for lever in list(unit.listed):
            if to >= n or not self.levers.stages[lever, to]:
                del unit.listed[lever]

    def win(self, unit: Unit, step: int) -> None:
        z = variates.normal(self.uniform(unit.name, 0, 129))
        mean, sd = self.parameters.amounts[self.row]
        value = math.exp(mean + sd * z)
        if unit.cents >= 0:
            mean, sd = self.parameters.revised[self.row]
            value = unit.cents * math.exp(mean + sd * z)
        self.told["won"][step, unit.group, unit.part] += 1
        cents = math.floor(min(9e15, value) + 0.5)
        worth = 1.0
        for lever in range(self.levers.rate.size):
            if lever in unit.felt and unit.felt[lever][2] > step:
                worth *= self.levers.worth[lever]
        self.told["cents"][step, unit.group, unit.part] += math.floor(cents * worth + 0.5)
        if unit.part < 2:
            self.told["winners"][unit.number // 8] |= np.uint8(1 << unit.number % 8)
            self.told["won_at"][unit.number] = step + 1

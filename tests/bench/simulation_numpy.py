"""The same funnel in NumPy: flat arrays over draws x units, a few array operations per week.

It asks for the same random numbers (four weeks of a unit from one Philox block) and gives the same
counts and cents. Only units that are open are touched; leavers, contacts and wins are small arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from serving.forecast import luck
from serving.forecast.desks import FRESHEST, PRIORITY
from serving.forecast.given import Outcome
from tests.bench.simulation_case import DESKS, GROUPS, STAGES, STRATA, WEEKS

if TYPE_CHECKING:
    from tests.bench.simulation_case import Case

WON, LOST = STAGES, STAGES + 1
NEVER = 2**30
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_FACTORS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
# the order in which destinations are compared
_ORDER = np.array([LOST, *range(STAGES), WON])


def simulate(given: Case, first_draw: int, counts: np.ndarray) -> Outcome:
    """Simulate all draws; counts is int64 [draws, weeks, 1], the units that arrive."""
    return _Plain(given, first_draw, counts).run()


class _Plain:
    """One element per unit of any draw, by draw and then in order of birth."""

    def __init__(self, given: Case, first_draw: int, counts: np.ndarray) -> None:
        self.__dict__.update(given)
        self.draws, self.first_draw = counts.shape[0], first_draw
        self._lay_out(given["start"], counts[..., 0])
        self._tabulate()
        shape = (self.draws, WEEKS)
        self.told = Outcome(
            won=np.zeros((*shape, GROUPS, 3), np.int64),
            cents=np.zeros((*shape, GROUPS, 3), np.int64),
            open=np.zeros((*shape, GROUPS, STAGES), np.int32),
            contacts=np.zeros((*shape, DESKS, 2), np.int64),
            waiting=np.zeros((*shape, DESKS), np.int64),
            lost_to=np.zeros(shape, np.int64),
            winners=np.zeros((self.draws, -(-given["start"].name.size // 8)), np.uint8),
            won_at=np.zeros((self.draws, given["start"].name.size), np.uint16),
            timing=np.zeros((self.draws, 6), np.int64),
        )

    def run(self) -> Outcome:
        """Take all draws through all weeks."""
        for week in range(WEEKS):
            self.boost[self.until == week] = 1.0
            opened = self.stage < WON
            here = np.flatnonzero(opened & (self.begins <= week))
            fresh = here if week % 4 == 0 else here[self.begins[here] == week]
            self._draw_words(fresh, week)
            self._enlist(here, week)
            self._serve(week)
            self._move(here, week)
            self._count(week)
        return self._finished()

    def _lay_out(self, start: object, counts: np.ndarray) -> None:
        """Give every unit that will be born in any draw its element."""
        n = start.name.size  # type: ignore[attr-defined]
        size = n + counts.sum(axis=1)
        self.first = np.concatenate([[0], np.cumsum(size)])
        total = int(self.first[-1])
        self.draw = np.repeat(np.arange(self.draws), size)
        self.number = np.arange(total) - self.first[self.draw]
        self.name, self.begins = np.zeros(total, np.uint64), np.zeros(total, np.int64)
        fields = ["stage", "stratum", "group", "desk", "part", "cents"]
        self.stage, self.stratum, self.group, self.desk, self.part, self.cents = (
            np.zeros(total, np.int64) for _ in fields
        )
        self.tired, self.tired_at = np.zeros(total), np.zeros(total, np.int64)
        old = np.flatnonzero(self.number < n)
        for field in ("name", *fields, "tired"):
            getattr(self, field)[old] = np.tile(getattr(start, field), self.draws)
        self.entered = np.zeros(total, np.int64)
        self.entered[old] = np.tile(-start.stayed, self.draws)  # type: ignore[attr-defined]
        self._lay_out_arrivals(np.flatnonzero(self.number >= n), counts)
        self.lever = (self.stratum >= STRATA // 2).astype(np.int64)
        self.until, self.listed = np.zeros(total, np.int64), np.full(total, -1)
        self.boost, self.words = np.ones(total), np.zeros((4, total), np.uint32)
        self.asked = np.zeros((4, total), np.uint32)

    def _lay_out_arrivals(self, new: np.ndarray, counts: np.ndarray) -> None:
        week = np.concatenate([np.repeat(np.arange(WEEKS), row) for row in counts])
        place = np.concatenate([np.arange(k) for row in counts for k in row])
        draw = self.draw[new]
        name = np.uint64(2**63) | week.astype(np.uint64) << _HALF | place.astype(np.uint64)
        words = self._block(draw, name, week // 4, luck.BEGINS)
        late = words[2] < 2**31
        order = np.lexsort((place, late, week, draw))
        draw, name, week, late = draw[order], name[order], week[order], late[order]
        u = self._of_words(words[0][order], words[1][order])
        share = np.cumsum(self.arrivals.share[0].ravel())
        cell = np.searchsorted(share, u, side="right")
        self.name[new], self.begins[new] = name, week + late
        self.entered[new] = self.begins[new]
        self.stratum[new], self.group[new] = cell // GROUPS, cell % GROUPS
        self.desk[new] = self.arrivals.desk_of[self.group[new]]
        self.stage[new], self.part[new], self.cents[new] = self.arrivals.stage[0], 2, -1
        self.born = np.zeros(self.draw.size, np.int64)
        self.born[new] = week

    def _tabulate(self) -> None:
        moves, sd = self.parameters.moves, self.parameters.shock_sd
        ordered = np.cumsum(moves[..., _ORDER], axis=-1)[:, :, :, self.frame.band_of]
        stages = np.arange(STAGES)[:, None]
        back = np.take_along_axis(ordered, stages[None, None, :, :, None], axis=-1)[..., 0]
        stay = np.take_along_axis(ordered, stages[None, None, :, :, None] + 1, axis=-1)[..., 0]
        is_ahead = (np.arange(STAGES + 2) > stages) & (np.arange(STAGES + 2) < LOST)
        ahead = (moves * is_ahead[:, None]).sum(axis=-1)[:, :, :, self.frame.band_of]
        self.back, self.below, self.ahead = back.ravel(), stay.ravel(), ahead.ravel()
        z = np.stack([self._normals(WEEKS, luck.SHOCK + k) for k in range(sd.size)], axis=-1)
        self.phi = np.exp(z[..., :1] * sd[0] + (z[..., 1:] * sd[1:])[..., self.frame.segment_of])
        z = np.stack([self._normals(1, luck.EFFECT + k)[:, 0] for k in range(2)], axis=-1)
        effect = self.levers.log_ratio + self.levers.log_ratio_sd * z
        self.effect = effect - np.log1p(self.levers.contacted * np.expm1(effect))

    def _draw_words(self, units: np.ndarray, week: int) -> None:
        draw, name = self.draw[units], self.name[units]
        self.words[:, units] = self._block(draw, name, week // 4, luck.MOVES)
        for lever in range(2):
            own = self.lever[units] == lever
            answer = self._block(draw[own], name[own], week // 4, luck.LISTED + lever)
            self.asked[:, units[own]] = answer

    def _enlist(self, here: np.ndarray, week: int) -> None:
        lever, levers = self.lever[here], self.levers
        u = (self.asked[week % 4, here] + 0.5) * 2.0**-32
        listed = (u < levers.rate[lever]) & (self.until[here] <= week)
        listed &= (levers.first <= week)[lever] & (week <= levers.last)[lever]
        units = here[listed]
        units = units[levers.stages[self.lever[units], self.stage[units]]]
        self.listed[units], self.until[units] = week, NEVER

    def _serve(self, week: int) -> None:
        waits = np.flatnonzero(self.listed >= 0)
        desk, discipline = self.desk[waits], self.desks.discipline[self.desk[waits]]
        key = (self.listed[waits] * 2 + self.lever[waits]) << 40 | self.number[waits]
        key = np.where(discipline == FRESHEST, -key, key)
        turn = np.where(discipline == PRIORITY, -self.desks.rank[self.stratum[waits]], 0)
        queue = self.draw[waits] * DESKS + desk
        order = np.lexsort((key, turn, queue))
        queue, waits = queue[order], waits[order]
        length = np.bincount(queue, minlength=self.draws * DESKS)
        place = np.arange(waits.size) - (np.cumsum(length) - length)[queue]
        served = place < self.desks.capacity[queue % DESKS, week]
        self._contact(waits[served], week)
        left = np.bincount(queue[~served], minlength=self.draws * DESKS)
        self.told.waiting[:, week] = left.reshape(self.draws, DESKS)

    def _contact(self, units: np.ndarray, week: int) -> None:
        lever, draw, levers = self.lever[units], self.draw[units], self.levers
        cell = (draw * DESKS + self.desk[units]) * 2 + lever
        made = np.bincount(cell, minlength=self.draws * DESKS * 2)
        self.told.contacts[:, week] = made.reshape(self.draws, DESKS, 2)
        tired = self.tired[units] * levers.decay ** (week - self.tired_at[units])
        self.tired[units], self.tired_at[units], self.listed[units] = tired + 1.0, week, -1
        u = self._uniform(draw, self.name[units], week, luck.UNSUBSCRIBES + lever)
        gone = u < -np.expm1(-levers.unsubscribe[lever] * (1.0 + tired))
        self.told.lost_to[:, week] = np.bincount(draw[gone], minlength=self.draws)
        felt = self.effect[draw, lever] * np.exp(-levers.saturation[lever] * tired)
        self.boost[units] = np.where(gone, 1.0, np.exp(felt))
        self.until[units] = np.where(gone, NEVER, week + levers.lasts[lever])

    def _move(self, here: np.ndarray, week: int) -> None:
        stage, age = self.stage[here], np.minimum(week - self.entered[here], self.ages - 1)
        cell = ((self.draw[here] * STRATA + self.stratum[here]) * STAGES + stage) * self.ages + age
        phi = self.phi[self.draw[here], week, self.group[here]] * self.boost[here]
        x = (self.words[week % 4, here] + 0.5) * 2.0**-32 * (1.0 + self.ahead[cell] * (phi - 1.0))
        leaves = np.flatnonzero((x < self.back[cell]) | (x >= self.below[cell]))
        units, stage = here[leaves], stage[leaves]
        band = self.frame.band_of[age[leaves]]
        moves = self.parameters.moves[self.draw[units], self.stratum[units], stage, band]
        ahead = (stage[:, None] < _ORDER) & (_ORDER < LOST)
        chances = np.where(ahead, moves[:, _ORDER] * phi[leaves, None], moves[:, _ORDER])
        to = _ORDER[
            np.minimum((x[leaves, None] >= np.cumsum(chances, axis=1)).sum(axis=1), WON + 1)
        ]
        self.stage[units], self.entered[units] = to, week + 1
        meant = (to < WON) & self.levers.stages[self.lever[units], np.minimum(to, WON - 1)]
        off = units[~meant & (self.listed[units] >= 0)]
        self.listed[off], self.until[off] = -1, 0
        self._win(units[to == WON], week)

    def _win(self, units: np.ndarray, week: int) -> None:
        draw = self.draw[units]
        z = ndtri(self._uniform(draw, self.name[units], 0, luck.AMOUNT))
        known, rows = self.cents[units] >= 0, self.parameters
        table = np.where(known[:, None], rows.revised[draw], rows.amounts[draw])
        value = np.exp(table[:, 0] + table[:, 1] * z)
        value = np.where(known, self.cents[units] * value, value) + 0.5
        at = (draw, week, self.group[units], self.part[units])
        np.add.at(self.told.won, at, 1)
        old = units[self.number[units] < self.told.won_at.shape[1]]
        self.told.won_at[self.draw[old], self.number[old]] = week + 1
        np.add.at(self.told.cents, at, np.minimum(value, 9e15).astype(np.int64))

    def _count(self, week: int) -> None:
        units = np.flatnonzero((self.stage < WON) & (self.born <= week))
        cell = (self.draw[units] * GROUPS + self.group[units]) * STAGES + self.stage[units]
        found = np.bincount(cell, minlength=self.draws * GROUPS * STAGES)
        self.told.open[:, week] = found.reshape(self.draws, GROUPS, STAGES)

    def _finished(self) -> Outcome:
        n = int((self.number[self.draw == 0] < self.start.name.size).sum())
        won = (self.stage == WON)[self.number < n].reshape(self.draws, n)
        return self.told._replace(winners=np.packbits(won, axis=1, bitorder="little"))

    @property
    def ages(self) -> int:
        return int(self.frame.band_of.size)

    def _normals(self, weeks: int, purpose: int) -> np.ndarray:
        draw, week = (x.ravel() for x in np.indices((self.draws, weeks)))
        nobody = np.zeros(draw.size, np.uint64)
        return np.asarray(
            ndtri(self._uniform(draw, nobody, week, purpose)).reshape(self.draws, weeks)
        )

    def _uniform(
        self, draw: np.ndarray, name: np.ndarray, week: np.ndarray | int, purpose: np.ndarray | int
    ) -> np.ndarray:
        words = self._block(draw, name, week, purpose)
        return self._of_words(words[0], words[1])

    def _of_words(self, high: np.ndarray, low: np.ndarray) -> np.ndarray:
        return np.asarray(((high << _HALF | low) >> np.uint64(12)) + 0.5) * 2.0**-52

    def _block(
        self, draw: np.ndarray, name: np.ndarray, week: np.ndarray | int, purpose: np.ndarray | int
    ) -> list[np.ndarray]:
        """Philox4x32-10 over whole arrays; the seed is 1."""
        place = np.broadcast_to(week * 65536 + purpose, name.shape).astype(np.uint64)
        c = [(draw + self.first_draw).astype(np.uint64), name & _LOW, name >> _HALF, place]
        k0, k1 = np.uint64(1), np.uint64(0)
        for _ in range(10):
            p, q = _FACTORS[0] * c[0], _FACTORS[1] * c[2]
            c = [(q >> _HALF) ^ c[1] ^ k0, q & _LOW, (p >> _HALF) ^ c[3] ^ k1, p & _LOW]
            k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
        return c

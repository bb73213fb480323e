"""The funnel kernel against the same funnel in plain numpy, one array operation per week over draws
x deals.

Both see the same tables and the same random numbers, and must give the same counts and cents; the
figures are void otherwise. The case is that of the default run: 100 open deals, 700 open leads, 50
leads a week, 26 weeks, one lever. One thread each. The last line is one JSON object.
"""

from __future__ import annotations

import json
import math
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

from serving.forecast import funnel, hazards, scenario, start, tables
from serving.forecast.funnel import Outcome, Span
from serving.forecast.stages import BANDS, LOST, WON, bands

if TYPE_CHECKING:
    from serving.forecast.hazards import Hazards
    from serving.forecast.scenario import Levers
    from serving.forecast.start import Start
    from serving.forecast.tables import Tables

OPEN_DEALS, OPEN_LEADS, LEADS_PER_WEEK, WEEKS = 100, 700, 50, 26
DRAWS, CHUNK = 200, 50  # the plain version holds draws x deals at once, so it works by chunks
NEVER = 2**40


def main() -> None:
    """Measure both versions on the same draws, and how long compilation takes."""
    began, lever = _case(), _lever()
    rates = _hazards()
    first = time.perf_counter()
    _simulate(began, rates, lever, Span(1, 0, 1, WEEKS))
    compiled = time.perf_counter()
    chunks = [Span(1, draw, CHUNK, WEEKS) for draw in range(0, DRAWS, CHUNK)]
    tabulated = [_tables(rates, lever, span) for span in chunks]
    prepared = time.perf_counter()
    ours = [funnel.simulate(began, t, lever, s) for t, s in zip(tabulated, chunks, strict=True)]
    kernel = time.perf_counter()
    plain = [reference(began, t, lever, s) for t, s in zip(tabulated, chunks, strict=True)]
    numpy_time = time.perf_counter()
    same = all(_equal(a, b) for a, b in zip(ours, plain, strict=True))
    kernel_s, plain_s, tables_s = kernel - prepared, numpy_time - kernel, prepared - compiled
    figures: dict[str, Any] = {
        "same_answers": same,
        "draws": DRAWS,
        "weeks": WEEKS,
        "won_per_draw": float(np.mean([o.won.sum() / CHUNK for o in ours])),
        "first_call_s": round(compiled - first, 2),
        "kernel_s": round(kernel_s, 3),
        "numpy_s": round(plain_s, 3),
        "ratio": round(plain_s / kernel_s, 1),
        "kernel_draws_per_s": round(DRAWS / kernel_s),
        "draws_per_s_with_tables": round(DRAWS / (kernel_s + tables_s)),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    if not same:
        sys.exit("the two versions must give the same answers")


def reference(began: Start, tabulated: Tables, levers: Levers, span: Span) -> Outcome:
    """The funnel in plain numpy, all draws of the span at once."""
    return _Plain(began, tabulated, levers, span).run()


class _Plain:
    """Arrays of [draws, units]: open leads, then the leads of each week; open deals, a place per
    lead, lone deals."""

    def __init__(self, began: Start, tabulated: Tables, levers: Levers, span: Span) -> None:
        self.tables, self.levers, self.span = tabulated, levers, span
        self.draw = np.arange(span.first_draw, span.first_draw + span.draws)[:, None]
        self.n_leads, self.n_deals = began.leads.size, began.deals.size
        new_leads, self.lead_week, self.lead_there = self._arriving(0, 2**63)
        lone, self.lone_week, self.lone_there = self._arriving(1, 2**63 + 2**62)
        self.lead_name = np.concatenate([began.leads["name"], new_leads])
        self.deal_name = np.concatenate([began.deals["name"], self.lead_name, lone])
        n, m = self.lead_name.size, self.deal_name.size
        self.lead_weeks = self._wide(n, 0)
        self.lead_from, self.lead_closed = self._wide(n, NEVER), self._wide(n, 0).astype(bool)
        self.lead_weeks[:, : self.n_leads], self.lead_from[:, : self.n_leads] = (
            began.leads["weeks"],
            0,
        )
        self.contact_ends = [self._wide(n, 0) for _ in levers.rate]
        self.listed = [self._wide(n, NEVER) for _ in levers.rate]
        self.stage, self.deal_weeks = self._wide(m, 0), self._wide(m, 0)
        self.deal_from, self.cents = self._wide(m, NEVER), self._wide(m, -1)
        head = np.s_[:, : self.n_deals]
        self.stage[head], self.deal_weeks[head] = began.deals["stage"], began.deals["weeks"]
        self.deal_from[head], self.cents[head] = 0, began.deals["cents"]

    def run(self) -> Outcome:
        """Take all draws through all weeks."""
        won, cents, contacts = [], [], []
        for week in range(self.span.weeks):
            self._arrive(week)
            contacts.append([self._contact(lever, week) for lever in range(len(self.listed))])
            self._move_leads(week)
            winners = self._move_deals(week)
            value = np.where(
                winners, np.where(self.cents >= 0, self.cents, self._drawn(winners)), 0
            )
            parts = np.s_[:, : self.n_deals], np.s_[:, self.n_deals :]
            won.append([winners[part].sum(axis=1) for part in parts])
            cents.append([value[part].sum(axis=1) for part in parts])
        return Outcome(*(np.array(x).transpose(2, 0, 1) for x in (won, cents, contacts)))

    def _arriving(self, kind: int, mark: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return names and week of every place for an arrival, and whether a draw fills it."""
        counts = self.tables.arrivals[..., kind]
        most = counts.max(axis=0)
        week = np.repeat(np.arange(most.size), most)
        place = np.arange(week.size) - np.repeat(np.cumsum(most) - most, most)
        name = np.uint64(mark) | week.astype(np.uint64) << np.uint64(32) | place.astype(np.uint64)
        return name, week, place < counts[:, week]

    def _wide(self, units: int, value: int) -> np.ndarray:
        return np.full((self.span.draws, units), value, np.int64)

    def _uniform(self, where: np.ndarray, names: np.ndarray, step: int, purpose: int) -> np.ndarray:
        """Return the numbers of the places that ask; 1 elsewhere."""
        draw, unit = np.nonzero(where)
        numbers = np.ones(where.shape)
        place = step * 65536 + purpose
        numbers[draw, unit] = uniform(self.span.seed, self.draw[draw, 0], names[unit], place)
        return numbers

    def _arrive(self, week: int) -> None:
        there = np.zeros(self.lead_from.shape, bool)
        there[:, self.n_leads :] = self.lead_there & (self.lead_week == week)
        late = week + (self._uniform(there, self.lead_name, week, funnel.LEAD_BEGINS) < 0.5)
        self.lead_from[there] = late[there]
        begin = np.zeros(self.stage.shape, bool)
        lone = self.n_deals + self.lead_name.size
        begin[:, lone:] = self.lone_there & (self.lone_week == week)
        self._begin(begin, week)

    def _begin(self, which: np.ndarray, week: int) -> None:
        late = week + (self._uniform(which, self.deal_name, week, funnel.DEAL_BEGINS) < 0.5)
        self.deal_from[which] = late[which]

    def _contact(self, lever: int, week: int) -> np.ndarray:
        if week < self.levers.first_week[lever]:
            return np.zeros(self.span.draws, np.int64)
        listed, ends = self.listed[lever], self.contact_ends[lever]
        reach = np.arange(self.lead_name.size) < self.n_leads
        free = (self.lead_from <= week) & ~self.lead_closed & (listed == NEVER) & (ends <= week)
        free &= reach | self.levers.everyone[lever]
        u = self._uniform(free, self.lead_name, week, funnel.LISTED + lever)
        listed[free & (u < self.levers.rate[lever])] = week
        waits = np.where(self.lead_closed, NEVER, listed)
        rank = np.argsort(np.argsort(waits, axis=1, kind="stable"), axis=1)
        served = (waits < NEVER) & (rank < self.levers.capacity[lever])
        ends[served], listed[served] = week + self.levers.lasts[lever], NEVER
        return np.asarray(served.sum(axis=1))

    def _move_leads(self, week: int) -> None:
        moves = (self.lead_from <= week) & ~self.lead_closed
        in_force = sum(((week < ends) << i for i, ends in enumerate(self.contact_ends)), 0)
        rows = np.arange(self.span.draws)[:, None]
        chances = self.tables.leads[rows, bands(self.lead_weeks), in_force]
        u = self._uniform(moves, self.lead_name, week, funnel.LEAD_MOVES)
        qualified = moves & (u < chances[..., 0])
        self.lead_weeks += moves
        self.lead_closed |= qualified | (moves & (u >= 1.0 - chances[..., 1]))
        begin = np.zeros(self.stage.shape, bool)
        begin[:, self.n_deals : self.n_deals + self.lead_name.size] = qualified
        self._begin(begin, week)

    def _move_deals(self, week: int) -> np.ndarray:
        """Move every open deal and return which were won."""
        moves = (self.deal_from <= week) & (self.stage < WON)
        rows = np.arange(self.span.draws)[:, None]
        stage = np.minimum(self.stage, WON - 1)
        chances = self.tables.deals[rows, week, stage, bands(self.deal_weeks)]
        u = self._uniform(moves, self.deal_name, week, funnel.DEAL_MOVES)
        place = (u[..., None] >= chances).sum(axis=-1)
        to = np.where(place < LOST, WON - place, LOST)
        self.deal_weeks = np.where(
            moves, np.where(to == stage, self.deal_weeks + 1, 0), self.deal_weeks
        )
        self.stage = np.where(moves, to, self.stage)
        return np.asarray(moves & (to == WON))

    def _drawn(self, winners: np.ndarray) -> np.ndarray:
        u = self._uniform(winners, self.deal_name, 0, funnel.AMOUNT)
        mean, sd = self.tables.amounts[:, :1], self.tables.amounts[:, 1:]
        drawn = np.exp(mean + sd * ndtri(np.where(winners, u, 0.5)))
        return np.asarray(np.floor(drawn + 0.5), np.int64)


def uniform(seed: int, draw: np.ndarray, name: np.ndarray, place: int) -> np.ndarray:
    """Philox4x32-10 over whole arrays."""
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    c = [draw.astype(np.uint64), name & low, name >> half, np.full(name.shape, place, np.uint64)]
    key = [np.uint64(seed) & low, np.uint64(seed) >> half]
    for _ in range(10):
        p, q = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(q >> half) ^ c[1] ^ key[0], q & low, (p >> half) ^ c[3] ^ key[1], p & low]
        key = [(key[0] + np.uint64(0x9E3779B9)) & low, (key[1] + np.uint64(0xBB67AE85)) & low]
    return (((c[0] << half | c[1]) >> np.uint64(12)).astype(float) + 0.5) * 2.0**-52


def _case() -> Start:
    rng = np.random.default_rng(0)
    leads, deals = np.zeros(OPEN_LEADS, start.LEAD), np.zeros(OPEN_DEALS, start.DEAL)
    leads["name"], deals["name"] = (rng.integers(0, 2**63, n) for n in (OPEN_LEADS, OPEN_DEALS))
    leads["weeks"], deals["weeks"] = rng.integers(0, 20, OPEN_LEADS), rng.integers(0, 9, OPEN_DEALS)
    deals["stage"], deals["ends"] = rng.integers(0, WON, OPEN_DEALS), -1
    deals["cents"] = rng.integers(100_000, 1_000_000, OPEN_DEALS)
    return start.Start(leads, deals)


def _hazards() -> Hazards:
    deals = np.zeros((WON, BANDS, LOST + 1))
    for stage in range(WON):
        deals[stage, :, stage], deals[stage, :, stage + 1], deals[stage, :, LOST] = 70.0, 18.0, 10.0
        deals[stage, :, WON] += 2.0
    return hazards.Hazards(
        deals=deals,
        leads=np.tile([450.0, 15.0, 30.0], (BANDS, 1)),
        arrival_shape=np.array([26.0 * LEADS_PER_WEEK, 26.0]),
        arrival_weeks=np.array([26.0, 26.0]),
        arrival_variance=np.array([0.02, 0.0]),
        amount_mean=math.log(500_000.0),
        amount_sd=0.7,
        amount_count=50,
        shock_sd=0.2,
        contacted=0.1,
    )


def _lever() -> Levers:
    effect = {"hazard_ratio": 1.5, "sd": 0.1, "grade": "assumption"}
    lever = {
        "kind": "outreach",
        "audience": "all_leads",
        "start_week": 2,
        "rate_per_week": 0.2,
        "capacity_per_week": 60,
        "cost_per_contact_cents": 1500,
        "effect": effect,
    }
    return scenario.levers(scenario.Scenario.model_validate({"name": "bench", "levers": [lever]}))


def _tables(rates: Hazards, lever: Levers, span: Span) -> Tables:
    parameters = hazards.sample(rates, span.seed, span.first_draw, span.draws)
    return tables.tabulate(parameters, lever, span)


def _simulate(began: Start, rates: Hazards, lever: Levers, span: Span) -> Outcome:
    return funnel.simulate(began, _tables(rates, lever, span), lever, span)


def _equal(one: Outcome, other: Outcome) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


if __name__ == "__main__":
    main()

"""Units: the events of a log, as known at T, as the courses of leads and deals through a funnel.

Who is one unit is settled by what is known at T: the first deal of a lead goes on with the lead's
unit, unless the lead had ended before; its other deals, and deals of no lead, are units of their
own. What became of a unit, and when that was known, is kept version by version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import log
from serving.forecast import standing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from features.targets import Named
    from serving.forecast.funnels import Funnel
    from serving.forecast.standing import Versions

COLUMNS = (
    *("event_id", "kind", "name", "event_time", "known_at"),
    *("account", "lead", "opportunity", "campaign", "product", "rep", "number", "text"),
)
NOBODY = -1


class Keys(NamedTuple):
    """Which units the leads and the deals are, and whose account; int64 codes, -1 for none."""

    leads: pa.Array  # distinct keys
    opportunities: pa.Array
    accounts: pa.Array
    unit_of_lead: np.ndarray
    unit_of_opportunity: np.ndarray


class Members(NamedTuple):
    """Of each unit, the codes of its lead, deal and account; -1 for none."""

    lead: np.ndarray
    opportunity: np.ndarray
    account: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Course:
    """What was known at `at` (microseconds since 1970) of all units of a funnel."""

    funnel: Funnel
    at: int
    events: pa.Table  # known at `at`, every version
    replaced: np.ndarray  # when a later version of each was known by then, or log.NEVER
    names: np.ndarray  # of the units: object, the key of the lead or the deal
    keys: Keys
    members: Members
    moves: Versions  # by unit: the states entered

    def told(self, named: Iterable[Named]) -> np.ndarray:
        """Return the places of the events that are of one of some kinds and names."""
        several = [log.named(self.events, each.kind, each.names).to_numpy() for each in named]
        return np.flatnonzero(np.any(several, axis=0)) if several else np.empty(0, np.int64)

    def units(self, places: np.ndarray) -> np.ndarray:
        """Return which unit each of some events is about, by its deal or else its lead; -1."""
        there = self.events.take(pa.array(places))
        deal = _where(self.keys.unit_of_opportunity, _codes(there["opportunity"], self.keys[1]))
        lead = _where(self.keys.unit_of_lead, _codes(there["lead"], self.keys.leads))
        return np.where(deal >= 0, deal, lead)

    def versions(
        self, places: np.ndarray, key: np.ndarray, keys: int, said: np.ndarray
    ) -> Versions:
        """Sort what some events say by key: unit, or any other code below `keys`; -1 is left
        out."""
        time, known = (
            log.microseconds(self.events[name].take(pa.array(places)))
            for name in ("event_time", "known_at")
        )
        return standing.versions(keys, key, said, (time, known, self.replaced[places]))

    def numbers(self, named: Iterable[Named]) -> Versions:
        """Return, by unit, the numbers that some events tell."""
        places = self.told(named)
        numbers = self.events["number"].take(pa.array(places))
        places = places[numbers.is_valid().to_numpy()]
        said = numbers.drop_null().to_numpy().astype(np.int64)
        return self.versions(places, self.units(places), len(self.names), said)


def read(events: pa.Table, funnel: Funnel, at: datetime) -> Course:
    """Build the courses from rows of the event log (at least COLUMNS), as known at `at`.

    Whatever was learnt later changes nothing: an event known after `at` is left out, and so is
    what it replaces.
    """
    moment = int(pa.scalar(at, log.MICROSECONDS).cast(pa.int64()).as_py())
    known = events.select(list(COLUMNS))
    known = known.filter(pc.less_equal(known["known_at"], pa.scalar(at, log.MICROSECONDS)))
    told = _Told(funnel, known, log.retracted_at(known))
    unit, keys, members, names = told.settled()
    moves = standing.versions(len(names), unit, told.state, (told.time, told.known, told.replaced))
    return Course(
        funnel=funnel,
        at=moment,
        events=known,
        replaced=told.all_replaced,
        names=names,
        keys=keys,
        members=members,
        moves=moves,
    )


class _Told:
    """The events that move units: (rows,) arrays, every version."""

    def __init__(self, funnel: Funnel, events: pa.Table, replaced: np.ndarray) -> None:
        state = _states(funnel, events)
        place = np.flatnonzero(state >= 0)
        there = events.take(pa.array(place))
        self.all_replaced = replaced
        self.funnel, self.state, self.replaced = funnel, state[place], replaced[place]
        self.time, self.known = (log.microseconds(there[n]) for n in ("event_time", "known_at"))
        (self.lead, self.leads), (self.deal, self.deals), (self.account, self.accounts) = (
            _coded(there[name]) for name in ("lead", "opportunity", "account")
        )
        if funnel.first_deal == 0:  # no stage is of leads
            self.lead[:] = NOBODY
        if funnel.first_deal >= len(funnel.stages):
            self.deal[:] = NOBODY

    def settled(self) -> tuple[np.ndarray, Keys, Members, np.ndarray]:
        """Return the unit of every event, and who the units are."""
        begins = self._first(self.deal, len(self.deals), self.deal >= 0)
        lead = self._lead_of_deal(begins)
        heirs = np.full(len(self.leads), NOBODY)
        heirs[lead[lead >= 0]] = np.flatnonzero(lead >= 0)
        # units: the leads, then the deals that no lead became
        own = np.flatnonzero(lead < 0)
        unit_of_deal = lead.copy()
        unit_of_deal[own] = len(self.leads) + np.arange(len(own))
        unit = np.where(self.deal >= 0, _where(unit_of_deal, self.deal), self.lead)
        # what is said of a lead after it became a deal is not said of the deal
        heir = _where(heirs, self.lead)
        is_late = (self.deal < 0) & (heir >= 0) & (self.time > _where(begins, heir))
        unit = np.where(is_late, NOBODY, unit)
        units = len(self.leads) + len(own)
        account = np.full(units, NOBODY)
        there = (unit >= 0) & (self.account >= 0)
        account[unit[there]] = self.account[there]
        count = np.arange(len(self.leads))
        none = np.full(len(own), NOBODY)
        members = Members(np.append(count, none), np.append(heirs, own), account)
        keys = Keys(self.leads, self.deals, self.accounts, count, unit_of_deal)
        names = [*self.leads.to_pylist(), *self.deals.take(pa.array(own)).to_pylist()]
        return unit, keys, members, np.array(names, object)

    def _lead_of_deal(self, begins: np.ndarray) -> np.ndarray:
        """Return the lead whose unit each deal goes on with, -1 for none: int64 [deals]."""
        is_lead_stage = (self.state < self.funnel.first_deal) & (self.lead >= 0)
        since = self._first(self.lead, len(self.leads), is_lead_stage)
        is_end = (self.deal < 0) & (self.state >= self.funnel.won_state) & (self.lead >= 0)
        ended = self._first(self.lead, len(self.leads), is_end)
        both = np.flatnonzero((self.deal >= 0) & (self.lead >= 0) & self._stands)
        both = both[np.argsort(self.time[both], kind="stable")[::-1]]
        lead = np.full(len(self.deals), NOBODY)
        lead[self.deal[both]] = self.lead[both]  # the earliest that names both is written last
        goes_on = (_where(since, lead, log.NEVER) < log.NEVER) & (begins <= _where(ended, lead))
        lead[~goes_on] = NOBODY
        order = np.lexsort((np.arange(len(lead)), begins))
        order = order[lead[order] >= 0]
        later = np.ones(len(lead), bool)
        later[order[np.unique(lead[order], return_index=True)[1]]] = False
        lead[later] = NOBODY
        return lead

    @property
    def _stands(self) -> np.ndarray:
        return np.asarray(self.replaced == log.NEVER)

    def _first(self, key: np.ndarray, keys: int, which: np.ndarray) -> np.ndarray:
        """Return when the earliest of some events of each key is that stands, NEVER for none."""
        first = np.full(keys, log.NEVER)
        there = which & self._stands
        np.minimum.at(first, key[there], self.time[there])
        return first


def _states(funnel: Funnel, events: pa.Table) -> np.ndarray:
    """Return the state that each event leads to, -1 for none."""
    states = {name: number for number, name in enumerate(funnel.states)}
    found = np.full(events.num_rows, -1)
    for name, event in funnel.declared:
        found[log.named(events, event.kind, event.names).to_numpy()] = states[name]
    return found


def _coded(column: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """Return the place of each key in the sorted distinct ones, -1 for null, and those."""
    plain = column.cast(pa.string())
    distinct = pc.unique(plain).drop_null().sort()
    return _codes(plain, distinct), distinct


def _codes(column: pa.ChunkedArray, distinct: pa.Array) -> np.ndarray:
    found = pc.fill_null(pc.index_in(column.cast(pa.string()), distinct), -1)
    return np.array(found.to_numpy(), np.int64)


def _where(values: np.ndarray, codes: np.ndarray, none: int = NOBODY) -> np.ndarray:
    """Return the value at each code, `none` where the code is -1."""
    if not len(values):
        return np.full(len(codes), none)
    return np.asarray(np.where(codes >= 0, values[np.maximum(codes, 0)], none))

"""Identity: what persons and companies are called in the records about them.

Persons are named here alone and only for the table of people; events hold keys of records.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.sources.world import names
from features.sources.world.company import INDUSTRIES, REGIONS, Accounts
from features.sources.world.contacts import COPIES, SENIORITIES, Contacts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from features.sources.world.division import Division

PEOPLE = pa.schema([("subject", pa.string()), ("field", pa.string()), ("value", pa.string())])
GIVEN, FAMILY, EMAIL, PHONE = "given_name", "family_name", "email", "phone"
FREE_MAIL = 0.12  # share of persons who write from no company's address
ONLY_EMAIL = 0.12  # share of contacts of whom nothing but the address is known
WITH_PHONE = 0.7  # share of the others
FIRSTS, MIDDLES, LASTS = (w.split() for w in (names.FIRSTS, names.MIDDLES, names.LASTS))
STEMS = len(FIRSTS) * len(MIDDLES) * len(LASTS)
STRIDE = 7_919  # prime, so that neighbours are called differently and no two alike


@dataclass(frozen=True, kw_only=True)
class Firms:
    """What the records of companies say; arrays of one entry per record."""

    name: pa.Array
    domain: pa.Array
    city: pa.Array


def firms(division: Division, accounts: Accounts) -> Firms:
    """Name every record of a company: a second record is called a little differently."""
    rng, count = division.stream("firms"), len(accounts.fit)
    number = (division.accounts.start + np.arange(count)) * STRIDE
    business = accounts.industry * 4 + rng.integers(0, 4, count)
    form, city = accounts.region * 2 + rng.integers(0, 2, count), rng.integers(0, 8, count)
    city += accounts.region * 8
    # a company's own words, not those of its second record
    number, business, form, city = (x[accounts.company] for x in (number, business, form, city))
    stem = _stems(number)
    kind = _take(_flat(names.BUSINESSES, INDUSTRIES), business)
    town = _take(_flat(names.CITIES, REGIONS), city)
    short = [form for region in REGIONS for form in names.FORMS[region]]
    long = [form for region in REGIONS for form in names.FORMS[region].values()]
    is_form, is_typo, is_branch = (pa.array(accounts.variant == v) for v in (1, 2, 3))

    ending = pc.if_else(is_form, _take(long, form), _take(short, form))
    called = pc.if_else(is_typo, _misspelt(stem), stem)
    plain = pc.binary_join_element_wise(called, kind, ending, " ")
    branch = pc.binary_join_element_wise(called, kind, town, ending, " ")
    host = pc.utf8_lower(pc.binary_join_element_wise(stem, kind, ""))
    domain = pc.binary_join_element_wise(host, "example", ".")
    return Firms(name=pc.if_else(is_branch, branch, plain), domain=domain, city=town)


def people(
    division: Division, contacts: Contacts, accounts: Accounts, domain: pa.Array, keys: pa.Array
) -> pa.Table:
    """Return what the records of persons say in the clear: PEOPLE columns, a row per field."""
    rng, count = division.stream("people"), len(contacts.person)
    region = rng.integers(0, len(REGIONS), count)
    has_firm = contacts.account >= 0
    region[has_firm] = accounts.region[contacts.account[has_firm]]
    given, family = rng.integers(0, 20, count), rng.integers(0, 30, count)
    called = region * 20 + given, region * 30 + family
    is_free = (rng.random(count) < FREE_MAIL) | ~has_firm
    digits = pa.array(rng.integers(1_000_000, 9_999_999, count)).cast(pa.string())
    codes = _take([str(names.COUNTRY_CODES[r]) for r in REGIONS], region)
    phone = pc.binary_join_element_wise("+", codes, " 555 ", digits, "")
    own = tuple(part[contacts.person] for part in called)
    columns = {
        **_called(contacts, own),
        EMAIL: _addresses(
            division, contacts, own, (is_free[contacts.person], accounts.company, domain)
        ),
        PHONE: phone.take(pa.array(contacts.person)),
    }
    luck = rng.random(count)
    named = contacts.is_made & ((luck > ONLY_EMAIL) | (contacts.copy > 0))
    keeps = {
        GIVEN: named,
        FAMILY: named,
        EMAIL: contacts.is_made,
        PHONE: named & (rng.random(count) < WITH_PHONE),
    }
    parts = [_field(keys, field, columns[field], keeps[field]) for field in columns]
    return pa.concat_tables(parts)


def titles(rng: np.random.Generator, seniority: np.ndarray) -> np.ndarray:
    """Draw a job title for each: positions in `TITLES`."""
    return np.asarray(seniority * 4 + rng.integers(0, 4, len(seniority)))


def _called(contacts: Contacts, own: tuple[np.ndarray, np.ndarray]) -> dict[str, pa.Array]:
    given, family = _take(_GIVEN, own[0]), _take(_FAMILY, own[1])
    is_typo = pa.array(contacts.copy == COPIES.index("typo"))
    is_nick = pa.array(contacts.copy == COPIES.index("nickname"))
    return {
        GIVEN: pc.if_else(is_nick, _take(_NICK, own[0]), given),
        FAMILY: pc.if_else(is_typo, _misspelt(family), family),
    }


def _addresses(
    division: Division,
    contacts: Contacts,
    own: tuple[np.ndarray, np.ndarray],
    hosts: tuple[np.ndarray, np.ndarray, pa.Array],
) -> pa.Array:
    is_free, company, domain = hosts
    place = np.arange(len(is_free))
    is_typo, is_nick, is_other = (contacts.copy == COPIES.index(c) for c in COPIES[1:4])
    # under a typo the address is the one that was recorded first
    source = np.where(is_typo, contacts.person, place)
    is_free = (is_free | is_other) & ~is_nick | (contacts.account < 0)
    given = _take([_plain(n) for n in _GIVEN], own[0])
    given = pc.if_else(pa.array(is_nick), _take([_plain(n) for n in _NICK], own[0]), given)
    family = _take([_plain(n) for n in _FAMILY], own[1])
    local = pc.binary_join_element_wise(given, family, ".")
    account = np.where(contacts.account < 0, 0, contacts.account)
    # second records of a company share its domain
    at_work = _numbered(company[account], own, ~is_typo & ~is_free)
    # many share a free host, where only a number of one's own is left
    number = np.where(is_free, 10 + (division.leads.start * 4 + place), at_work)
    suffix = pc.if_else(pa.array(number > 0), pa.array(number).cast(pa.string()), "")
    local = pc.binary_join_element_wise(local, suffix, "")
    free = _take(list(names.FREE_MAIL), contacts.person % len(names.FREE_MAIL))
    host = pc.if_else(pa.array(is_free), free, domain.take(pa.array(account)))

    return pc.binary_join_element_wise(local, host, "@").take(pa.array(source))


def _numbered(
    company: np.ndarray, own: tuple[np.ndarray, np.ndarray], counts: np.ndarray
) -> np.ndarray:
    """Number namesakes within a company: 0 for the first, then 2, 3, ..."""
    key = (company * len(_GIVEN) + own[0]) * len(_FAMILY) + own[1]
    key = np.where(counts, key, -1 - np.arange(len(key)))
    order = np.argsort(key, kind="stable")
    begins = np.ones(len(key), dtype=bool)
    begins[1:] = key[order[1:]] != key[order[:-1]]
    place = np.arange(len(key))
    nth = place - np.maximum.accumulate(np.where(begins, place, 0))
    number = np.empty(len(key), dtype=np.int64)
    number[order] = np.where(nth > 0, nth + 1, 0)
    return number


def _field(keys: pa.Array, field: str, values: pa.Array, keep: np.ndarray) -> pa.Table:
    kept = pa.array(keep)
    subject, value = keys.filter(kept), values.filter(kept)
    return pa.table([subject, pa.repeat(field, len(subject)), value], schema=PEOPLE)


def _stems(number: np.ndarray) -> pa.Array:
    place, round_ = number % STEMS, number // (STEMS * STRIDE)
    a, b = len(FIRSTS), len(MIDDLES)
    first, middle = _take(FIRSTS, place % a), _take(MIDDLES, place // a % b)
    last = _take(LASTS, place // (a * b))
    suffix = pc.if_else(pa.array(round_ > 0), pa.array(round_).cast(pa.string()), "")
    return pc.binary_join_element_wise(first, middle, last, suffix, "")


def _misspelt(words: pa.Array) -> pa.Array:
    """Leave out the third letter."""
    start, end = (pc.utf8_slice_codeunits(words, *cut) for cut in ((0, 2), (3, None)))
    return pc.binary_join_element_wise(start, end, "")


def _take(words: Sequence[str], places: np.ndarray) -> pa.Array:
    return pa.array(words).take(pa.array(places))


def _flat(words: dict[str, str], order: dict[str, float]) -> list[str]:
    return [word for group in order for word in words[group].split()]


def _plain(name: str) -> str:
    spelt = "".join(names.PLAIN.get(letter, letter) for letter in name.lower())
    return unicodedata.normalize("NFKD", spelt).encode("ascii", "ignore").decode()


_GIVEN, _NICK = zip(*(pair.split(":") for pair in _flat(names.GIVEN, REGIONS)), strict=True)
_FAMILY = _flat(names.FAMILY, REGIONS)
TITLES = [title for seniority in SENIORITIES for title in names.TITLES[seniority]]

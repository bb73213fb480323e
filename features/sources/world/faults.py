"""Faults: the ways in which rows of real exports are broken, planted in copies of good rows.

A fault applies to the rows that it can break, whatever table they come from. What is broken stands
under a row key of its own, and the truth says which good row it is a copy of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from features.sources.world import cells, spoil

if TYPE_CHECKING:
    from collections.abc import Callable

type Where = Callable[[pa.Table], np.ndarray]
type Spoil = Callable[[np.random.Generator, pa.Table], dict[str, pa.Array | pa.ChunkedArray]]

LISTED = (
    "consent",
    "lead",
    "outcome",
    "support",
    "touch",
    "usage",
)  # kinds whose names are a closed list
SECONDS_PER_DAY = 86_400


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One way to break a row."""

    where: Where  # the rows that it can break
    spoil: Spoil  # the columns of the broken rows


def _kinds(*kinds: str) -> Where:
    return lambda rows: cells.of_kind(rows, *kinds)


def _holding(column: str, *kinds: str) -> Where:
    return lambda rows: cells.of_kind(rows, *kinds) & cells.present(rows, column)


def _number(least: int, *kinds: str) -> Where:
    return lambda rows: cells.of_kind(rows, *kinds) & cells.at_least(rows, "number", least)


def _any(rows: pa.Table) -> np.ndarray:
    return np.ones(rows.num_rows, dtype=bool)


FAULTS: dict[str, Fault] = {
    "unknown kind": Fault(where=_any, spoil=spoil.misspelt("kind")),
    "unknown name": Fault(where=_kinds(*LISTED), spoil=spoil.misspelt("name")),
    "capital letters": Fault(where=_kinds(*LISTED), spoil=spoil.capitals("name")),
    "columns swapped": Fault(where=_kinds(*LISTED), spoil=spoil.swapped("kind", "name")),
    "byte order mark": Fault(where=_any, spoil=spoil.before("kind", "\ufeff")),
    "mixed encodings": Fault(where=_kinds(*LISTED), spoil=spoil.after("name", "Ã¼")),
    "undecodable bytes": Fault(where=_kinds(*LISTED), spoil=spoil.after("name", "\ufffd")),
    "absent kind": Fault(where=_any, spoil=spoil.absent("kind")),
    "absent name": Fault(where=_any, spoil=spoil.absent("name")),
    "blank name": Fault(where=_any, spoil=spoil.said("name", "  ")),
    "absent source": Fault(where=_any, spoil=spoil.absent("source")),
    "absent event time": Fault(where=_any, spoil=spoil.absent("event_time")),
    "absent time of knowledge": Fault(where=_any, spoil=spoil.absent("known_at")),
    "seconds taken for milliseconds": Fault(where=_any, spoil=spoil.in_1970),
    "milliseconds taken for seconds": Fault(where=_any, spoil=spoil.in_far_future),
    "date in the future": Fault(where=_kinds(*LISTED), spoil=spoil.not_yet),
    "known before it happened": Fault(where=_kinds(*LISTED), spoil=spoil.known_too_early),
    "missing deal": Fault(where=_kinds("stage"), spoil=spoil.absent("opportunity", "lead")),
    "missing lead": Fault(where=_kinds("lead"), spoil=spoil.absent("lead")),
    "nobody named": Fault(where=_kinds("touch"), spoil=spoil.absent("lead", "account", "person")),
    "missing number": Fault(where=_kinds("usage"), spoil=spoil.absent("number")),
    "negative seconds": Fault(where=_number(1, "activity", "usage"), spoil=spoil.times(-1)),
    "milliseconds as seconds": Fault(
        where=_number(SECONDS_PER_DAY // 1_000 + 1, "activity", "usage"), spoil=spoil.times(1_000)
    ),
    "negative amount": Fault(where=_number(1, "opportunity"), spoil=spoil.times(-1)),
    "amount in another unit": Fault(
        where=_number(1_000, "opportunity"), spoil=spoil.times(1_000_000_000_000)
    ),
    "unknown arm": Fault(where=_kinds("intervention"), spoil=spoil.misspelt("text")),
    "impossible probability": Fault(where=_number(2, "intervention"), spoil=spoil.times(1_000_000)),
    "key too long": Fault(where=_holding("lead", *LISTED), spoil=spoil.too_long("lead")),
    "control character in a key": Fault(
        where=_holding("lead", *LISTED), spoil=spoil.after("lead", "\x07")
    ),
    "blanks around a key": Fault(where=_holding("lead", *LISTED), spoil=spoil.after("lead", "  ")),
    "address as a key": Fault(where=_holding("lead", *LISTED), spoil=spoil.address("lead")),
    "address as a campaign": Fault(where=_kinds("touch"), spoil=spoil.address("campaign")),
    "address in a text": Fault(
        where=_holding("text", "attribute"), spoil=spoil.address("text", "write to ")
    ),
    "phone number in a text": Fault(where=_holding("text", "attribute"), spoil=spoil.phone),
    "bank account in a text": Fault(where=_holding("text", "attribute"), spoil=spoil.bank_account),
    "card number in a text": Fault(where=_holding("text", "attribute"), spoil=spoil.card),
    "text too long": Fault(where=_holding("text", "attribute"), spoil=spoil.too_long("text")),
}


def poison(rng: np.random.Generator, rows: pa.Table, count: int) -> tuple[pa.Table, pd.DataFrame]:
    """Put `count` broken copies of rows among the rows, as even a share of every fault as can be.

    Returns the rows (CANDIDATE columns, the good ones unchanged and in their order) and the truth:
    row key, fault, and the row key of the good row.
    """
    spoilt, truth = broken(rng, rows, count)
    order = np.argsort(
        np.concatenate([np.arange(rows.num_rows), rng.uniform(0, rows.num_rows, spoilt.num_rows)]),
        kind="stable",
    )
    return pa.concat_tables([rows, spoilt]).take(pa.array(order)), truth


def broken(rng: np.random.Generator, rows: pa.Table, count: int) -> tuple[pa.Table, pd.DataFrame]:
    """Return `count` broken copies of rows and the truth about them, see `poison`."""
    places = {name: np.flatnonzero(fault.where(rows)) for name, fault in FAULTS.items()}
    possible = [name for name, place in places.items() if len(place)]
    parts, truths, first = [rows.slice(0, 0)], [], 0
    for nth, name in enumerate(possible):
        share = (count + nth) // len(possible)
        good = rows.take(pa.array(rng.choice(places[name], share)))
        origin = good["row_key"].to_pylist()
        keys = [f"{key}:fault:{number}" for number, key in enumerate(origin, start=first)]
        bad = cells.replaced(good, {"row_key": pa.array(keys, pa.string())})
        parts.append(cells.replaced(bad, FAULTS[name].spoil(rng, bad)))
        truths += [(key, name, of) for key, of in zip(keys, origin, strict=True)]
        first += share
    columns = {
        name: cells.words([truth[place] for truth in truths])
        for place, name in enumerate(("row_key", "fault", "copy_of"))
    }
    return pa.concat_tables(parts), pd.DataFrame(columns)

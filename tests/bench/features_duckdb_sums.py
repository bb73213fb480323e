"""Formulations of counts and sums for DuckDB.

`join`, the plain one: a range join and aggregates with FILTER. `names`: the same by spine row and
name, with a sixth of the filters. `asof`: prefix sums over the marks at which events enter and
leave each window, looked up with ASOF joins; account, name and time are one integer, and one order
of marks serves all windows of those events that leave in the order in which they happened.
"""

from __future__ import annotations

from tests.bench import features_data as data
from tests.bench import features_duckdb as shared

NAMES = dict(enumerate(data.NAMES))
COLUMNS = {f"{word}_{days}d": "0" for word in data.SUMS for days in data.SUM_DAYS}
LONGEST, SHORTEST = (pick(data.SUM_DAYS) * data.DAY for pick in (max, min))
BITS = 46  # of a time in a key, in microseconds: two years
GROUP = f"((name * (select count(*) from accounts) + code)::bigint << {BITS})"
START = "(select min(event) from raw)"
PAIRS = f"""spine join events on spine.account = events.account and {shared.INSIDE}
  and event >= time - {LONGEST}"""


def join() -> list[str]:
    """By row."""
    wanted = ", ".join(
        f"{_measure(word, f'name = {number} and event >= time - {days * data.DAY}')}"
        f" as {name}_{word}_{days}d"
        for number, name in NAMES.items()
        for word in data.SUMS
        for days in data.SUM_DAYS
    )
    columns = ", ".join(
        f"coalesce({column}, 0)::bigint as {column}" for column in data.columns("sums")
    )
    cells = f"create temp table cells as select row, {wanted} from {PAIRS} group by row"
    return [cells, f"select row, {columns} from spine left join cells using (row)"]


def names() -> list[str]:
    """By row and name."""
    wanted = ", ".join(
        f"{_measure(word, f'event >= time - {days * data.DAY}')} as {word}_{days}d"
        for word in data.SUMS
        for days in data.SUM_DAYS
    )
    cells = f"create temp table cells as select row, name, {wanted} from {PAIRS} group by row, name"
    return [cells, shared.pivoted("cells", NAMES, COLUMNS)]


def _measure(word: str, condition: str) -> str:
    value = "count(*)" if word == "count" else "sum(number)"
    return f"{value} filter ({condition})"


def asof() -> list[str]:
    """Prefix sums; for the accounts of a bucket, else the key is too long."""
    window = "(partition by kind order by key)"  # marks of one key see all of them
    summed = f"""create temp table summed as
      select kind, key, count(*) over w as count, sum(number) over w as sum
      from marks window w as {window}"""
    found = """create temp table found as
      select cell, asked.kind, days, count, sum
      from asked asof left join summed on asked.kind = summed.kind and asked.key >= summed.key"""
    return [*_keyed(), *_asked(), summed, found, _cells(), shared.pivoted("cells", NAMES, COLUMNS)]


def _keyed() -> list[str]:
    """Return statements for the table `marks`: at kind 0 events enter, at kind -1 they happen, at
    kind n those that are not orderly leave a window of n days.
    """
    orderly = f"(replaced = {shared.NEVER} and enter <= event + {SHORTEST})"
    left = " union all ".join(
        f"""select {days}, base + greatest(enter, least(event + {days * data.DAY + 1}, replaced)),
          number from keyed where not orderly"""
        for days in data.SUM_DAYS
    )
    return [
        """create temp table accounts as
          select account, row_number() over () - 1 as code
          from (select distinct account from spine)""",
        f"""create temp table keyed as
          select {GROUP} - {START} as base, event, enter, replaced, {orderly} as orderly,
            coalesce(number, 0) as number
          from events join accounts using (account)""",
        f"""create temp table marks as
          select 0 as kind, base + enter as key, number from keyed
          union all select -1, base + event + 1, number from keyed where orderly
          union all {left}""",
    ]


def _asked() -> list[str]:
    """Return statements for the table `asked`: what is looked up among the marks of each kind."""
    then = " union all ".join(
        f"""select -1, {days}, first + greatest(after - {days * data.DAY}, 0), cell from needles
        union all select {days}, {days}, first + after, cell from needles"""
        for days in data.SUM_DAYS
    )
    return [
        f"""create temp table needles as
          select row * {len(NAMES)} + name as cell, {GROUP} as first, time - {START} as after
          from spine join accounts using (account), (select unnest(range({len(NAMES)})) as name)""",
        f"""create temp table asked as
          select 0 as kind, null as days, first + after as key, cell from needles
          union all {then}""",
    ]


def _cells() -> str:
    """Return a statement for the table `cells`: what entered less what left."""
    wanted = ", ".join(
        f"sum({word}) filter (kind = 0) - coalesce(sum({word}) filter (days = {days}), 0)"
        f" as {word}_{days}d"
        for word in data.SUMS
        for days in data.SUM_DAYS
    )
    number = len(NAMES)
    return f"""create temp table cells as
      select cell // {number} as row, cell % {number} as name, * exclude (cell)
      from (select cell, {wanted} from found group by cell)"""

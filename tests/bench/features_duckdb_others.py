"""Formulations of distinct, min, max and last for DuckDB.

`join`, the plain one: a range join and aggregates with FILTER. `names`: the same by spine row and
name. `texts`: the same, but distinct texts are counted by the shortest window in which each is
found. "Last" is the number of the event with the greatest place in the order of the log.
"""

from __future__ import annotations

from tests.bench import features_data as data
from tests.bench import features_duckdb as shared

NAMES = {list(data.NAMES).index(name): name for name in data.OTHER_NAMES}
COLUMNS = {
    f"{word}_{days}d": "0" if word == "distinct" else "null"
    for word in data.OTHERS
    for days in data.OTHER_DAYS
}
LONGEST = max(data.OTHER_DAYS) * data.DAY
CHOSEN = f"""create temp table chosen as
  select account, name, event, enter, replaced, number, text,
    row_number() over (order by event, known, event_id) as place
  from events where name in {tuple(NAMES)}"""
PAIRS = f"""spine join chosen on spine.account = chosen.account and {shared.INSIDE}
  and event >= time - {LONGEST}"""
AGGREGATES = {
    "distinct": "count(distinct text)",
    "min": "min(number)",
    "max": "max(number)",
    "last": "arg_max_null(number, place)",
}


def join() -> list[str]:
    """By row."""
    wanted = ", ".join(
        f"{aggregate} filter (name = {number} and event >= time - {days * data.DAY})"
        f" as {name}_{word}_{days}d"
        for number, name in NAMES.items()
        for word, aggregate in AGGREGATES.items()
        for days in data.OTHER_DAYS
    )
    columns = ", ".join(
        f"coalesce({column}, 0) as {column}" if "_distinct_" in column else column
        for column in data.columns("others")
    )
    cells = f"create temp table others as select row, {wanted} from {PAIRS} group by row"
    return [CHOSEN, cells, f"select row, {columns} from spine left join others using (row)"]


def names() -> list[str]:
    """By row and name."""
    return [CHOSEN, _cells(PAIRS, AGGREGATES), shared.pivoted("others", NAMES, COLUMNS)]


def texts() -> list[str]:
    """By row and name, texts apart."""
    plain = {word: AGGREGATES[word] for word in ("min", "max", "last")}
    counts = ", ".join(
        f"count(*) filter (age <= {days * data.DAY}) as distinct_{days}d"
        for days in data.OTHER_DAYS
    )
    return [
        CHOSEN,
        f"""create temp table pairs as
          select row, name, text, number, place, event, time from {PAIRS}""",
        _cells("pairs", plain),
        f"""create temp table counted as
          select row, name, {counts} from (
            select row, name, text, min(time - event) as age from pairs
            where text is not null group by row, name, text)
          group by row, name""",
        "create temp table whole as select * from others left join counted using (row, name)",
        shared.pivoted("whole", NAMES, COLUMNS),
    ]


def _cells(pairs: str, aggregates: dict[str, str]) -> str:
    wanted = ", ".join(
        f"{aggregate} filter (event >= time - {days * data.DAY}) as {word}_{days}d"
        for word, aggregate in aggregates.items()
        for days in data.OTHER_DAYS
    )
    return f"create temp table others as select row, name, {wanted} from {pairs} group by row, name"

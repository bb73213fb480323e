"""Which words occur together is what a plain telling of the same says."""

from __future__ import annotations

from itertools import product

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.simulations import known

TEXTS = [("text", "segment"), None, ("text", "team"), ("source", None)]
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["segment", "team", "size"]),
            "text": st.sampled_from(["x", "y", "", None]),
            "source": st.sampled_from(["crm", None]),
            "account": st.sampled_from(["a", "b", "c", None]),
            "lead": st.sampled_from(["l", None]),
            "opportunity": st.sampled_from(["o", None]),
        }
    ),
    max_size=12,
)


def table(rows: list[dict[str, str | None]]) -> pa.Table:
    """Return the rows as a part of a log."""
    names = ("kind", "name", "text", "source", "account", "lead", "opportunity")
    schema = pa.schema([(name, pa.string()) for name in names])
    return pa.Table.from_pylist([{"kind": "attribute", **row} for row in rows], schema)


def plainly(rows: list[dict[str, str | None]]) -> set[tuple[str, ...]]:
    """Return the same, row by row."""
    said: list[dict[str, set[str]]] = [{} for _ in TEXTS]
    for row, (place, told) in product(rows, enumerate(TEXTS)):
        whom = next((row[key] for key in ("account", "lead", "opportunity") if row[key]), None)
        word = told and row[told[0]]
        if whom is not None and word is not None and told and told[1] in (None, row["name"]):
            said[place].setdefault(whom, set()).add(word)
    keys = {whom for each in said for whom in each}
    return {group for key in keys for group in product(*(each.get(key, {""}) for each in said))}


@settings(max_examples=25)  # each joins tables
@given(rows=ROWS)
def test_words_of_the_same_are_put_together(rows: list[dict[str, str | None]]) -> None:
    assert known._together(table(rows), TEXTS) == plainly(rows)


def test_words_of_who_has_no_other_count_too() -> None:
    rows: list[dict[str, str | None]] = [{"name": "segment", "text": "x", "account": "a"}]
    assert known._together(table(rows), TEXTS) == {("x", "", "", "")}

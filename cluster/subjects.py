"""Tables about subjects, checked: subjects are pseudonyms and fields are names, so that no value
can stand in a place that is stored in clear. Pure. No message shows what it refuses.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from cluster import errors, pseudonyms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FIELD = re.compile("[A-Za-z][A-Za-z0-9_./-]{0,99}")  # a name; no value such as a mail or a phone


def checked(table: pa.Table, content: str, kind: pa.DataType) -> pa.Table:
    """Return the columns subject, field and `content` of `table`, `content` as `kind`.

    WrongUse for a missing column, a subject that is no pseudonym or a field that is no name.
    """
    columns = ["subject", "field", content]
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise errors.WrongUse(
            f"a table for the vault must have the columns {', '.join(columns)}, got none called "
            f"'{missing[0]}': {errors.nearest(missing[0], table.column_names)}"
        )
    target = pa.schema([("subject", pa.string()), ("field", pa.string()), (content, kind)])
    table = _cast(table.select(columns), target)
    check_subjects(pc.unique(table["subject"]).to_pylist())
    check_fields(pc.unique(table["field"]).to_pylist())
    return table


def check_subjects(values: Iterable[str | None]) -> None:
    """Raise WrongUse unless every one of `values` is a pseudonym."""
    if not _all_match(pseudonyms.PATTERN, values):
        raise errors.WrongUse(
            "a subject must be a pseudonym, got another text or null: "
            "make it with Vault.pseudonyms, one namespace for each kind of id"
        )


def check_fields(values: Iterable[str | None]) -> None:
    """Raise WrongUse unless every one of `values` is the name of a field."""
    if not _all_match(FIELD, values):
        raise errors.WrongUse(
            "a field must be a name of 1 to 100 letters, digits and _ . / -, got another text or "
            "null: check that fields and values are not exchanged"
        )


def distinct(table: pa.Table) -> pa.Table:
    """Return the distinct rows of `table` without nulls, by subject."""
    rows = table.drop_null()
    order = [(name, "ascending") for name in rows.column_names]
    return rows.group_by(rows.column_names, use_threads=False).aggregate([]).sort_by(order)


def names(table: pa.Table) -> list[str]:
    """Return the subjects of `table`, each once, sorted: the order in which they are locked."""
    return sorted(pc.unique(table["subject"]).to_pylist())


def parts(subjects: list[str], size: int) -> Iterator[list[str]]:
    """Yield `subjects` in parts of at most `size`."""
    for start in range(0, len(subjects), size):
        yield subjects[start : start + size]


def _cast(table: pa.Table, target: pa.Schema) -> pa.Table:
    try:
        return table.cast(target)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError):
        # Not chained: Arrow's own message may show a value.
        raise errors.WrongUse(
            f"a table for the vault must hold {', '.join(map(str, target.types))}, got "
            f"{', '.join(map(str, table.schema.types))}: cast its columns"
        ) from None


def _all_match(pattern: re.Pattern[str], values: Iterable[str | None]) -> bool:
    return all(value is not None and pattern.fullmatch(value) for value in values)

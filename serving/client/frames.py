"""DataFrames: their rows as members of requests, and answers as their columns. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from serving.client import errors

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from pydantic import BaseModel

UTC = "datetime64[us, UTC]"


def require_columns(
    frame: pd.DataFrame, known: Collection[str], *, one_of: Collection[str] = ()
) -> None:
    """Invalid when a column is unknown, stands twice, or none of `one_of` is there."""
    names = [str(name) for name in frame.columns]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise errors.Invalid(
            f"a column must be one of {', '.join(known)}, got '{unknown[0]}': drop or rename it"
        )
    if len(set(names)) != len(names):
        raise errors.Invalid(f"a column must stand once, got {', '.join(names)}: drop one")
    if one_of and not set(names) & set(one_of):
        raise errors.Invalid(
            f"a frame must have a column of {', '.join(one_of)}, got {', '.join(names) or 'none'}"
        )


def rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the values of each row that are not missing, by column; numbers as Python's."""
    names = [str(name) for name in frame.columns]
    columns = [plain(frame.iloc[:, place]) for place in range(len(names))]
    for values in zip(*columns, strict=True):
        yield {n: v for n, v in zip(names, values, strict=True) if v is not None}


def table(answers: Sequence[BaseModel], model: type[BaseModel]) -> pd.DataFrame:
    """Return answers as rows, one column per member."""
    told = [each.model_dump() for each in answers]
    return pd.DataFrame(told, columns=list(model.model_fields))


def plain(column: pd.Series) -> list[Any]:
    """Return the values of a column as Python's own, None for what is missing."""
    return [None if _is_missing(value) else value for value in column.tolist()]


def _is_missing(value: object) -> bool:
    """Whether a cell holds nothing; a list or a mapping is something."""
    return bool(pd.api.types.is_scalar(value)) and bool(pd.isna(value))

"""Numbers of an export as whole numbers of the contract's unit, exactly.

Most cells are scaled as floating-point numbers, whose error is far below a thousandth of a unit up
to 10^12; what lies that near to a half, or above, is computed in decimal arithmetic. Halves go to
the even neighbour.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal, DecimalException
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.sources import lot
from features.sources.parsing import Parsed, failed, or_null

if TYPE_CHECKING:
    from features.sources.phrases import Number

INT64 = pa.int64()
DOUBTFUL_FROM = 1e12  # units; below, the error of a product of doubles is under NEAR_HALF
NEAR_HALF = 1e-3
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_LEAST, _MOST = np.iinfo(np.int64).min, np.iinfo(np.int64).max


def integers(cells: pa.Array, number: Number) -> Parsed:
    """Parse a column into int64; the reasons name each cell that is no number that fits."""
    texts = lot.text_of(cells)
    plain = _plain(texts, number)
    values = _whole(plain, number.times)
    if values is None:
        values = _scaled(plain, number.times)
    return Parsed(values=values, reasons=failed(texts, values, "is a number that fits"))


def floats(texts: pa.Array) -> pa.Array:
    """Parse a column for comparisons; what is no number is null."""
    return or_null(texts, lambda part: part.cast(pa.float64()))


def _plain(texts: pa.Array, number: Number) -> pa.Array:
    """Bring the numbers into the form 1234.56; one whose marks stand wrong becomes null."""
    for mark in number.marks:
        texts = pc.replace_substring(texts, mark, "")
    if number.marks:
        texts = pc.utf8_trim_whitespace(texts)
    if number.thousands:
        mark, point = re.escape(number.thousands), re.escape(number.decimal)
        grouped = rf"^[-+]?\d{{1,3}}(?:{mark}\d{{3}})+(?:{point}\d*)?$"
        fits = pc.or_(
            pc.invert(pc.match_substring(texts, number.thousands)),
            pc.match_substring_regex(texts, grouped),
        )
        texts = pc.if_else(fits, pc.replace_substring(texts, number.thousands, ""), None)
    if number.decimal == ",":
        has_point = pc.match_substring(texts, ".")
        texts = pc.if_else(has_point, None, pc.replace_substring(texts, ",", "."))
    return texts


def _whole(texts: pa.Array, times: Decimal) -> pa.Array | None:
    """Return whole numbers times a whole factor, or None where there is anything else."""
    if times != times.to_integral_value() or _any(pc.match_substring(texts, "x", ignore_case=True)):
        return None
    try:
        values = texts.cast(INT64)
        return values if times == 1 else pc.multiply_checked(values, pa.scalar(int(times), INT64))
    except pa.ArrowInvalid:
        return None


def _scaled(texts: pa.Array, times: Decimal) -> pa.Array:
    doubles = floats(texts)
    scaled = pc.fill_null(doubles, 0.0).to_numpy() * float(times)
    is_finite = np.isfinite(scaled)
    scaled = np.where(is_finite, scaled, 0.0)
    is_doubtful = np.abs(np.abs(scaled - np.floor(scaled)) - 0.5) < NEAR_HALF
    is_doubtful |= np.abs(scaled) >= DOUBTFUL_FROM
    is_absent = ~is_finite | doubles.is_null().to_numpy(zero_copy_only=False)
    rounded = np.rint(np.where(is_doubtful, 0.0, scaled)).astype(np.int64)
    rows = np.flatnonzero(is_doubtful & ~is_absent)
    for row, value in zip(rows.tolist(), _exact(texts.take(pa.array(rows)), times), strict=True):
        rounded[row] = value or 0
        is_absent[row] = value is None
    return pa.array(rounded, INT64, mask=is_absent)


def _exact(texts: pa.Array, times: Decimal) -> list[int | None]:
    coded = texts.dictionary_encode()
    values = [_product(text, times) for text in coded.dictionary.to_pylist()]
    return [values[place] for place in coded.indices.to_pylist()]


def _product(text: str, times: Decimal) -> int | None:
    try:
        product = _EXACT.multiply(Decimal(text), times)
        value = int(product.to_integral_value(ROUND_HALF_EVEN))
    except (DecimalException, ValueError, OverflowError):
        return None
    return value if _LEAST <= value <= _MOST else None


def _any(cells: pa.Array) -> bool:
    return bool(pc.any(cells, min_count=0).as_py())

"""Corrections: what was recorded wrongly at first and became known rightly some days later.

Amounts of new deals, stages, and sessions and requests booked on another account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from features import log
from features.sources.world import cells
from features.sources.world.chance import DAY
from features.sources.world.course import STAGES

if TYPE_CHECKING:
    from features.sources.world.division import Division

FIRST_DAYS, LAST_DAYS = 1.0, 21.0  # until a correction is known
WRONG_FACTORS = (0.5, 0.8, 1.25, 2.0)
# shares of what is corrected, per share of amounts
STAGE_SHARE, ACCOUNT_SHARE = 0.5, 0.1
BOOKED = ("usage", "support")  # kinds that name an account alone


def misread(division: Division, rows: pa.Table) -> tuple[pa.Table, pa.Table, pd.DataFrame]:
    """Make some rows wrong at first.

    Returns all rows, some of them wrong; later known right versions of those; and the truth: row
    key, column, what it said at first, what is right, when that became known.
    """
    rng, share = division.stream("corrections"), division.config.corrections
    amount = _drawn(rng, cells.named(rows, "opportunity", "created"), share)
    stage = _drawn(rng, cells.named(rows, "stage", *STAGES[1:]), share * STAGE_SHARE)
    booked = _drawn(rng, cells.of_kind(rows, *BOOKED), share * ACCOUNT_SHARE)
    booked &= cells.present(rows, "account")
    right = rows.filter(pa.array(amount | stage | booked))
    for column, mask, wrong in (
        ("number", amount, _amounts(rng, rows, amount)),
        ("name", stage, _stages(rows, stage)),
        ("account", booked, _accounts(rng, rows, booked)),
    ):
        rows = cells.overwritten(rows, column, mask, wrong)
    wrong = rows.filter(pa.array(amount | stage | booked))
    wait = rng.uniform(FIRST_DAYS * DAY, LAST_DAYS * DAY, right.num_rows).astype(np.int64)
    known = log.microseconds(right["known_at"]) + wait
    right = cells.replaced(right, {"known_at": cells.times(known)})
    # what nobody noticed before the exports were taken stays wrong
    is_noticed = known < division.end_us
    is_wrong = np.array([_differs(wrong, right, column) & is_noticed for column in _COLUMNS])
    later = right.filter(pa.array(is_wrong.any(axis=0)))
    return rows, later, _truth(wrong, right, is_wrong)


_COLUMNS = ("number", "name", "account")


def _drawn(rng: np.random.Generator, mask: np.ndarray, share: float) -> np.ndarray:
    drawn = mask.copy()
    drawn[mask] = rng.random(int(mask.sum())) < share
    return drawn


def _amounts(rng: np.random.Generator, rows: pa.Table, mask: np.ndarray) -> pa.Array:
    right = rows["number"].filter(pa.array(mask)).to_numpy()
    return pa.array((right * rng.choice(WRONG_FACTORS, len(right))).round().astype(np.int64))


def _stages(rows: pa.Table, mask: np.ndarray) -> pa.Array:
    """Say the stage after the right one, and after the last the one before."""
    right = rows["name"].filter(pa.array(mask)).to_pylist()
    said = {name: STAGES[min(place + 1, len(STAGES) - 1)] for place, name in enumerate(STAGES)}
    said[STAGES[-1]] = STAGES[-2]
    return pa.array([said[name] for name in right], pa.string())


def _accounts(rng: np.random.Generator, rows: pa.Table, mask: np.ndarray) -> pa.Array:
    """Say the account of some other row; where that is the same one, nothing is corrected."""
    accounts = rows["account"].filter(pa.array(cells.present(rows, "account"))).combine_chunks()
    return accounts.take(pa.array(rng.integers(0, max(1, len(accounts)), int(mask.sum()))))


def _differs(wrong: pa.Table, right: pa.Table, column: str) -> np.ndarray:
    pair = zip(wrong[column].to_pylist(), right[column].to_pylist(), strict=True)
    return np.array([one != other for one, other in pair], dtype=bool)


def _truth(wrong: pa.Table, right: pa.Table, is_wrong: np.ndarray) -> pd.DataFrame:
    frames = [
        pd.DataFrame(
            {
                "row_key": _said(right, "row_key", mask),
                "column": cells.words([column] * int(mask.sum())),
                "first": _said(wrong, column, mask),
                "right": _said(right, column, mask),
                "known_at": right["known_at"].filter(pa.array(mask)).to_pandas(),
            }
        )
        for column, mask in zip(_COLUMNS, is_wrong, strict=True)
    ]
    return pd.concat(frames, ignore_index=True)


def _said(rows: pa.Table, column: str, mask: np.ndarray) -> pd.api.extensions.ExtensionArray:
    return cells.words(rows[column].cast(pa.string()).filter(pa.array(mask)).to_pylist())

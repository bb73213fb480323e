"""Lists of accounts: all their pages in one DataFrame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.client import calls, frames
from serving.wire.accounts import MOST_ACCOUNTS, PriorityOut

if TYPE_CHECKING:
    import pandas as pd

    from serving.client.flow import Flow


def flow(name: str, most: int | None) -> Flow[pd.DataFrame]:
    """Return the first `most` accounts of a list, by default all, one row each."""
    found: list[PriorityOut] = []
    after: str | None = None
    while most is None or len(found) < most:
        left = MOST_ACCOUNTS if most is None else min(MOST_ACCOUNTS, most - len(found))
        page = yield calls.priority(name, left, after)
        found += page.accounts
        after = page.next
        if after is None:
            break
    return frames.table(found, PriorityOut)

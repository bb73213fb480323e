"""Who meets which arm: a pure function of a salt, a name and the account.

The same in every process and on every day. Raising a weight adds accounts to an arm and takes none
away, so that two people who work on one account never see two scores of it. Pure.
"""

from __future__ import annotations

import hashlib
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PLACES = 10_000  # weights are in ten thousandths
_DIGITS = 8  # bytes of the hash: what is left over of 2**64 places favours none by 1e-15


def place(salt: str, name: str, account: str) -> int:
    """Return the place of an account in what is called `name`: 0 to 9,999, each as likely.

    >>> place("a1", "release-7", "account-00610")
    9647
    """
    return one_of(salt, name, account, PLACES)


def one_of(salt: str, name: str, account: str, count: int) -> int:
    """Return which of `count` things an account draws in what is called `name`, each as likely.

    >>> one_of("a1", "route", "account-00610", 3)
    1
    """
    said = f"{salt}|{name}|{account}".encode()
    return int.from_bytes(hashlib.sha256(said).digest()[:_DIGITS]) % count


def is_within(place: int, weight: int) -> bool:
    """Does a place belong to an arm of this weight, in ten thousandths?"""
    return place < weight


def arm(place: int, weights: Sequence[int]) -> int | None:
    """Return which of several arms a place belongs to; None beyond all of them.

    >>> arm(4_999, [5_000, 5_000]), arm(5_000, [5_000, 5_000]), arm(200, [100, 100])
    (0, 1, None)
    """
    ends = accumulate(weights)
    return next((index for index, end in enumerate(ends) if place < end), None)

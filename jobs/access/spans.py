"""Lengths of time as they are written on a command line: 90d, 12h, 15m, 30s, 2w. Pure."""

from __future__ import annotations

import re
from datetime import timedelta

from cluster.errors import WrongUse

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_FORM = re.compile(r"([0-9]{1,6})([smhdw])")


def span(option: str, text: str) -> timedelta:
    """Return the length that `text` means; WrongUse, naming the option, if it means none.

    >>> span("--overlap", "36h")
    datetime.timedelta(days=1, seconds=43200)
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise WrongUse(f"{option} must be a number and s, m, h, d or w, got '{text}': write 90d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})

"""The trace context of a request, by W3C Trace Context: whose trace it belongs to. Pure."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


@dataclass(frozen=True, kw_only=True)
class Context:
    """A span of a trace."""

    trace: int  # 128 bits, not 0
    span: int  # 64 bits, not 0
    sampled: bool

    def __str__(self) -> str:
        """Return the header traceparent.

        >>> str(Context(trace=1, span=2, sampled=True))
        '00-00000000000000000000000000000001-0000000000000002-01'
        """
        return f"00-{self.trace_id}-{self.span:016x}-{int(self.sampled):02x}"

    @property
    def trace_id(self) -> str:
        """The trace in hexadecimal digits."""
        return f"{self.trace:032x}"


def read(header: str | None) -> Context | None:
    """Return what a header traceparent says; None where it breaks the rules (section 3.2.2).

    Of a version to come what this one knows is read; 00 must have nothing more.
    """
    found = _HEADER.fullmatch(header) if header else None
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5]):
        return None
    trace, span = int(found[2], 16), int(found[3], 16)
    if not trace or not span:
        return None
    return Context(trace=trace, span=span, sampled=bool(int(found[4], 16) & 1))


def new_trace() -> int:
    """Return the id of a new trace."""
    return random.getrandbits(128) or 1


def within(trace: int, *, sampled: bool) -> Context:
    """Return a new span of a trace."""
    return Context(trace=trace, span=random.getrandbits(64) or 1, sampled=sampled)

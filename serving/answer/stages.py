"""The stages of an answer, and how its header says where the time went."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PARSE, QUEUE, FEATURES = "parse", "queue", "features"
SCORE, EXPLAIN, POLICY = "score", "explain", "policy"
JOURNAL, TOTAL = "journal", "total"
STAGES = (PARSE, QUEUE, FEATURES, SCORE, EXPLAIN, POLICY, JOURNAL, TOTAL)


def server_timing(spent_ms: Mapping[str, float]) -> str:
    """Return the header Server-Timing (W3C) of what each stage took, in milliseconds.

    >>> server_timing({"parse": 0.05, "score": 1.25})
    'parse;dur=0.050, score;dur=1.250'
    """
    return ", ".join(f"{stage};dur={spent:.3f}" for stage, spent in spent_ms.items())

"""Writes: which events a principal may send that is bound to rows.

Those about rows that it sees, under a source of its own: so none corrects an event of another
sender. What says to which rows an entity belongs it may not write at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from cluster.access.principal import Forbidden
from cluster.errors import Refusal
from features import territory
from features.arrivals import Outcome
from features.arrivals.wire import Sent
from serving.access import rows
from serving.answer import questions
from serving.answer.questions import KINDS, Question

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cluster.access.principal import Principal
    from features.arrivals.wire import Malformed
    from features.online.areas import Areas

type Accept = Callable[[Sequence[Sent | Malformed]], list[Outcome]]


def taken(
    areas: Areas, eyes: Principal, sent: Sequence[Sent | Malformed], accept: Accept
) -> list[Outcome] | Refusal:
    """Let `accept` take in those of the events that `eyes`, bound to rows, may send; returns what
    became of each, in their order. Forbidden, and nothing taken in, if one would move a row.
    """
    if moved := next(filter(None, map(_moved, sent)), None):
        return _moves(moved)
    why = [_refused(areas, eyes, each) if isinstance(each, Sent) else None for each in sent]
    made = iter(accept([each for each, no in zip(sent, why, strict=True) if no is None]))
    return [
        next(made)
        if no is None
        else Outcome(id=each.id, source=each.source, status="refused", reasons=str(no))
        for each, no in zip(sent, why, strict=True)
    ]


def _moved(event: Sent | Malformed) -> str | None:
    """Return the attribute by which an event says to which rows an entity belongs, if it does."""
    if not isinstance(event, Sent) or event.kind != territory.KIND:
        return None
    return event.name if event.name in territory.NAMES else None


def source_of(eyes: Principal) -> str:
    """Return the source under which a principal that is bound to rows sends events.

    >>> from dataclasses import replace
    >>> from cluster.access.principal import LOCAL
    >>> source_of(replace(LOCAL, subject="sales app"))
    'sales%20app'
    """
    return quote(eyes.subject, safe=":@|+")


def _refused(areas: Areas, eyes: Principal, event: Sent) -> Refusal | None:
    own = source_of(eyes)
    if event.source != own and not event.source.startswith(f"{own}/"):
        return _of_another(own, event.source)
    named = [(kind, key) for kind in KINDS if (key := getattr(event.data, kind)) is not None]
    if not named:
        return _about_nobody()
    unseen = (each for each in named if not rows.sees(eyes, areas.of(*each)))
    return next((questions.unknown(Question(kind=k, key=key)) for k, key in unseen), None)


def _moves(name: str) -> Forbidden:
    return Forbidden(
        rule="a credential bound to rows must not write to which rows an entity belongs",
        value=f"the attribute {name}",
        remedy="leave it out; nothing of this request was taken in",
    )


def _of_another(own: str, source: str) -> Refusal:
    return Refusal(
        rule=f"the source must be '{own}' or begin with '{own}/' for this credential",
        value=f"'{source}'",
        remedy="send it under a source of your own",
    )


def _about_nobody() -> Refusal:
    return Refusal(
        rule="an event must name a lead, an opportunity or an account for this credential",
        value="none",
        remedy="name whom it is about",
    )

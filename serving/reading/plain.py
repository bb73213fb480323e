"""What is read, as plain values in the words of the API. Pure.

Ids of snapshots are texts: many readers of JSON would round a number of 64 bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from serving.reading.accounts import Course
    from serving.reading.catalogue import Alias, Card, Model, ModelDetail, PolicyDetail
    from serving.reading.explanation import Explained, Explanation
    from serving.reading.priority import Page
    from serving.registry import Reign

type Plain = dict[str, Any]


def explanation(found: Explanation) -> Plain:
    """Return an explanation: every reason down to its source rows."""
    return {
        "id": found.id,
        "entity": found.entity,
        "score": found.score,
        "base": found.base,
        "reasons": [_explained(each) for each in found.reasons],
        "gone": list(found.gone),
    }


def scores(account: str, courses: Sequence[Course]) -> Plain:
    """Return the scores of an account."""
    return {"account": account, "targets": [_course(each) for each in courses]}


def page(found: Page) -> Plain:
    """Return a page of a list."""
    return {
        "list": found.list,
        "as_of": found.as_of,
        "accounts": [
            {"target": found.target, **vars(each), "why": list(each.why)} for each in found.accounts
        ],
        "next": found.next,
    }


def model(found: Model) -> Plain:
    """Return a target with its aliases."""
    return {"target": found.target, "aliases": [vars(each) for each in found.aliases]}


def model_detail(found: ModelDetail) -> Plain:
    """Return a target with its aliases, their history and the card of the live model."""
    return {
        **model(found.model),
        "history": [_reign(each) for each in found.history],
        "card": None if found.card is None else _card(found.card),
    }


def policy(found: PolicyDetail) -> Plain:
    """Return a policy in short."""
    return {**_named(found.name, found.active), "versions": len(found.versions)}


def policy_detail(found: PolicyDetail) -> Plain:
    """Return a policy with its versions and its history."""
    return {
        **_named(found.name, found.active),
        "versions": [
            {"id": each.id, "version": each.version, "document": each.document}
            for each in found.versions
        ],
        "history": [_reign(each) for each in found.history],
    }


def _explained(found: Explained) -> Plain:
    return {
        **vars(found.reason),
        "features": [vars(share) for share in found.features],
        "count": found.count,
        "rows": list(found.rows),
    }


def _course(found: Course) -> Plain:
    move = found.why
    return {
        "target": found.target,
        "entity": found.entity,
        "course": [{**vars(each), "snapshot": str(each.snapshot)} for each in found.points],
        "why": None
        if move is None
        else {
            "from": str(move.since),
            "to": str(move.to),
            "parts": [vars(part) for part in move.parts],
        },
    }


def _named(name: str, active: Alias | None) -> Plain:
    return {"name": name, "active": None if active is None else vars(active)}


def _reign(found: Reign) -> Mapping[str, Any]:
    plain = dict(vars(found))
    return {"version": plain.pop("model"), **plain}


def _card(found: Card) -> Plain:
    return {**vars(found), "features": list(found.features)}

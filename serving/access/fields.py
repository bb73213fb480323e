"""Fields: which features and columns are for the eyes of a principal, by their privacy class. Pure.

What is not is withheld: its value is null, its text says only what it did to the score, and it is
marked. Views classify features, contracts classify columns.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from cluster.access.principal import sees_class
from cluster.access.privacy import Privacy
from features.views import VIEWS
from serving import ruled
from serving.explain import told
from serving.wire.records import answer, answer_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cluster.access.principal import Principal
    from serving.access.columns import Classify

WITHHELD = "withheld"
MOST_PRIVATE = Privacy.PERSONAL  # of features
_WORD = re.compile(r"\w+")

type Plain = dict[str, Any]
type Opens = Callable[[str], bool]  # is the feature of this name to be seen?


def narrowed(principal: Principal) -> Privacy | None:
    """Return the clearance of a principal; None for one that sees every feature."""
    return None if sees_class(principal, MOST_PRIVATE) else principal.clearance


def everything(name: str) -> bool:
    """Open every feature."""
    return True


@lru_cache(maxsize=256)
def opener(made_by: str, clearance: Privacy | None) -> Opens:
    """Return which features a clearance opens of those that views have made: name@version, with
    commas between. A feature that none of the views declares now is as private as may be.
    """
    if clearance is None or clearance.covers(MOST_PRIVATE):
        return everything
    declared = {view.name: view for view in VIEWS}
    names = [each.partition("@")[0] for each in made_by.split(",")]
    views = [declared.get(name) for name in names]
    open = [v for v in views if v is not None and clearance.covers(Privacy(v.privacy))]
    if len(open) == len(views):
        return everything
    return frozenset(name for view in open for name in view.columns).__contains__


def decision_bytes(body: Plain, clearance: Privacy | None) -> bytes:
    """Return the answer to a decision from its record, for a clearance (None: whole)."""
    return answer_bytes(body) if clearance is None else to_json(decision(body, clearance))


def decision(body: Plain, clearance: Privacy | None) -> Plain:
    """Return the members of the answer to a decision from its record."""
    said, opens = answer(body), opener(body["basis"]["view"], clearance)
    if opens is everything:
        return said
    if said["reasons"] is not None:
        said["reasons"] = [reason(each, opens) for each in said["reasons"]]
    if said["fallback"] is not None:
        said["fallback"]["detail"] = WITHHELD  # an error may repeat what it failed on
    closed = {name for name in body["features"] if not opens(name)}
    said["trace"] = [WITHHELD if closed & {*_WORD.findall(t)} else t for t in said["trace"]]
    return said


def reason(said: Mapping[str, Any], opens: Opens) -> Mapping[str, Any]:
    """Return a reason as it may be told: whole, or marked and without what tells a value."""
    names = (said["feature"], *said.get("features", ()))
    if all(map(opens, names)):
        return said
    change = said.get("probability_change")
    text = WITHHELD if change is None else f"{WITHHELD}, {told(change)}"
    kept = {**said, "value": None, "text": text, WITHHELD: True}
    if said.get("group") == ruled.GROUP:  # which rules fired tells what they look at
        kept |= {"feature": ruled.GROUP, "features": []}
    return kept


def explained(said: Mapping[str, Any], opens: Opens) -> Mapping[str, Any]:
    """Return a reason of an explanation as it may be told; `features` are its shares."""
    names = [share["name"] for share in said["features"]]
    kept = reason({**said, "features": names}, opens)
    if WITHHELD not in kept:
        return said
    shares = [
        share if opens(share["name"]) else {**share, "value": None, WITHHELD: True}
        for share in said["features"]
        if share["name"] in kept["features"]
    ]
    return {**kept, "features": shares, "count": None, "rows": []}


def explanation(said: Plain, opens: Opens, principal: Principal, classify: Classify) -> Plain:
    """Return an explanation as it may be told to a principal."""
    told = [explained(each, opens) for each in said["reasons"]]
    reasons = [{**each, "rows": rows(each["rows"], principal, classify)} for each in told]
    return {**said, "reasons": reasons}


def page(said: Plain, opens: Opens) -> Plain:
    """Return a page of a priority list as it may be told."""
    if opens is everything:
        return said
    told = [
        {**each, "why": [reason(why, opens) for why in each["why"]]} for each in said["accounts"]
    ]
    return {**said, "accounts": told}


def rows(found: Iterable[Plain], principal: Principal, classify: Classify) -> list[Plain]:
    """Return the source rows of an explanation as they may be told to a principal."""
    return [_row(each, principal, classify) for each in found]


def _row(row: Plain, principal: Principal, classify: Classify) -> Plain:
    classes = classify(row["kind"], row["name"])
    closed = [name for name, of in classes.items() if not sees_class(principal, of)]
    return {**row, **dict.fromkeys(closed), WITHHELD: closed} if closed else row

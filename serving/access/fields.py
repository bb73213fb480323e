"""Fields: which features are for the eyes of whom, by the privacy class of their view. Pure.

What is not is withheld: its value is null, its text says only what it did to the score, and it is
marked.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cluster.access.privacy import Privacy
from features.views import VIEWS
from serving import ruled
from serving.explain import told

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WITHHELD = "withheld"

type Opens = Callable[[str], bool]  # is the feature of this name to be seen?


def everything(name: str) -> bool:
    """Open every feature."""
    return True


@lru_cache(maxsize=256)
def opener(made_by: str, clearance: Privacy | None) -> Opens:
    """Return which features a clearance opens of those that views have made: name@version, with
    commas between. A feature that none of the views declares now is as private as may be.
    """
    declared = {view.name: view for view in VIEWS}
    names = [each.partition("@")[0] for each in made_by.split(",")]
    views = [declared.get(name) for name in names]
    if clearance is None:
        return everything
    open = [v for v in views if v is not None and clearance.covers(Privacy(v.privacy))]
    if len(open) == len(views):
        return everything
    return frozenset(name for view in open for name in view.columns).__contains__


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

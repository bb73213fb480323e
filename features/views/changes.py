"""What changed between two definitions of a view."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from cluster import canonical

if TYPE_CHECKING:
    from features.views.aggregates import Feature
    from features.views.language import View

EXAMPLES = 3  # of features that a summary names

type Kind = Literal["added", "removed", "changed", "moved", "said"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """One difference between an old and a new definition."""

    kind: Kind  # moved: another order of columns; said: another word about the view as a whole
    where: str  # the feature, or the word
    what: str = ""  # what is different, `<part> <before> -> <after>`

    @property
    def words(self) -> str:
        """The change in one line."""
        return (
            f"{self.where}: {self.kind} ({self.what})"
            if self.what
            else f"{self.where}: {self.kind}"
        )


def changes(old: View, new: View) -> list[Change]:
    """Return every difference: of the view, then its features in the order of the new one, then
    those that are gone.
    """
    before, after = ({f.name: f for f in view.features} for view in (old, new))
    words = [f.name for f in fields(old) if f.name != "features"]
    found = [
        Change(kind="said", where=word, what=_move(getattr(old, word), getattr(new, word)))
        for word in words
        if getattr(old, word) != getattr(new, word)
    ]
    for name, feature in after.items():
        if name not in before:
            found.append(Change(kind="added", where=name))
        elif what := _parts(before[name], feature):
            found.append(Change(kind="changed", where=name, what=what))
    found += [Change(kind="removed", where=name) for name in before if name not in after]
    return found + _moved(list(before), list(after))


def summary(found: list[Change]) -> str:
    """Return many changes in one line.

    >>> summary([Change(kind="added", where="calls_7d"), Change(kind="added", where="calls_9d")])
    '2 added: calls_7d, calls_9d'
    """
    kinds = list(dict.fromkeys(change.kind for change in found))
    return "; ".join(_several([c for c in found if c.kind == kind]) for kind in kinds)


def _several(alike: list[Change]) -> str:
    shown = [f"{c.where} ({c.what})" if c.what else c.where for c in alike[:EXAMPLES]]
    more = [f"{len(alike) - EXAMPLES} more"] if len(alike) > EXAMPLES else []
    return f"{len(alike)} {alike[0].kind}: {', '.join([*shown, *more])}"


def _parts(old: Feature, new: Feature) -> str:
    before, after = _plain(old), _plain(new)
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return ", ".join(f"{name} {_move(before.get(name), after.get(name))}" for name in names)


def _plain(feature: Feature) -> dict[str, Any]:
    return {"aggregate": type(feature).__name__, **asdict(feature)}


def _moved(before: list[str], after: list[str]) -> list[Change]:
    both = set(before) & set(after)
    orders = [[name for name in names if name in both] for names in (before, after)]
    if orders[0] == orders[1]:
        return []
    first = next(new for old, new in zip(*orders, strict=True) if old != new)
    return [Change(kind="moved", where=first, what="columns in another order")]


def _move(before: object, after: object) -> str:
    return f"{_brief(before)} -> {_brief(after)}"


def _brief(value: object) -> str:
    return value if isinstance(value, str) else canonical.dumps(value).decode()

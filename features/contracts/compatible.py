"""What changed between two versions of a contract, and whether the version number says so.

A change is breaking when an event that was good would be bad, or when a reader would read it
wrongly: another unit, a weaker privacy class, a promise of freshness taken back. Breaking changes
need a new major version, compatible ones a minor, words alone a patch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from cluster.errors import Refusal
from features.contracts.columns import matching_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from features.contracts.contract import Contract, Property

PRIVACY = ("public", "internal", "confidential", "restricted")  # weakest first
_LEVELS = ("major", "minor", "patch")
_WORDS = ("name", "status", "domain", "description", "team")  # parts that bind no event
_WHAT = {"major": "a breaking change", "minor": "a change", "patch": "a change of words"}

type Level = Literal["major", "minor", "patch"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """One difference between an old and a new contract."""

    kind: str  # what was done: "range narrowed", "column added", ...
    where: str  # the column, with the name of event if only that one changed
    before: str
    after: str
    level: Level  # which part of the version it moves

    @property
    def is_breaking(self) -> bool:
        """Whether it needs a new major version."""
        return self.level == "major"

    @property
    def words(self) -> str:
        """The change in one line."""
        return f"{self.where}: {self.kind} ({self.before or 'none'} -> {self.after or 'none'})"


def changes(old: Contract, new: Contract) -> list[Change]:
    """Return every difference, breaking ones first; the version itself is none."""
    found = [*_contract(old, new), *_groups(old, new)]
    for name in _names(old, new):
        before, after = old.promises(name), new.promises(name)
        for column in sorted(before.keys() | after.keys()):
            where = f"{column} of {name}" if name else column
            found += _column(where, before.get(column), after.get(column))
    once = {(c.kind, c.where.split(" of ")[0], c.before, c.after): c for c in reversed(found)}
    return sorted(once.values(), key=lambda c: (_LEVELS.index(c.level), c.where, c.kind))


def verdict(old: Contract, new: Contract) -> Refusal | None:
    """Return None if the new version number is high enough for the changes, else why not."""
    found = changes(old, new)
    if not found:
        return None
    needed = next_version(old.version, found[0].level)
    if _numbers(new.version) >= _numbers(needed):
        return None
    level = found[0].level
    those = "; ".join(c.words for c in found if c.level == level)
    return Refusal(
        rule=f"{_WHAT[level]} of the contract '{old.event_kind}' needs a new {level} version",
        value=f"{old.version} -> {new.version} with {those}",
        remedy=f"write version {needed}, or take the change back",
    )


def next_version(version: str, level: Level) -> str:
    """Return the first version after one that may hold a change of a level.

    >>> next_version("1.4.2", "minor")
    '1.5.0'
    """
    place = _LEVELS.index(level)
    numbers = _numbers(version)
    return ".".join(map(str, [*numbers[:place], numbers[place] + 1, *[0] * (2 - place)]))


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _names(old: Contract, new: Contract) -> list[str]:
    """Return the names of old events that either contract singles out, and "" for all others."""
    promise = old.promises("").get("name")
    listed = set(promise.allowed) if promise else set()
    named = old.named | new.named
    is_all = bool(listed) and listed <= named and promise is not None and promise.required
    return [*([] if is_all else [""]), *sorted(named & listed if listed else named)]


def _contract(old: Contract, new: Contract) -> Iterator[Change]:
    if old.event_kind != new.event_kind:
        yield _change("kind of event renamed", "schema", old.event_kind, new.event_kind, "major")
    hours = [contract.slaProperties[0].value for contract in (old, new)]
    if hours[0] != hours[1]:
        level: Level = "major" if hours[1] > hours[0] else "minor"
        kind = "freshness promised for later" if level == "major" else "freshness promised sooner"
        yield _change(kind, "slaProperties", f"{hours[0]} h", f"{hours[1]} h", level)
    gone, come = set(old.planned) - set(new.planned), set(new.planned) - set(old.planned)
    if gone:
        yield _change("names no longer planned", "planned", _list(gone), "", "major")
    if come:
        yield _change("names now planned", "planned", "", _list(come), "minor")
    for part in _WORDS:
        before, after = getattr(old, part), getattr(new, part)
        if before != after:
            yield _change("words changed", part, _short(before), _short(after), "patch")


def _groups(old: Contract, new: Contract) -> Iterator[Change]:
    before, after = [frozenset(g) for g in old.any_of], [frozenset(g) for g in new.any_of]
    always = [{c for c, p in old.promises(n).items() if p.required} for n in _names(old, new)]
    needed = set.intersection(*always) if always else set()
    for group in after:
        if group not in before:
            is_kept = bool(group & needed) or any(earlier <= group for earlier in before)
            level: Level = "minor" if is_kept else "major"
            yield _change("group of which one is required", "requireAnyOf", "", _list(group), level)
    for group in before:
        if group not in after:
            yield _change("group no longer required", "requireAnyOf", _list(group), "", "minor")


def _column(where: str, old: Property | None, new: Property | None) -> Iterator[Change]:
    if old is None and new is not None:
        kind = "required column added" if new.required else "column added"
        yield _change(kind, where, "", new.logicalType, "major" if new.required else "minor")
    if old is not None and new is None:
        yield _change("column removed", where, old.logicalType, "", "major")
    if old is None or new is None:
        return
    if old.logicalType != new.logicalType:
        yield _change("type changed", where, old.logicalType, new.logicalType, "major")
    if old.required != new.required:
        level: Level = "major" if new.required else "minor"
        kind = "now required" if new.required else "now optional"
        yield _change(kind, where, "", "", level)
    if old.unit != new.unit:
        yield _change("unit changed", where, old.unit, new.unit, "major")
    yield from _privacy(where, old, new)
    yield from _limits(where, old, new)
    yield from _values(where, old, new)
    if old.description != new.description:
        yield _change("words changed", where, old.description, new.description, "patch")


def _privacy(where: str, old: Property, new: Property) -> Iterator[Change]:
    before, after = PRIVACY.index(old.classification), PRIVACY.index(new.classification)
    if before != after:
        kind = "privacy class weakened" if after < before else "privacy class strengthened"
        level: Level = "major" if after < before else "minor"
        yield _change(kind, where, old.classification, new.classification, level)


def _limits(where: str, old: Property, new: Property) -> Iterator[Change]:
    """Compare ranges and lengths; where the old values are listed, those alone need to fit."""
    listed = [len(value) for value in old.allowed]
    for limit in ("minimum", "maximum", "minLength", "maxLength"):
        before = getattr(old.logicalTypeOptions, limit)
        after = getattr(new.logicalTypeOptions, limit)
        if before == after:
            continue
        is_low, what = limit.startswith("min"), "length" if "Length" in limit else "range"
        if what == "length" and listed and after is not None:
            is_narrower = any(n < after if is_low else n > after for n in listed)
        else:
            is_narrower = after is not None and (
                before is None or (after > before if is_low else after < before)
            )
        kind = f"{what} {'narrowed' if is_narrower else 'widened'}"
        level: Level = "major" if is_narrower else "minor"
        yield _change(kind, where, _bound(limit, before), _bound(limit, after), level)


def _values(where: str, old: Property, new: Property) -> Iterator[Change]:
    before, after = set(old.allowed), set(new.allowed)
    gone, come = before - after, after - before
    if after and (gone or not before):
        gone_words = _list(gone) if before else "any value"
        yield _change("valid values taken away", where, gone_words, "", "major")
    if before and (come or not after):
        yield _change("valid values added", where, "", _list(come) or "any value", "minor")
    patterns = old.logicalTypeOptions.pattern, new.logicalTypeOptions.pattern
    if patterns[0] != patterns[1]:
        fits = patterns[1] is None or (
            bool(before) and bool(matching_rows(pa.array(sorted(before)), patterns[1]).all())
        )
        kind = "pattern loosened" if fits else "pattern changed"
        level: Level = "minor" if fits else "major"
        yield _change(kind, where, patterns[0] or "", patterns[1] or "", level)


def _change(kind: str, where: str, before: str, after: str, level: Level) -> Change:
    return Change(kind=kind, where=where, before=before, after=after, level=level)


def _bound(limit: str, value: int | None) -> str:
    return "" if value is None else f"{limit} {value}"


def _list(values: set[str] | frozenset[str]) -> str:
    return ", ".join(sorted(values))


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:40]}..."

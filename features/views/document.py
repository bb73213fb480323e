"""A view as a document: canonical JSON that is kept, and read back as the View that it was.

The language is closed. A document names aggregates of aggregates.py and says the fields of theirs;
anything else is refused, never run. A field that the language has learnt since has its default.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, fields
from functools import cache
from types import UnionType
from typing import Any, Literal, TypeAliasType, get_args, get_origin, get_type_hints

from cluster import canonical
from cluster.errors import FunnelcastError, nearest
from features.views import aggregates
from features.views.aggregates import Feature
from features.views.language import Column, Events, View, Where

FORMAT = 1
AGGREGATES: dict[str, type[Feature]] = {
    name: kind
    for name, kind in vars(aggregates).items()
    if isinstance(kind, type) and issubclass(kind, Feature) and kind is not Feature
}
_NAMES = {"Feature": Feature, "Events": Events, "Column": Column}  # of hints that name no import
_PLAIN = {str: (str,), int: (int,), float: (int, float), type(None): (type(None),)}


class ViewBroken(FunnelcastError):
    """A document is no view of this language."""


def written(view: View) -> bytes:
    """Return the document of a view; equal views have equal bytes."""
    features = [{"aggregate": type(f).__name__, **asdict(f)} for f in view.features]
    own = {f.name: getattr(view, f.name) for f in fields(view) if f.name != "features"}
    said = {"format": FORMAT, "version": view.version, **own, "features": features}
    return canonical.dumps(said)


def read(data: bytes) -> tuple[str, View]:
    """Return (version as said, view) of a document; ViewBroken for what is none."""
    try:
        said = json.loads(data)
    except ValueError as error:
        raise _broken("the document", "JSON", str(error)) from error
    if not isinstance(said, dict) or said.pop("format", None) != FORMAT:
        raise _broken("the document", f"of format {FORMAT}", str(said)[:80])
    version = _value(str, said.pop("version", None), "version")
    return version, _object(View, said, "the view")


def _object(kind: type, said: object, where: str) -> Any:
    if not isinstance(said, dict):
        raise _broken(where, "a mapping", repr(said))
    hints = _hints(kind)
    for name in said:
        if name not in hints:
            raise _broken(where, "said in the words of the language", repr(name), name, hints)
    needed = [f.name for f in fields(kind) if f.default is MISSING and f.name not in said]
    if needed:
        raise _broken(where, f"given with its '{needed[0]}'", "none")
    try:
        return kind(**{n: _value(hints[n], v, f"{where}, {n}") for n, v in said.items()})
    except ValueError as error:
        raise _broken(where, "a sentence of the language", str(error)) from error


def _value(hint: Any, said: object, where: str) -> Any:
    """Return a value as the language has it; numbers stay whole or real, as they were written."""
    if isinstance(hint, TypeAliasType):
        return _value(hint.__value__, said, where)
    origin, inner = get_origin(hint), get_args(hint)
    if origin is tuple and isinstance(said, list):
        return tuple(_value(inner[0], each, f"{where}.{n}") for n, each in enumerate(said))
    if hint is Feature:
        return _feature(said, where)
    if hint in (Events, Where):
        return _object(hint, said, where)
    if not _fits(hint, said):
        raise _broken(where, "of its type", repr(said))
    return said


def _fits(hint: Any, said: object) -> bool:
    """Is a value one of a plain type, of a list of words, or of either of several such?"""
    if isinstance(hint, TypeAliasType):
        return _fits(hint.__value__, said)
    if get_origin(hint) is Literal:
        return said in get_args(hint) and not isinstance(said, bool)
    if get_origin(hint) is tuple:
        return False
    if isinstance(hint, UnionType) or get_origin(hint) is not None:
        return any(_fits(each, said) for each in get_args(hint))
    return isinstance(said, _PLAIN.get(hint, ())) and not isinstance(said, bool)


def _feature(said: object, where: str) -> Feature:
    name = said.get("aggregate") if isinstance(said, dict) else None
    if not isinstance(said, dict) or not isinstance(name, str) or name not in AGGREGATES:
        raise _broken(where, "of an aggregate of the language", repr(name), str(name), AGGREGATES)
    own = {key: value for key, value in said.items() if key != "aggregate"}
    feature: Feature = _object(AGGREGATES[name], own, where)
    return feature


@cache
def _hints(kind: type) -> dict[str, Any]:
    """Return the types of the fields of a class, by name."""
    hints = get_type_hints(kind, localns=_NAMES)
    return {f.name: hints[f.name] for f in fields(kind)}


def _broken(
    where: str, rule: str, found: str, name: str = "", valid: dict[str, Any] | None = None
) -> ViewBroken:
    hint = nearest(name, valid) if valid else "restore it from a backup"
    return ViewBroken(
        f"a stored view: {where} must be {rule}, got {' '.join(found.split())}: {hint}"
    )

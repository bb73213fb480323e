"""What a mapping may not be, found before any row is read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cluster.errors import WrongUse, nearest
from cluster.settings import CONFIGS
from features.contracts import load_contracts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from features.contracts import Contract
    from features.sources.mapping import EventMapping, FileMapping, SourceMapping
    from features.sources.phrases import Words


def vet(mapping: SourceMapping, terms: Mapping[str, Contract] | None = None) -> None:
    """Raise WrongUse for an event that no contract knows or a person in the clear."""
    known = load_contracts(CONFIGS / "contracts") if terms is None else terms
    places: set[tuple[str, str]] = set()
    for file in mapping.files:
        where = f"source '{mapping.source}', file '{_name(file)}'"
        _vet_people(file, where)
        for event in file.events:
            _vet_event(event, known, where)
            if (_name(file), event.place) in places:
                raise WrongUse(
                    f"{where}: an event of a row must have a key of its own, got '{event.place}'"
                    " twice: add 'slot' to one of them"
                )
            places.add((_name(file), event.place))


def require(file: FileMapping, columns: Iterable[str], name: str) -> None:
    """Raise WrongUse when a column that the mapping reads is not there."""
    there = set(columns)
    for column in sorted(file.read_columns | ({file.each} if file.each else set())):
        if column not in there and column not in file.optional:
            looked_up = {ours for lookup in file.lookups for ours in lookup.taken}
            hint = nearest(column, there | looked_up)
            raise WrongUse(f"{name}: no column '{column}': {hint}")


def _vet_event(event: EventMapping, terms: Mapping[str, Contract], where: str) -> None:
    for kind in _results(event.kind):
        if kind not in terms:
            raise WrongUse(f"{where}: no contract is about kind '{kind}': {nearest(kind, terms)}")
        promise = next((p for p in terms[kind].properties if p.column == "name"), None)
        for name in _results(event.name) if promise else ():
            pattern = promise.logicalTypeOptions.pattern if promise else None
            allowed = promise.allowed if promise else []
            if allowed and name not in allowed:
                hint = nearest(name, allowed)
                raise WrongUse(f"{where}: {kind} events have no name '{name}': {hint}")
            if pattern and not re.search(pattern, name):
                raise WrongUse(f"{where}: a name of {kind} events matches {pattern}, got '{name}'")


def _results(words: Words) -> list[str]:
    """Return the values that a mapping is certain to make."""
    if words.fixed is not None:
        return [words.fixed]
    return [] if words.snake else list(words.values.values())


def _vet_people(file: FileMapping, where: str) -> None:
    keys = [person.key for person in file.people]
    private = {column for person in file.people for column in person.fields.values()} - set(keys)
    if len(set(keys)) < len(keys):
        raise WrongUse(f"{where}: a key of 'people' names one person, got it twice: join them")
    used = set(file.row_key).union(*(event.columns for event in file.events))
    for column in sorted(private & used):
        raise WrongUse(
            f"{where}: a field of a person goes to the vault alone, got '{column}' in an event:"
            " take it out, or make it the key of a person"
        )
    for event in file.events:
        person = event.keys.get("person")
        if person and person.column and person.column not in {*keys, *file.opaque}:
            raise WrongUse(
                f"{where}: a person must be the key of an entry in 'people' or a column declared"
                f" 'opaque', got '{person.column}': {nearest(person.column, [*keys, *file.opaque])}"
            )


def _name(file: FileMapping) -> str:
    return file.file or "query"

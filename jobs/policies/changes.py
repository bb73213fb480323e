"""What one policy says otherwise than another, in one line per difference. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from serving.policy import Policy

LISTS = {"rules": "name", "routes": "route"}  # and by what their parts are called


def changes(before: Policy, after: Policy) -> list[str]:
    """Return every difference, in the order of the fields; none but of name and version for two
    policies that decide alike.
    """
    one, other = (dict(_flat(policy.model_dump(mode="json"))) for policy in (before, after))
    told = [_told(key, one, other) for key in dict.fromkeys([*one, *other])]
    return [line for line in told if line]


def _flat(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every value under a path of its own; the parts of a list also by their order."""
    for key, value in document.items():
        if key in LISTS:
            named = dict(_named(key, value))
            yield f"order of {key}", ", ".join(named)
            for name, part in named.items():
                yield from _flat({f"{key}.{name}.{k}": v for k, v in part.items()})
        elif isinstance(value, dict):
            yield from _flat({f"{key}.{k}": v for k, v in value.items()})
        else:
            yield key, value


def _named(key: str, parts: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the parts of a list by name; a second of one name is numbered."""
    seen: dict[str, int] = {}
    for part in parts:
        name = part[LISTS[key]]
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 else f"{name} ({seen[name]})", part


def _told(key: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    if key not in after:
        return f"{key}: no longer {before[key]}"
    if key not in before:
        return f"{key}: now {after[key]}"
    return "" if before[key] == after[key] else f"{key}: {before[key]} -> {after[key]}"

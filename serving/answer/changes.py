"""Changes: a log line for whatever became of the service itself, found by looking once a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from serving.observe import lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.answer.service import DecisionService

EVERY_S = 1.0

type Line = tuple[int, str, dict[str, Any]]
type State = dict[str, tuple[int, dict[str, Any]]]  # by what it is about: level and words


class Changes:
    """Tells what is otherwise than at the last look. For one thread."""

    def __init__(self, service: DecisionService) -> None:
        self._service = service
        self._before: State = {}

    def look(self) -> None:
        """Write a line for each change."""
        now = state(self._service)
        for level, event, said in changed(self._before, now):
            self._service.watch.lines.say(level, event, said)
        self._before = now


def state(service: DecisionService) -> State:
    """Return what is worth a line when it changes; no words of errors, as they may quote."""
    found: State = {}
    for kind, slot in service.slots.by_kind.items():
        found[f"slot {kind}"] = lines.INFO, {"kind": kind, **vars(slot.basis)}
        if service.breaker(slot).is_open:
            found[f"breaker {kind}"] = lines.WARNING, {"kind": kind, "model": slot.basis.model}
    for refused in service.watcher.refused:
        said = {"ref": refused.what, "target": refused.target, "epoch": refused.epoch}
        found[f"refused {refused.what}"] = lines.WARNING, said
    if service.watcher.away:
        found["database"] = lines.WARNING, {}
    if service.slots.missing:
        found["missing"] = lines.ERROR, {"count": len(service.slots.missing)}
    return found


def changed(before: State, now: State) -> Iterator[Line]:
    """Yield a line for what is new or otherwise, and for what is over.

    >>> list(changed({}, {"breaker lead": (30, {"kind": "lead"})}))
    [(30, 'breaker', {'kind': 'lead', 'is': 'there'})]
    """
    for name, (level, said) in now.items():
        if before.get(name) != (level, said):
            yield level, name.partition(" ")[0], {**said, "is": "there"}
    for name, (_, said) in before.items():
        if name not in now:
            yield lines.INFO, name.partition(" ")[0], {**said, "is": "over"}

"""Jobs of several actions: each needs some of the settings and may use some, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cluster.errors import WrongUse, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Settings(Protocol):
    """The settings of such a job."""

    @property
    def action(self) -> str:
        """What to do."""


type Actions = Mapping[str, tuple[Iterable[str], Iterable[str]]]  # needed and allowed settings


def require(
    settings: Settings, actions: Actions, places: Iterable[str], options: Iterable[str]
) -> None:
    """WrongUse for an action that is none, and for what it cannot use or must have.

    `settings` has `action`, and one attribute per place of the command line and per option.
    """
    action = settings.action
    if action not in actions:
        raise WrongUse(f"the action must be known, got '{action}': {nearest(action, actions)}")
    needed, allowed = actions[action]
    for name in (*places, *options):
        given = getattr(settings, name) is not None
        if given == (name in needed) or (given and name in allowed):
            continue
        shown = name.upper() if name in places else f"--{name.replace('_', '-')}"
        there, remedy = ("it", "leave it out") if given else ("none", "give one")
        rule = "have no" if given else "have"
        raise WrongUse(f"{action} must {rule} {shown}, got {there}: {remedy}")

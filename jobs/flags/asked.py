"""What is asked of a flag that is an experiment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.errors import WrongUse, done
from features.targets import load_target
from serving.releases import compared

if TYPE_CHECKING:
    from features.targets import Target
    from serving.releases.flags import Compared, Flag


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A flag, what is asked of each comparison, and the target whose outcome it is."""

    flag: Flag
    each: Compared
    target: Target


def of(flag: Flag) -> Asked:
    """Return what a flag asks; WrongUse for one that compares nothing, or by no target."""
    each = done(compared.asked_of_each(flag), WrongUse)
    return Asked(flag=flag, each=each, target=load_target(each.target))

"""The story of a look at flags: which there are; how many accounts were told each variant, and
whether that is as the weights say.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from cluster.errors import Refusal, WrongUse
from jobs.actions import require
from jobs.console import Job, Progress, Report, argument
from serving.releases import flags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.workspace import Workspace
    from serving.releases.flags import Flag

# of each action: the settings that it must have, and those that it may have
ACTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "list": ((), ()),
    "exposures": (("name",), ()),
}


@dataclass(frozen=True, kw_only=True)
class FlagsSettings:
    """What to look at."""

    action: str = argument("list or exposures.")
    name: str | None = field(
        default=None, metadata={"help": "Of a flag in configs/flags.", "positional": True}
    )

    def __post_init__(self) -> None:
        """WrongUse for an action that is none, and for what it cannot use or must have."""
        require(self, ACTIONS, ("name",), ())


def inputs(workspace: Workspace, settings: FlagsSettings) -> dict[str, str]:
    """Return nothing: an answer is never remembered."""
    return {}


def run(workspace: Workspace, settings: FlagsSettings, progress: Progress) -> Report:
    """List the flags, or count the exposures of one."""
    every = flags.declared()
    if settings.action == "list":
        return _listed(workspace, list(every.values()))
    flag = flags.named(every, settings.name or "")
    if isinstance(flag, Refusal):
        raise WrongUse(str(flag))
    return _counted(flag, _told(workspace, flag))


def _told(workspace: Workspace, flag: Flag) -> list[dict[str, Any]]:
    """Return the exposures of this version, in their order."""
    bodies = (entry.body for entry in workspace.journal.entries(flags.EXPOSURE))
    return [body for body in bodies if body["version"] == flag.id]


def _listed(workspace: Workspace, every: Sequence[Flag]) -> Report:
    entries = workspace.journal.entries(flags.EXPOSURE)
    told = Counter(entry.body["version"] for entry in entries)
    rows = [
        {"flag": flag.id, "variants": _weights(flag), "exposures": told[flag.id]}
        | {"for": ", ".join(flag.segments) or "everybody", "summary": flag.summary}
        for flag in every
    ]
    return Report(
        read={"flags": len(rows)},
        wrote={},
        decided=[] if rows else ["no flag is declared in configs/flags"],
        figures={"flags": rows},
        table=pd.DataFrame(rows) if rows else None,
    )


def _counted(flag: Flag, told: Sequence[dict[str, Any]]) -> Report:
    variants = [body["variant"] for body in told]
    evidence, counts = flags.split(flag, variants), Counter(variants)
    rows = [
        {"variant": name, "weight": share, "exposures": counts[name]}
        | {"share": counts[name] / len(told) if told else None}
        | {"evidence against the weight": evidence[name].highest if name in evidence else None}
        for name, share in flag.shares.items()
    ]
    return Report(
        read={"flag": flag.id, "exposures": len(told)},
        wrote={},
        decided=[_sentence(flag, is_off=flags.is_off(evidence), count=len(told))],
        figures={"variants": rows, "is_off": flags.is_off(evidence)},
        table=pd.DataFrame(rows),
    )


def _sentence(flag: Flag, *, is_off: bool, count: int) -> str:
    if is_off:
        return f"accounts do not come as the weights of {flag.name} say: trust no comparison"
    return f"nothing in {count:,} exposures speaks against the weights of {flag.name}"


def _weights(flag: Flag) -> str:
    return ", ".join(f"{each.name} {each.weight:g} %" for each in flag.variants)


JOB = Job(
    verb="flags",
    summary="List flags; count who was told which variant, and check the split.",
    settings=FlagsSettings,
    needs=dict.fromkeys(ACTIONS),
    inputs=inputs,
    run=run,
    reads_only=True,
)

"""Who was told which variant, and whether accounts come as the weights say."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pandas as pd

from jobs.console import Report
from serving.leading import variants
from serving.releases import flags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.workspace import Workspace
    from serving.releases.flags import Flag


def listed(workspace: Workspace, every: Sequence[Flag]) -> Report:
    """Return the flags, each with how many accounts were told."""
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


def counted(workspace: Workspace, flag: Flag) -> Report:
    """Return how many accounts were told each variant, and the check of the split."""
    told = [each.variant for each in variants.told(workspace, flag)]
    evidence, counts = flags.split(flag, told), Counter(told)
    rows = [
        {"variant": name, "weight": share, "exposures": counts[name]}
        | {"share": counts[name] / len(told) if told else None}
        | {"evidence against the weight": evidence[name].highest if name in evidence else None}
        for name, share in flag.shares.items()
    ]
    return Report(
        read={"flag": flag.id, "exposures": len(told)},
        wrote={},
        decided=[split_said(flag, is_off=flags.is_off(evidence), count=len(told))],
        figures={"variants": rows, "is_off": flags.is_off(evidence)},
        table=pd.DataFrame(rows),
    )


def split_said(flag: Flag, *, is_off: bool, count: int) -> str:
    """Return what so many exposures say of the weights."""
    if is_off:
        return f"accounts do not come as the weights of {flag.name} say: trust no comparison"
    return f"nothing in {count:,} exposures speaks against the weights of {flag.name}"


def _weights(flag: Flag) -> str:
    return ", ".join(f"{each.name} {each.weight:g} %" for each in flag.variants)

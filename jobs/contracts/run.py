"""The story of the contracts: which are in force, since when and why, or what new ones would do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from cluster import canonical
from cluster.errors import FunnelcastError
from cluster.settings import CONFIGS
from features.contracts import Contract, compatible, load_contracts, register
from jobs.console import Job, Progress, Report, option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.workspace import Workspace
    from features.contracts.register import InForce, Step


@dataclass(frozen=True, kw_only=True)
class ContractsSettings:
    """Which folder of contracts to hold against those in force, if any."""

    check: str | None = option(None, "Folder of contracts: say what they would change.")


def inputs(workspace: Workspace, settings: ContractsSettings) -> dict[str, str]:
    """Return the identity of the contracts in force and of those to be checked."""
    terms = _terms(settings)
    there = register.in_force(workspace, terms)
    return {
        "in_force": canonical.digest({kind: [c.digest, c.ref.epoch] for kind, c in there.items()}),
        "given": canonical.digest({k: c.model_dump(mode="json") for k, c in terms.items()}),
    }


def run(workspace: Workspace, settings: ContractsSettings, progress: Progress) -> Report:
    """List the contracts and their change log, or check a folder against them."""
    terms = _terms(settings)
    if settings.check is not None:
        return _checked(settings.check, register.steps(workspace, terms))
    there, moves = register.in_force(workspace, terms), register.history(workspace, terms)
    return Report(
        read={"contracts": len(terms), "in force": len(there)},
        wrote={},
        decided=[_move(kind, moved) for kind, moved in moves],
        figures={"contracts": len(terms), "in_force": len(there), "moves": len(moves)},
        table=_table(terms, there),
    )


def _terms(settings: ContractsSettings) -> dict[str, Contract]:
    folder = CONFIGS / "contracts" if settings.check is None else Path(settings.check)
    return load_contracts(folder)


def _checked(folder: str, steps: list[Step]) -> Report:
    refused = [str(step.refusal) for step in steps if step.refusal is not None]
    if refused:
        raise FunnelcastError("; ".join(refused))
    new = [step for step in steps if step.is_new]
    rows = [
        {
            "kind": step.contract.event_kind,
            "version": f"{step.before or 'none'} -> {step.contract.version}",
            "change": change.words,
            "level": change.level,
        }
        for step in new
        for change in step.changes
    ]
    columns = ["kind", "version", "change", "level"]
    return Report(
        read={"folder": folder, "contracts": len(steps)},
        wrote={},
        decided=[_passes(step) for step in new] or ["nothing would change"],
        figures={"contracts": len(steps), "new": len(new), "changes": len(rows)},
        table=pd.DataFrame(rows, columns=columns) if rows else None,
    )


def _passes(step: Step) -> str:
    kind, version = step.contract.event_kind, step.contract.version
    if not step.before:
        return f"{kind} passes: new with {version}"
    return f"{kind} passes: {step.before} -> {version} with {len(step.changes)} changes"


def _table(terms: Mapping[str, Contract], there: Mapping[str, InForce]) -> pd.DataFrame:
    rows = [_row(kind, contract, there.get(kind)) for kind, contract in sorted(terms.items())]
    return pd.DataFrame(rows)


def _row(kind: str, given: Contract, there: InForce | None) -> dict[str, object]:
    contract = there.contract if there else given
    classes = [promise.classification for promise in contract.properties]
    return {
        "kind": kind,
        "version": contract.version,
        "owner": contract.team.name,
        "fresh_h": contract.slaProperties[0].value,
        "privacy": max(classes, key=compatible.PRIVACY.index),
        "since": there.ref.moved_at.date().isoformat() if there else "not in force",
    }


def _move(kind: str, moved: InForce) -> str:
    ref = moved.ref
    when = ref.moved_at.isoformat(timespec="seconds")
    return f"{when} {kind} {moved.contract.version} by {ref.actor}: {ref.reason}"


JOB = Job(
    verb="contracts",
    summary="Show the contracts in force and their change log; check what new ones would change.",
    settings=ContractsSettings,
    needs=None,
    inputs=inputs,
    run=run,
)

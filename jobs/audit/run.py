"""The story of an audit: hashes along every chain, then checkpoints against signatures and chains.

Opens no workspace: the database is only read, whatever its schema.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pandas as pd
import typer

from cluster import chain, chains, checkpoints, schema, sealing, signing
from cluster.errors import Refusal, WrongUse, nearest
from cluster.settings import load_settings
from cluster.workspace import utc_now
from jobs import show
from jobs.audit import seals, walks
from jobs.console import Progress, Report, guarded

if TYPE_CHECKING:
    from cluster.checkpoints import Series
    from cluster.settings import Settings

VERB = "audit"
HASH_SHOWN = 16  # digits
NEEDS = dict.fromkeys(("verify", "seal", "list"))  # of who runs it: a seal only adds


@dataclass(frozen=True, kw_only=True)
class Audited:
    """What was checked, and what is wrong."""

    chains: int = 0
    entries: int = 0
    checkpoints: int = 0
    newest: str | None = None  # name of the newest checkpoint
    unsealed: int | None = None  # entries behind the newest seals; None where it cannot be said
    problems: tuple[Refusal, ...] = ()


def main(
    action: Annotated[str, typer.Argument(help="verify, seal or list.")],
    public_key: Annotated[
        Path | None, typer.Option(help="verify: PEM file of the only keys to trust.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Verify the journal against its hashes and signed checkpoints; seal it, list them."""
    with guarded(json):
        problems = told(action, load_settings(os.environ), public_key, as_json=json)
        for problem in problems:
            show.failure(str(problem), as_json=False)
    sys.exit(1 if problems else 0)


def told(
    action: str, settings: Settings, public_key: Path | None, *, as_json: bool
) -> tuple[Refusal, ...]:
    """Do one action, show its report, and return what is wrong."""
    if action not in NEEDS:
        known = nearest(action, NEEDS)
        raise WrongUse(f"the action must be known, got '{action}': {known}")
    if public_key is not None and action != "verify":
        raise WrongUse(f"{action} must have no --public-key, got one: leave it out")
    problems: tuple[Refusal, ...] = ()
    if action == "verify":
        audited = verify(settings, public_key, show.progress(VERB))
        report, problems = _of(audited), audited.problems
    else:
        report = _seal(settings) if action == "seal" else _list(settings)
    show.outcome(VERB, report.as_dict(), unchanged=False, as_json=as_json)
    return problems


def verify(settings: Settings, public_key: Path | None, progress: Progress) -> Audited:
    """Check the journal and its checkpoints; writes nothing."""
    store = sealing.open_store(settings.checkpoints)
    keys = signing.read_public_keys(public_key) if public_key else store.public_keys()
    with chains.open_chains(settings.database) as there:
        # The seals first: what is appended meanwhile is not sealed, but must hold as well.
        series = seals.check(store, keys, there, progress)
    walked = walks.verify(settings.database, progress)
    problems = [found for found in (walked, series) if isinstance(found, Refusal)]
    if public_key is not None and not problems and not _sealed(series):
        problems.append(_none_there(settings.checkpoints))
    return _audited(walked, series, tuple(problems))


def _audited(
    walked: chain.Verified | chain.Break, series: Series | Refusal, problems: tuple[Refusal, ...]
) -> Audited:
    count, newest, unsealed = 0, None, None
    if isinstance(series, checkpoints.Series):
        count = len(series.numbers)
        newest = series.newest.name if series.newest else None
        if isinstance(walked, chain.Verified):
            unsealed = walked.entries - sum(series.highest.values())
    return Audited(
        chains=len(walked.heads) if isinstance(walked, chain.Verified) else 0,
        entries=walked.entries if isinstance(walked, chain.Verified) else 0,
        checkpoints=count,
        newest=newest,
        unsealed=unsealed,
        problems=problems,
    )


def _sealed(series: Series | Refusal) -> bool:
    return isinstance(series, checkpoints.Series) and series.newest is not None


def _none_there(where: str) -> Refusal:
    return Refusal(
        rule="a journal whose public key is kept must have checkpoints",
        value=f"none at '{where}'",
        remedy="restore them, or seal the journal: python -m jobs.audit seal",
    )


def _of(audited: Audited) -> Report:
    told = [] if audited.problems else ["every chain matches its hashes"]
    if not audited.problems:
        told.append(_sealing(audited))
    return Report(
        read={
            "entries": audited.entries,
            "chains": audited.chains,
            "checkpoints": audited.checkpoints,
        },
        wrote={},
        decided=told,
        figures={**asdict(audited), "problems": [asdict(problem) for problem in audited.problems]},
    )


def _sealing(audited: Audited) -> str:
    if audited.newest is None:
        return "nothing is sealed: a tail cut off, or chains written anew, would not show"
    number, hash = checkpoints.named(audited.newest) or (0, "")
    return (
        f"every checkpoint holds, the newest is {number} ({hash[:HASH_SHOWN]}); "
        f"{audited.unsealed:,} entries are not yet sealed"
    )


def _seal(settings: Settings) -> Report:
    there = sealing.open_seals(settings)
    made = there.seal(utc_now())
    if made is None:
        return Report(read={"entries": 0}, wrote={}, decided=["there is nothing to seal"])
    said = made.checkpoint
    return Report(
        read={"entries": said.entries, "chains": len(said.heads)},
        wrote={"checkpoint": made.name, "at": settings.checkpoints},
        decided=[f"checkpoint {said.number} seals {said.entries:,} entries by key {said.key}"],
        figures={"number": said.number, "hash": made.hash, "entries": said.entries},
    )


def _list(settings: Settings) -> Report:
    store = sealing.open_store(settings.checkpoints)
    keys, rows = store.public_keys(), list[dict[str, object]]()
    for name in store.names():
        found = checkpoints.opened(name, store.read(name), keys)
        if isinstance(found, Refusal):
            number, _ = checkpoints.named(name) or (0, "")
            rows.append({"number": number, "at": str(found)})
            continue
        said = found.checkpoint
        rows.append(
            {
                "number": said.number,
                "at": schema.moment(said.at).isoformat(timespec="seconds"),
                "entries": said.entries,
                "chains": len(said.heads),
                "key": said.key,
                "hash": found.hash[:HASH_SHOWN],
            }
        )
    return Report(
        read={"checkpoints": len(rows)},
        wrote={},
        decided=[] if rows else ["nothing is sealed: python -m jobs.audit seal"],
        figures={"keys": sorted(keys)},
        table=pd.DataFrame(rows) if rows else None,
    )

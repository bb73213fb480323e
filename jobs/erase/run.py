"""The story of an erasure: who is meant, who is held, what was reached, and that it is on record.

Addresses and numbers come by a file or standard input, never by the command line: what is written
there stays in the history of a shell. The journal and the report name pseudonyms alone.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pyarrow as pa
import typer

from cluster.access.acting import Leave, Said
from cluster.access.permissions import Permission
from cluster.errors import FunnelcastError, WrongUse
from cluster.pseudonyms import PATTERN
from cluster.settings import load_settings
from cluster.workspace import Workspace
from features.removal import erasure
from features.removal.holds import Holds
from jobs import show
from jobs.console import Report, guarded
from serving.simulations import retained

if TYPE_CHECKING:
    from features.removal.erasure import Reach

VERB, NEEDS = "erase", Permission.SUBJECTS_ERASE
BEGUN, DONE = "erasure.begun", "erasure.done"  # kinds of journal entries
STDIN = "-"


class SubjectsHeld(FunnelcastError):
    """A legal hold forbids to erase somebody; nobody was erased."""


@dataclass(frozen=True, kw_only=True)
class EraseSettings:
    """Whom, and why."""

    subjects: tuple[str, ...] = ()  # pseudonyms
    namespace: str | None = None  # of `values`
    values: tuple[str, ...] = ()  # such as addresses: never shown, kept or journalled
    actor: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        """WrongUse for what is no pseudonym, and for nobody."""
        if any(not PATTERN.fullmatch(each) for each in self.subjects):
            raise WrongUse(
                "a SUBJECT must be a pseudonym, got another text: give addresses and numbers by"
                " --values FILE (or -) with --namespace, not on the command line"
            )
        if bool(self.values) != (self.namespace is not None):
            raise WrongUse("--values must come with --namespace, got one of them: give both")
        if not self.subjects and not self.values:
            raise WrongUse("somebody must be named, got nobody: give SUBJECT or --values")


def main(
    subjects: Annotated[list[str] | None, typer.Argument(help="Pseudonyms.")] = None,
    *,
    actor: Annotated[str, typer.Option(help="Who does it.")],
    reason: Annotated[str, typer.Option(help="Why, in a sentence, naming nobody.")],
    values: Annotated[
        str | None, typer.Option(help="File of addresses or numbers, one a line; - for stdin.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(help="Of --values: e-mail, phone, or as a source has it.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Erase persons: their keys, their events, and every copy of both; what is held is refused."""
    with guarded(json), Workspace.open(load_settings(os.environ)) as workspace:
        settings = EraseSettings(
            subjects=tuple(subjects or ()),
            namespace=namespace,
            values=read(values) if values else (),
            actor=actor,
            reason=reason,
        )
        show.outcome(VERB, run(workspace, settings).as_dict(), unchanged=False, as_json=json)


def read(file: str) -> tuple[str, ...]:
    """Return the lines of a file, or of standard input."""
    text = sys.stdin.read() if file == STDIN else Path(file).read_text(encoding="utf-8")
    return tuple(line for line in map(str.strip, text.splitlines()) if line)


def run(workspace: Workspace, settings: EraseSettings) -> Report:
    """Erase whom is asked, if nobody of them is held; NotAllowed for who may not."""
    said = Said.of(os.environ, actor=settings.actor, reason=settings.reason)
    act = Leave(workspace, said).ask(NEEDS, f"jobs.{VERB}").act(workspace.clock())
    subjects = _subjects(workspace, settings)
    if held := erasure.holding(workspace, subjects, Holds.read(workspace)):
        names = sorted({name for found in held.values() for name in found})
        raise SubjectsHeld(
            f"nobody who is held can be erased, got {len(held)} held by '{"', '".join(names)}':"
            " lift the hold (python -m jobs.retain lift), or leave them out; nobody was erased"
        )
    told = {"subjects": subjects, "actor": act.actor, "reason": act.reason}
    workspace.journal.record(BEGUN, told, now=act.now)
    # first: the end of an erasure empties the free space of the database
    keys = [*subjects, *erasure.leads(workspace, subjects)]
    simulations = retained.forget(workspace, retained.naming(workspace, keys))
    reach = erasure.erase(workspace, subjects, act.now)
    ended = retained.start_over(workspace)
    body = {**told, "reach": {**dataclasses.asdict(reach), "simulations": simulations}}
    workspace.journal.record(DONE, body, now=workspace.clock())
    return _report(subjects, reach, simulations, ended)


def _subjects(workspace: Workspace, settings: EraseSettings) -> list[str]:
    given = set(settings.subjects)
    if settings.namespace is not None:
        made = workspace.vault.pseudonyms(settings.namespace, pa.array(settings.values))
        given |= set(made.drop_null().to_pylist())
    return sorted(given)


def _report(subjects: list[str], reach: Reach, simulations: int, ended: int) -> Report:
    before = reach.subjects - reach.keys
    again = f", {before:,} were destroyed before" if before else ""
    return Report(
        read={"subjects": reach.subjects},
        wrote={"keys": reach.keys, "events": reach.events},
        decided=[
            f"vault: {reach.keys:,} keys destroyed{again}; {reach.values:,} sealed values that"
            " nobody can open now",
            f"log and online store: {reach.events:,} events removed",
            f"quarantine: {reach.refused:,} rows removed, and {reach.rows_keys:,} keys of rows",
            f"reports: {reach.pages:,} pages deleted",
            f"simulations: {simulations:,} deleted that named them; {ended:,} ended that had read"
            " the log as it was",
            f"files: {reach.files:,} deleted that held what is gone",
            "left: the journal, and scores and feature rows under keys of leads; models are not"
            " trained again",
        ],
        figures={"subjects": subjects, "reach": dataclasses.asdict(reach)},
    )

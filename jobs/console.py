"""The console of every job: options, workspace, journal, and the rule that the same run is not done
twice.

Exit codes: 0 done or unchanged, 1 failed, 2 wrong use. `--json` prints the report as one JSON
object on the last line.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from cluster import runs, session
from cluster.access.acting import Said
from cluster.errors import FunnelcastError, WrongUse
from cluster.settings import ROOT, load_settings
from cluster.workspace import Workspace
from jobs import show
from jobs.announce import announced
from jobs.leave import Needs, admitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from cluster.access.acting import Acting
    from cluster.dataset import Dataset
    from cluster.runevents import Run as RunOf

TRACE = "FUNNELCAST_TRACE"  # in the environment: show the trace of what we did not foresee
SAID = {"actor": "Who runs it, where it changes something.", "reason": "Why, in a sentence."}

type Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a job read, wrote and decided."""

    read: dict[str, object]
    wrote: dict[str, object]
    decided: list[str]
    figures: dict[str, object] = field(default_factory=dict)
    table: pd.DataFrame | None = None
    inputs: Sequence[Dataset] = ()  # what was read and written, for lineage
    outputs: Sequence[Dataset] = ()

    def as_dict(self) -> dict[str, object]:
        """Return the report as plain JSON values; the table as its columns and rows, in order."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        if self.table is not None:
            plain["table"] = json.loads(self.table.to_json(orient="split", index=False))
        plain["inputs"] = [dataclasses.asdict(dataset) for dataset in self.inputs]
        plain["outputs"] = [dataclasses.asdict(dataset) for dataset in self.outputs]
        return plain


def option(default: Any, help: str) -> Any:
    """Return a field of a job's settings: its default and what --help says of it."""
    return field(default=default, metadata={"help": help})


def required(help: str) -> Any:
    """Return a field of a job's settings that has no default."""
    return field(metadata={"help": help})


def argument(help: str) -> Any:
    """Return a field of a job's settings that is given by its place, not by its name."""
    return field(metadata={"help": help, "positional": True})


@dataclass(frozen=True, kw_only=True)
class Job[S]:
    """A verb: what it needs, what it reads, what it does."""

    verb: str
    summary: str
    settings: type[S]
    needs: Needs  # of who runs it: jobs/leave.py
    inputs: Callable[[Workspace, S], dict[str, str]]
    run: Callable[[Workspace, S, Progress], Report]
    # is what a run wrote still what is in place? If not, the run is done again
    current: Callable[[Workspace, dict[str, Any]], bool] = lambda workspace, report: True
    reads_only: bool = False  # leaves nothing behind: neither a record, nor a memory of itself
    tell: Callable[[dict[str, Any]], None] | None = None  # shows a report in its own way


@dataclass(frozen=True, kw_only=True)
class Done:
    """The outcome of a job: its report, and whether it was run now or found done."""

    key: str
    report: dict[str, Any]
    unchanged: bool


def holds_table(workspace: Workspace, report: dict[str, Any]) -> bool:
    """Is the content of the table still what the run of this report wrote? (`Job.current`)"""
    wrote = report["wrote"]
    return workspace.tables.head(wrote["table"]) == int(wrote["snapshot"])


def verbs() -> list[str]:
    """Return the name of every job: the packages of this one."""
    return sorted(m.name for m in pkgutil.iter_modules([str(ROOT / "jobs")]) if m.ispkg)


def perform[S](
    job: Job[S],
    settings: S,
    workspace: Workspace,
    progress: Progress,
    *,
    parent: RunOf | None = None,
    said: Said | None = None,
) -> Done:
    """Run a job unless a run with the same inputs is on record; every start and finish is
    journalled and announced, as part of the run `parent` if there is one.

    NotAllowed for who may not; who runs it says so in `said`, by default in the environment.
    """
    settings, workspace, acting = admitted(job.verb, job.needs, settings, workspace, said)
    if job.reads_only:
        seen = job.run(workspace, settings, progress).as_dict()
        return Done(key="", report=seen, unchanged=False)
    options = dataclasses.asdict(settings)  # type: ignore[call-overload]
    inputs, code = job.inputs(workspace, settings), runs.code_version(f"jobs/{job.verb}")
    key = runs.run_key(job.verb, options, inputs, code)
    before = workspace.runs.find(key)
    report = before.report if before is not None and before.status == "done" else None
    if report is not None and job.current(workspace, report):
        return Done(key=key, report=report, unchanged=True)
    workspace.runs.start(key, job.verb, inputs, workspace.clock())
    with announced(workspace, job.verb, key, code=code, inputs=inputs, parent=parent) as told:
        try:
            made = job.run(workspace, settings, progress)
        except BaseException as error:
            why: dict[str, object] = {"error": str(error) or type(error).__name__}
            _record(workspace, job.verb, key, "failed", why, acting=acting)
            raise
        done = made.as_dict()
        _record(workspace, job.verb, key, "done", done, acting=acting)
        told.done(made.inputs, made.outputs)
    return Done(key=key, report=done, unchanged=False)


def main[S](job: Job[S]) -> None:
    """Run one job from the command line."""

    def command(**options: Any) -> None:
        as_json, names = options.pop("json"), missing(job)
        with guarded(as_json), Workspace.open(load_settings(os.environ)) as workspace:
            said = Said.of(os.environ, **{name: options.pop(name) for name in names})
            settings = job.settings(**options)
            done = perform(job, settings, workspace, show.progress(job.verb), said=said)
            if job.tell is not None and not as_json:
                job.tell(done.report)
            else:
                show.outcome(job.verb, done.report, unchanged=done.unchanged, as_json=as_json)

    command.__signature__ = _signature(job)  # type: ignore[attr-defined]
    command.__doc__ = job.summary
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    app()


class guarded:
    """Turn our errors into one line and an exit code; leave the Ray session in order."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        session.disconnect()
        if isinstance(error, FunnelcastError):
            show.failure(str(error), as_json=self._as_json)
            sys.exit(2 if isinstance(error, WrongUse) else 1)
        if isinstance(error, KeyboardInterrupt):
            show.failure("interrupted: run the same command to go on", as_json=self._as_json)
            sys.exit(130)
        if isinstance(error, Exception) and not os.environ.get(TRACE):
            words = " ".join(str(error).split())[:500]
            show.failure(
                f"{type(error).__name__}: {words}: {TRACE}=1 shows where", as_json=self._as_json
            )
            sys.exit(1)


def _record(
    workspace: Workspace,
    verb: str,
    key: str,
    status: str,
    report: dict[str, object],
    *,
    acting: Acting | None,
) -> None:
    workspace.runs.finish(key, status, report, workspace.clock())
    body = {"run": key, "job": verb, "status": status, "wrote": report.get("wrote")}
    by = {} if acting is None else dataclasses.asdict(acting)
    workspace.journal.record("job", {**body, **by}, now=workspace.clock())


def missing(job: Job[Any]) -> list[str]:
    """Return which of actor and reason a job that may change something has no option for."""
    own = {field.name for field in dataclasses.fields(job.settings)}
    return [] if job.reads_only else [name for name in SAID if name not in own]


def _signature(job: Job[Any]) -> inspect.Signature:
    hints = get_type_hints(job.settings, include_extras=True)
    given = [_option(f, hints[f.name]) for f in dataclasses.fields(job.settings)]
    keyword = inspect.Parameter.KEYWORD_ONLY
    for name in missing(job):
        told = Annotated[str | None, typer.Option(help=SAID[name])]
        given.append(inspect.Parameter(name, keyword, default=None, annotation=told))
    as_json = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]
    return inspect.Signature(
        [*given, inspect.Parameter("json", keyword, default=False, annotation=as_json)]
    )


def _option(field: dataclasses.Field[Any], hint: Any) -> inspect.Parameter:
    default = ... if field.default is dataclasses.MISSING else field.default
    help_text = field.metadata.get("help", "")
    positional = field.metadata.get("positional", False)
    given = (
        typer.Argument(help=help_text, metavar=field.name.upper())
        if positional
        else typer.Option(_flags(field.name, hint), help=help_text)
    )
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if default is ... else default,
        annotation=Annotated[hint, given],
    )


def _flags(name: str, hint: Any) -> str:
    flag = name.rstrip("_").replace("_", "-")  # `from_`: a field cannot be called `from`
    return f"--{flag}/--no-{flag}" if hint is bool else f"--{flag}"

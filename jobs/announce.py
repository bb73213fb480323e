"""Announcing a run: its start and its end as run events, its datasets as the tables know them.

What goes wrong here is one line on standard error and never the run's failure.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from jobs import show

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from cluster.dataset import Dataset
    from cluster.emitter import Emitter
    from cluster.runevents import Described, Run, State
    from cluster.tables import Tables
    from cluster.workspace import Workspace


class Announced:
    """A run whose start and end are told: enter when it starts, leave when it is over.

    Leaving by an error tells FAIL, by an interruption ABORT.
    """

    def __init__(self, workspace: Workspace, run: Run | None) -> None:
        self._workspace = workspace
        self._out: Emitter | None = None
        self.run = run  # None: nothing is told

    def __enter__(self) -> Self:
        with warned():
            if self.run is not None:
                self._out = _emitter(self._workspace)
                self._tell("START")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with warned():
            if error is not None:
                self._tell("FAIL" if isinstance(error, Exception) else "ABORT", error=error)
            if self._out is not None:
                self._out.close()

    def done(self, inputs: Sequence[Dataset] = (), outputs: Sequence[Dataset] = ()) -> None:
        """Tell that the run is complete, and what it read and wrote."""
        with warned():
            if self._out is not None:
                told = [[described(self._workspace, d) for d in ds] for ds in (inputs, outputs)]
                self._tell("COMPLETE", inputs=told[0], outputs=told[1])

    def _tell(self, state: State, **more: Any) -> None:
        if self._out is not None and self.run is not None:
            from cluster import runevents

            now = self._workspace.clock()
            self._out.emit(runevents.event(self.run, state, now, **more))


def announced(
    workspace: Workspace,
    job: str,
    key: str,
    *,
    code: str = "",
    inputs: Mapping[str, str] | None = None,
    parent: Run | None = None,
) -> Announced:
    """Return a run to be announced; one of which nothing is told where the settings say so."""
    settings = workspace.settings.openlineage
    if not settings.enabled:
        return Announced(workspace, None)
    from cluster.runevents import Run  # the client is heavy, and --help needs none of it

    run = Run(
        namespace=settings.namespace,
        job=job,
        key=key,
        code=code,
        started=workspace.clock(),
        inputs=inputs or {},
        parent=parent,
    )
    return Announced(workspace, run)


def described(workspace: Workspace, dataset: Dataset) -> Described:
    """Return a dataset with what its table knows of it: columns, rows, bytes, files."""
    from cluster.runevents import Described

    store = {
        "table": workspace.settings.warehouse,
        "blob": workspace.settings.blobs,
        "file": "",
    }[dataset.kind]
    plain = Described(
        namespace=_uri(store) if store else workspace.settings.openlineage.namespace,
        name=dataset.name,
        version=dataset.version,
        kind=dataset.kind.upper(),
        where=_uri(store) if store else None,
        rows=dataset.rows,
        present=dataset.present,
    )
    return _counted(workspace.tables, plain) if dataset.kind == "table" else plain


def _counted(tables: Tables, plain: Described) -> Described:
    columns = tuple((field.name, str(field.type)) for field in tables.schema(plain.name))
    commit = {str(c.snapshot): c for c in tables.history(plain.name)}.get(plain.version)
    if commit is None:
        return replace(plain, columns=columns)
    return replace(
        plain,
        columns=columns,
        rows=commit.count("added-records") if plain.rows is None else plain.rows,
        size=commit.count("added-files-size"),
        files=commit.count("added-data-files"),
    )


def _uri(where: str) -> str:
    """Return a folder or URL as a URI without any password.

    >>> _uri("/data"), _uri("s3://me:secret@bucket/tables")
    ('file:///data', 's3://bucket/tables')
    """
    parts = urlsplit(where)
    if not parts.scheme:
        return f"file://{where}"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def _emitter(workspace: Workspace) -> Emitter:
    from cluster.emitter import Emitter

    return Emitter(workspace.settings.home, workspace.settings.openlineage, show.warning)


@contextmanager
def warned() -> Iterator[None]:
    """Turn whatever goes wrong inside into one warning."""
    try:
        yield
    except Exception as error:  # nothing here is worth a run
        show.warning(f"run events could not be told: {type(error).__name__}")

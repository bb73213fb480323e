"""Tables: Apache Iceberg behind seven verbs, with one commit per change.

A table may be bucketed: Iceberg's own `bucket[N]` transform of one column is its partition, so a
job can take one bucket per task and needs no shuffle. Workers write data files, only the driver
commits them, and a commit is a compare-and-swap in the SQL catalog: a reader sees all of a change
or nothing of it. Names are `<table>`; all live in one namespace.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.transforms import BucketTransform

from cluster import commits, datafiles, rowgroups, shape, upkeep
from cluster.catalog import NAMESPACE, open_catalog, persistently
from cluster.errors import FunnelcastError
from cluster.planned import Planned, Plans

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    import pyarrow as pa
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import FileScanTask, Table
    from pyiceberg.table.snapshots import Snapshot

PROPERTIES = {
    "commit.retry.num-retries": "12",  # when another writer was first
    "commit.retry.min-wait-ms": "20",
    "commit.retry.max-wait-ms": "2000",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "50",  # a reader opens one between two commits
}


class TableMissing(FunnelcastError):
    """No table has this name."""


class SnapshotMissing(FunnelcastError):
    """The table has no such snapshot."""


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """One partition of one snapshot: plain values, so that it can travel to a worker."""

    table: str
    snapshot: int
    number: int
    rows: int


class Tables:
    """The tables of one workspace. Not picklable: a worker opens its own."""

    def __init__(self, database_url: str, warehouse: str) -> None:
        self._url = database_url
        self._warehouse = warehouse
        self._plans = Plans(self._planned)

    @cached_property
    def _catalog(self) -> SqlCatalog:
        return open_catalog(self._url, self._warehouse)

    def close(self) -> None:
        """Let go of the catalog's connections."""
        if "_catalog" in self.__dict__:
            self._catalog.engine.dispose()

    def create(
        self, name: str, schema: pa.Schema, *, bucket_by: str | None = None, buckets: int = 8
    ) -> None:
        """Make the table if it is not there; with `bucket_by` partitioned by bucket[buckets] of
        that column.
        """
        persistently(lambda: self._create(name, schema, bucket_by, buckets))

    def _create(self, name: str, schema: pa.Schema, bucket_by: str | None, buckets: int) -> None:
        if self.exists(name):
            return
        with self._catalog.create_table_transaction(
            _full(name), schema=schema, properties=PROPERTIES
        ) as transaction:
            if bucket_by is not None:
                with transaction.update_spec() as spec:
                    spec.add_field(bucket_by, BucketTransform(buckets), "bucket")

    def reshape(self, name: str, schema: pa.Schema) -> None:
        """Make the table, or give it these columns; snapshots made before keep theirs."""
        self.create(name, schema)
        persistently(lambda: shape.fit(self._table(name), schema))

    def exists(self, name: str) -> bool:
        """Is there a table of this name?"""
        return bool(self._catalog.table_exists(_full(name)))

    def head(self, name: str) -> int | None:
        """Return the id of the newest snapshot; None for an empty or missing table."""
        try:
            return _id_or_none(self._table(name).current_snapshot())
        except TableMissing:
            return None

    def append(self, name: str, rows: pa.Table, properties: Mapping[str, str] | None = None) -> int:
        """Add rows in one commit and return its snapshot id."""
        return self.commit(name, self.write(name, rows), properties=properties)

    def replace(
        self, name: str, rows: pa.Table, properties: Mapping[str, str] | None = None
    ) -> int:
        """Make `rows` the whole content in one commit; older snapshots stay readable."""
        return self.commit(name, self.write(name, rows), replace=True, properties=properties)

    def write(self, name: str, rows: pa.Table) -> list[DataFile]:
        """Write data files that no reader sees until they are committed: what workers call."""
        writer = self.writer(name)
        writer.add(rows)
        return writer.close()

    def writer(self, name: str) -> datafiles.Writer:
        """Return a writer of data files that takes rows as they arrive."""
        return datafiles.Writer(self._table(name))

    def commit(
        self,
        name: str,
        files: Iterable[DataFile],
        *,
        replace: bool = False,
        properties: Mapping[str, str] | None = None,
    ) -> int:
        """Make files visible in one snapshot and return its id; retried if another was first."""
        table = self._table(name)
        old = [task.file for task in table.scan().plan_files()] if replace else []
        commits.change(table, files, old, properties)
        return _id_of(table.current_snapshot(), name)

    def commit_after(
        self,
        name: str,
        files: Iterable[DataFile],
        *,
        head: int | None,
        replacing: Iterable[DataFile] = (),
        properties: Mapping[str, str] | None = None,
    ) -> int | None:
        """Make files visible if the newest snapshot is still `head`: returns the new snapshot, or
        None when another writer was first and nothing was changed.
        """
        table = self._table(name)
        if _id_or_none(table.current_snapshot()) != head:
            return None
        once = {**table.metadata.properties, "commit.retry.num-retries": "0"}
        table.metadata = table.metadata.model_copy(update={"properties": once})
        try:
            commits.change(table, files, replacing, properties)
        except CommitFailedException:
            return None
        return _id_of(table.current_snapshot(), name)

    def read(
        self, name: str, snapshot: int | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Return all rows as of `snapshot` (default: the newest), in no particular order."""
        table = self._table(name)
        if snapshot is not None:
            self._snapshot(table, name, snapshot)
        fields = tuple(columns) if columns else ("*",)
        return table.scan(snapshot_id=snapshot, selected_fields=fields).to_arrow()

    def buckets(self, name: str, snapshot: int | None = None) -> list[Bucket]:
        """Return the non-empty buckets of a snapshot, by number."""
        at = snapshot or self.head(name)
        if at is None:
            return []
        files = self._plans.of(name, at).files
        rows = {number: sum(file.record_count for file in files[number]) for number in files}
        return [Bucket(table=name, snapshot=at, number=n, rows=rows[n]) for n in sorted(rows)]

    def read_bucket(
        self, bucket: Bucket, columns: Sequence[str] | None = None, *, coded: bool = False
    ) -> pa.Table:
        """Return the rows of one bucket, in no particular order; `coded`: texts as dictionaries."""
        planned = self._plans.of(bucket.table, bucket.snapshot, columns or ())
        read = datafiles.read_coded if coded else datafiles.read
        return read(planned.table, planned.files.get(bucket.number, []), columns)

    def read_groups(
        self, bucket: Bucket, columns: Sequence[str], span: rowgroups.Span | None = None
    ) -> Iterator[pa.Table]:
        """Yield the rows of one bucket, or those of a span, by row groups: `cluster.rowgroups`."""
        planned = self._plans.of(bucket.table, bucket.snapshot, columns)
        return rowgroups.read(planned.table, planned.files.get(bucket.number, []), columns, span)

    def read_files(
        self, name: str, files: Sequence[DataFile], columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Return the rows of data files that were written, committed or not."""
        return datafiles.read(self._table(name), files, columns)

    def find(self, name: str, paths: Collection[str]) -> list[DataFile]:
        """Return those of the files written before that are whole and fit the table's columns."""
        return datafiles.find(self._table(name), paths)

    def files(self, name: str, snapshot: int | None) -> list[DataFile]:
        """Return the data files of a snapshot; none for None."""
        return [task.file for task in self._tasks(name, snapshot)] if snapshot else []

    def added(self, name: str, since: int | None, until: int) -> list[DataFile]:
        """Return the data files that snapshot `until` has and `since` has not.

        After a compaction these hold old rows too, so take the answer as "at most these".
        """
        table = self._table(name)
        before = self._snapshot(table, name, since) if since else None
        return commits.added(table, before, self._snapshot(table, name, until))

    def summaries(self, name: str) -> list[dict[str, str]]:
        """Return what was said at the commit of every snapshot that is kept, oldest first."""
        snapshots = self._table(name).snapshots() if self.exists(name) else []
        return [dict(s.summary.additional_properties) if s.summary else {} for s in snapshots]

    def parent(self, name: str, snapshot: int) -> int | None:
        """Return the snapshot that a snapshot was made from; None for the first."""
        return self._snapshot(self._table(name), name, snapshot).parent_snapshot_id

    def properties(self, name: str, snapshot: int) -> dict[str, str]:
        """Return what was said at the commit of a snapshot."""
        found = self._snapshot(self._table(name), name, snapshot)
        return dict(found.summary.additional_properties) if found.summary else {}

    def names(self) -> list[str]:
        """Return the names of all tables."""
        return sorted(identifier[-1] for identifier in self._catalog.list_tables(NAMESPACE))

    def history(self, name: str) -> list[commits.Commit]:
        """Return the commits behind the newest snapshot of a table, oldest first."""
        return commits.of_table(self._table(name))

    def schema(self, name: str) -> pa.Schema:
        """Return the columns of a table."""
        return self._table(name).schema().as_arrow()

    def tag(self, name: str, snapshot: int, tag: str) -> None:
        """Pin a snapshot under a name, so that maintenance keeps it; a name that is there stays."""
        self._snapshot(self._table(name), name, snapshot)
        persistently(lambda: upkeep.pin(self._table(name), snapshot, tag))

    def expire(self, name: str, before: datetime, keep: Collection[int] = ()) -> int:
        """Give up snapshots made before a moment, as `cluster.upkeep` says; returns how many."""
        return upkeep.expire(self._table(name), before, keep)

    def sweep(self, name: str, before: datetime, spare: Collection[str] = ()) -> int:
        """Delete files that no snapshot refers to, as `cluster.upkeep` says; returns how many."""
        return upkeep.sweep(self._table(name), before, spare)

    def _table(self, name: str) -> Table:
        try:
            return self._catalog.load_table(_full(name))
        except NoSuchTableError as error:
            raise TableMissing(
                f"no table is called '{name}': run the job that writes it"
            ) from error

    def _tasks(self, name: str, snapshot: int) -> list[FileScanTask]:
        table = self._table(name)
        self._snapshot(table, name, snapshot)
        return list(table.scan(snapshot_id=snapshot).plan_files())

    def _planned(self, name: str, snapshot: int) -> Planned:
        return Planned.of(self._table(name), self._tasks(name, snapshot))

    @staticmethod
    def _snapshot(table: Table, name: str, snapshot: int) -> Snapshot:
        found = table.snapshot_by_id(snapshot)
        if found is None:
            raise SnapshotMissing(f"'{name}' has no snapshot {snapshot}: it may have expired")
        return found


def _full(name: str) -> str:
    return f"{NAMESPACE}.{name}"


def _id_or_none(snapshot: Snapshot | None) -> int | None:
    return snapshot.snapshot_id if snapshot else None


def _id_of(snapshot: Snapshot | None, name: str) -> int:
    if snapshot is None:
        raise SnapshotMissing(f"'{name}' has no snapshot after a commit")
    return snapshot.snapshot_id

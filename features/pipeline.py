"""The Ray Data pipeline of the engine: bucket descriptors, the kernel, a committed write."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import ray
import ray.data
from ray.data import Datasink

from cluster import session
from cluster.tables import Bucket, Tables

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyiceberg.manifest import DataFile
    from ray.data._internal.execution.interfaces import TaskContext
    from ray.data.block import Block
    from ray.data.datasource.datasink import WriteResult

    from cluster.settings import Settings
    from features.plan import Plan, Progress


def run(
    settings: Settings, plan: Plan, buckets: list[Bucket], progress: Progress
) -> tuple[int, int]:
    """Run the kernel over all buckets on Ray and commit; returns the snapshot id and the number of
    nodes that worked.
    """
    session.quiet_data()
    progress(0, len(buckets), "buckets")
    sink = TableSink(settings, plan.table, plan.properties)
    descriptors = ray.data.from_items(
        [asdict(b) for b in buckets], override_num_blocks=len(buckets)
    )
    computed = descriptors.map_batches(
        cast("Any", _kernel), batch_size=None, batch_format="pyarrow", fn_args=(settings, plan)
    )
    computed.write_datasink(sink)
    progress(len(buckets), len(buckets), "buckets")
    return sink.snapshot, sink.nodes


def _kernel(descriptors: pa.Table, settings: Settings, plan: Plan) -> pa.Table:
    tables = Tables(settings.database, settings.warehouse)
    parts = [plan.rows_of(tables.read_bucket(Bucket(**d))) for d in descriptors.to_pylist()]
    return pa.concat_tables([plan.schema.empty_table(), *parts])


@dataclass(frozen=True)
class Written:
    """What one task wrote, and where it ran."""

    node: str
    files: list[DataFile]


class TableSink(Datasink[Written]):
    """Writes blocks as files of an Iceberg table that become visible together, in one commit, at
    the end.
    """

    def __init__(self, settings: Settings, table: str, properties: dict[str, str]) -> None:
        self._settings = settings
        self._table = table
        self._properties = properties
        self.snapshot = -1
        self.nodes = 0

    def write(self, blocks: Iterable[Block], ctx: TaskContext) -> Written:
        """Write blocks on a worker; no reader sees the files yet."""
        tables = self._tables()
        files = [file for block in blocks for file in tables.write(self._table, block)]
        return Written(node=ray.get_runtime_context().get_node_id(), files=files)

    def on_write_complete(self, write_result: WriteResult[Any]) -> None:
        """Commit everything that was written, on the driver."""
        parts: list[Written] = write_result.write_returns
        self.nodes = len({part.node for part in parts})
        files = [file for part in parts for file in part.files]
        self.snapshot = self._tables().commit(
            self._table, files, replace=True, properties=self._properties
        )

    def _tables(self) -> Tables:
        return Tables(self._settings.database, self._settings.warehouse)

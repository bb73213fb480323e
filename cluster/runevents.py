"""Run events: that a run started, and how it ended, in the words of the OpenLineage standard. Pure.

A run is named by its key and the moment it started, so a reader can tell two tries of one run
apart. What was read and written is told when the run completes.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import attr
from openlineage.client import event_v2 as ol
from openlineage.client import facet_v2 as facets
from openlineage.client.constants import __version__ as CLIENT
from openlineage.client.serde import Serde

PRODUCER = "urn:funnelcast:jobs"
FACET = "urn:funnelcast:facets:run:1"
INTEGRATION = "FUNNELCAST"

type State = Literal["START", "COMPLETE", "FAIL", "ABORT"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One try of one run."""

    namespace: str
    job: str
    key: str
    code: str  # hash over the source that ran
    started: datetime
    inputs: Mapping[str, str] = field(default_factory=dict)  # what the key was made of: digests
    parent: Run | None = None

    @property
    def id(self) -> str:
        """UUID of the key and the start: the same for everyone who knows both."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{FACET}/{self.key}/{self.started.isoformat()}"))


@dataclass(frozen=True, kw_only=True)
class Described:
    """A dataset as it is told: where it is, which version, and what is in it."""

    namespace: str
    name: str
    version: str
    kind: str = ""  # TABLE, FILE, MODEL ...
    where: str | None = None  # URI of the store
    columns: Sequence[tuple[str, str]] = ()  # name and type
    rows: int | None = None
    size: int | None = None  # bytes
    files: int | None = None
    present: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # column -> rows, values


@attr.define
class FunnelcastRunFacet(facets.RunFacet):
    """What our own run record knows of the run."""

    key: str
    code: str
    inputs: dict[str, str] = attr.field(factory=dict)

    @staticmethod
    def _get_schema() -> str:
        return FACET


def event(
    run: Run,
    state: State,
    at: datetime,
    *,
    inputs: Sequence[Described] = (),
    outputs: Sequence[Described] = (),
    error: BaseException | None = None,
) -> ol.RunEvent:
    """Return the event of a run that came into a state."""
    return ol.RunEvent(
        eventTime=at.astimezone(UTC).isoformat(),
        eventType=ol.RunState[state],
        run=ol.Run(runId=run.id, facets=_run_facets(run, error)),
        job=ol.Job(namespace=run.namespace, name=run.job, facets={"jobType": _job_type()}),
        inputs=[_input(dataset) for dataset in inputs],
        outputs=[_output(dataset) for dataset in outputs],
        producer=PRODUCER,
    )


def line(told: ol.RunEvent) -> bytes:
    """Return an event as one line of JSON."""
    return Serde.to_json(told).encode() + b"\n"


def _run_facets(run: Run, error: BaseException | None) -> dict[str, facets.RunFacet]:
    told: dict[str, facets.RunFacet] = {
        "funnelcast_run": FunnelcastRunFacet(
            key=run.key, code=run.code, inputs=dict(run.inputs), producer=PRODUCER
        ),
        "processing_engine": facets.processing_engine_run.ProcessingEngineRunFacet(
            name="funnelcast",
            version=run.code,
            openlineageAdapterVersion=CLIENT,
            producer=PRODUCER,
        ),
    }
    if run.parent is not None:
        told["parent"] = _parent(run.parent)
    if error is not None:
        told["errorMessage"] = facets.error_message_run.ErrorMessageRunFacet(
            message=words(error), programmingLanguage="PYTHON", producer=PRODUCER
        )
    return told


def words(error: BaseException) -> str:
    """Return what kind of error it was. Its text may quote a value, so it is left out.

    >>> words(KeyError("Ada Lovelace"))
    'KeyError'
    """
    name = type(error).__name__
    ours = type(error).__module__.split(".")[0] in {"cluster", "features", "serving", "jobs"}
    said = (type(error).__doc__ or "").strip().splitlines()
    return f"{name}: {said[0]}" if ours and said else name


def _parent(run: Run) -> facets.RunFacet:
    of = facets.parent_run
    root = run
    while root.parent is not None:
        root = root.parent
    return of.ParentRunFacet(
        run=of.Run(runId=run.id),
        job=of.Job(namespace=run.namespace, name=run.job),
        root=of.Root(
            run=of.RootRun(runId=root.id), job=of.RootJob(namespace=root.namespace, name=root.job)
        ),
        producer=PRODUCER,
    )


def _job_type() -> facets.JobFacet:
    return facets.job_type_job.JobTypeJobFacet(
        processingType="BATCH", integration=INTEGRATION, jobType="JOB", producer=PRODUCER
    )


def _input(dataset: Described) -> ol.InputDataset:
    return ol.InputDataset(
        namespace=dataset.namespace, name=dataset.name, facets=_dataset_facets(dataset)
    )


def _output(dataset: Described) -> ol.OutputDataset:
    counted = facets.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=dataset.rows, size=dataset.size, fileCount=dataset.files, producer=PRODUCER
    )
    known = any(count is not None for count in (dataset.rows, dataset.size, dataset.files))
    return ol.OutputDataset(
        namespace=dataset.namespace,
        name=dataset.name,
        facets=_dataset_facets(dataset),
        outputFacets={"outputStatistics": counted} if known else {},
    )


def _dataset_facets(dataset: Described) -> dict[str, Any]:
    told: dict[str, Any] = {
        "version": facets.dataset_version_dataset.DatasetVersionDatasetFacet(
            datasetVersion=dataset.version, producer=PRODUCER
        )
    }
    if dataset.kind:
        told["datasetType"] = facets.dataset_type_dataset.DatasetTypeDatasetFacet(
            datasetType=dataset.kind, producer=PRODUCER
        )
    if dataset.where is not None:
        told["dataSource"] = facets.datasource_dataset.DatasourceDatasetFacet(
            name=dataset.namespace, uri=dataset.where, producer=PRODUCER
        )
    if dataset.columns:
        told["schema"] = _schema(dataset.columns)
    if dataset.present:
        told["dataQualityMetrics"] = _quality(dataset.present)
    return told


def _schema(columns: Sequence[tuple[str, str]]) -> facets.DatasetFacet:
    of = facets.schema_dataset
    fields = [
        of.SchemaDatasetFacetFields(name=name, type=kind, ordinal_position=place)
        for place, (name, kind) in enumerate(columns, start=1)
    ]
    return of.SchemaDatasetFacet(fields=fields, producer=PRODUCER)


def _quality(present: Mapping[str, tuple[int, int]]) -> facets.DatasetFacet:
    of = facets.data_quality_metrics_dataset
    return of.DataQualityMetricsDatasetFacet(
        rowCount=max(rows for rows, _ in present.values()),
        columnMetrics={
            name: of.ColumnMetrics(count=there, nullCount=rows - there)
            for name, (rows, there) in sorted(present.items())
        },
        producer=PRODUCER,
    )

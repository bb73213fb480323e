"""The work of a scoring: which rows are scored by what. Plain values; it travels to workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Self

from cluster import canonical
from serving import batch
from serving.moved import past
from serving.registry import Registry

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.manifest import DataFile

    from cluster.workspace import Workspace
    from features.targets import Target
    from serving.decide import Basis
    from serving.model import Model
    from serving.policy import Policy


@dataclass(frozen=True, kw_only=True)
class Work:
    """What to score, with what, and beside which scores."""

    target: Target
    policy: Policy
    basis: Basis
    snapshot: int  # of the table of feature rows
    last: int | None  # snapshot of the scores before
    steady: float  # log-odds
    now: datetime
    usual: Mapping[str, float] = field(default_factory=dict)  # probability by segment
    withheld: tuple[str, ...] = ()  # entities that are left out: somebody forbade to score them

    def __hash__(self) -> int:
        """Works of one name are one."""
        return hash(self.name)

    @cached_property
    def made(self) -> str:
        """The name of all that scores depend on, but for those before."""
        return canonical.digest(
            {
                "rows": [self.target.scoring_table, self.snapshot],
                "basis": vars(self.basis),
                "steady": self.steady,
                **({"withheld": self.withheld} if self.withheld else {}),
            }
        )

    @cached_property
    def name(self) -> str:
        """The name under which its parts are on record."""
        return canonical.digest([self.made, self.last])

    @property
    def table(self) -> str:
        """Name of the table to write."""
        return self.target.scores_table

    @property
    def segment(self) -> str | None:
        """The feature by which entities are alike."""
        return batch.segment_of(self.target)

    def files(self, workspace: Workspace) -> list[DataFile]:
        """Return the files of feature rows, in an order of their own: one is one part."""
        found = workspace.tables.files(self.target.scoring_table, self.snapshot)
        return sorted(found, key=lambda file: file.file_path)

    def model(self, workspace: Workspace) -> Model:
        """Load the model; BundleBroken like any."""
        models = Registry(workspace.blobs, workspace.refs, workspace.journal)
        return models.get(self.basis.model)[1]

    def properties(self, workspace: Workspace) -> dict[str, str]:
        """Return what a snapshot of these scores says about its making."""
        rows = past.Rows(table=self.target.scoring_table, snapshot=self.snapshot)
        return past.properties(workspace, self.basis, self.policy, rows, self.last)

    def last_scores(self, workspace: Workspace) -> pa.Table:
        """Return entity and probability of the scores before."""
        names = ["entity", "probability"]
        if self.last is None:
            return batch.SCHEMA.empty_table().select(names)
        return batch.plain(workspace.tables.read(self.table, self.last, names))


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where work is done: what this process has opened for it. Safe to share between threads."""

    workspace: Workspace
    work: Work
    files: Sequence[DataFile]
    scorer: batch.Scorer

    @classmethod
    def open(cls, workspace: Workspace, work: Work, model: Model) -> Self:
        """List the files, and read the last scores."""
        scorer = batch.Scorer(
            model=model,
            policy=work.policy,
            basis=work.basis,
            steady=work.steady,
            segment=work.segment,
            usual=work.usual,
            last=work.last_scores(workspace),
        )
        return cls(workspace=workspace, work=work, files=work.files(workspace), scorer=scorer)

    @property
    def rows(self) -> int:
        """How many rows there are to score."""
        return sum(file.record_count for file in self.files) - len(self.work.withheld)

    def beside(self, usual: Mapping[str, float]) -> Self:
        """Return this place when it is known what is usual."""
        work, scorer = replace(self.work, usual=usual), replace(self.scorer, usual=usual)
        return replace(self, work=work, scorer=scorer)

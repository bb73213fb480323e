"""The lesson: a target, the rows of one snapshot to learn it from, and what leaks among them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cluster.errors import WrongUse
from features.targets import load_target
from jobs.train import fit, leaks
from serving.wording import wordings

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from features.targets import Target
    from jobs.train.fit import Prepared
    from jobs.train.leaks.finding import Finding
    from jobs.train.settings import TrainSettings


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """What a training reads: a declared target and one snapshot of its table."""

    target: Target
    snapshot: int
    asked: str  # the target as it was asked for: a name or a file

    @classmethod
    def each(cls, workspace: Workspace, settings: TrainSettings) -> list[Pinned]:
        """Pin the snapshot of the settings, else the newest, for each target; WrongUse when there
        is none, or a target twice.
        """
        each = [cls._of(workspace, settings, asked) for asked in settings.targets]
        names = [pinned.target.name for pinned in each]
        if len(set(names)) < len(names):
            raise WrongUse(f"--target must name each target once, got {', '.join(names)}")
        return each

    @classmethod
    def _of(cls, workspace: Workspace, settings: TrainSettings, asked: str) -> Pinned:
        target = load_target(asked)
        snapshot = settings.snapshot or workspace.tables.head(target.training_table)
        if snapshot is None:
            raise _no_rows(target, asked)
        return cls(target=target, snapshot=snapshot, asked=asked)

    @property
    def identity(self) -> dict[str, str]:
        """The target, its view and the rows."""
        return {
            "target": self.target.version,
            "view": self.target.features.version,
            "snapshot": str(self.snapshot),
        }


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """Rows to learn one target from."""

    pinned: Pinned
    prepared: Prepared
    found: tuple[Finding, ...]  # columns that leak, or may

    @property
    def target(self) -> Target:
        """What is to be learnt."""
        return self.pinned.target


def read(workspace: Workspace, settings: TrainSettings, pinned: Pinned) -> Lesson:
    """Read, split and search for leaks, which are left out if the settings say so."""
    table = workspace.tables.read(pinned.target.training_table, pinned.snapshot)
    if not len(table):
        raise _no_rows(pinned.target, pinned.asked)
    share, purge = settings.test_share, settings.purge
    split = fit.prepare(table, pinned.target, test_share=share, purge=purge)
    worded = split.signature.worded(wordings(pinned.target.features))
    prepared = replace(split, signature=worded)
    found = leaks.found_in(prepared, settings.seed)
    if settings.leaks == "exclude":
        prepared = leaks.left_out(prepared, leaks.leaking(found))
    return Lesson(pinned=pinned, prepared=prepared, found=found)


def _no_rows(target: Target, asked: str) -> WrongUse:
    return WrongUse(
        f"'{target.training_table}' must have rows, got none: "
        f"python -m jobs.materialize --target {asked}"
    )

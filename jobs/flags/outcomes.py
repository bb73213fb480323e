"""What became of the accounts of a flag, variant by variant, beside the check of the split."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd

from features import log
from jobs.console import Report
from jobs.flags.exposures import split_said
from serving.leading import variants
from serving.releases import compared, flags

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from cluster.workspace import Workspace
    from jobs.flags.asked import Asked
    from serving.leading.variants import Known
    from serving.releases.compared import Count, Point
    from serving.releases.experiments import Reading
    from serving.releases.wealth import Wealth


@dataclass(frozen=True, kw_only=True)
class Found:
    """All that is known of the experiment of a flag at a moment."""

    asked: Asked
    at: datetime
    known: Known
    counts: dict[str, Count]
    courses: dict[str, tuple[Point, ...]]  # by variant that is compared with the usual one
    split: dict[str, Wealth]  # by variant: evidence that accounts come otherwise than it says

    @property
    def is_off(self) -> bool:
        """Do accounts come otherwise than by the weights?"""
        return flags.is_off(self.split)

    @property
    def split_said(self) -> str:
        """What the split says."""
        return split_said(self.asked.flag, is_off=self.is_off, count=len(self.known.told))

    @property
    def sentences(self) -> list[str]:
        """What the comparisons say; before, if the split is off, that none is to be trusted."""
        each = [self.sentence(name) for name in self.courses]
        return [self.split_said, *each] if self.is_off else [*each, self.split_said]

    def sentence(self, name: str) -> str:
        """Return what the comparison of a variant with the usual one says."""
        course, usual = self.courses[name], self.asked.each.usual
        if not course:
            return f"{name}: no outcome of it or of {usual} is known yet"
        return f"{name}: {self._verdict(course[-1].reading)}: {told(course[-1], usual)}"

    def _verdict(self, reading: Reading) -> str:
        days, began = self.asked.each.most_days, min(each.at for each in self.known.told)
        if not reading.is_decided and self.at - began >= timedelta(days=days):
            return f"{compared.said(reading)} in {days:g} days"
        return compared.said(reading)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The figures of each variant."""
        return [
            {
                "variant": name,
                "exposed": count.exposed,
                "matured": count.matured,
                "unknown": count.unknown,
                "outcomes": count.outcomes,
                "rate": count.rate,
                **_figures(self.courses.get(name, ())),
            }
            for name, count in self.counts.items()
        ]

    @property
    def report(self) -> Report:
        """What the job tells."""
        return Report(
            read={
                "flag": self.asked.flag.id,
                "target": self.asked.target.name,
                "exposures": len(self.known.told),
                "known until": f"{self.known.until:%Y-%m-%d %H:%M:%S} UTC",
            },
            wrote={},
            decided=self.sentences,
            figures={"variants": self.rows, "is_off": self.is_off},
            table=pd.DataFrame(list(self.table)),
        )

    @property
    def table(self) -> Iterator[dict[str, str]]:
        """The figures of each variant, for a person."""
        for row in self.rows:
            counts = {name: f"{row[name]:,}" for name in ("exposed", "matured", "unknown")}
            course = self.courses.get(row["variant"], ())
            yield {
                "variant": row["variant"],
                **counts,
                "outcomes": f"{row['outcomes']:,}",
                "rate": "" if row["rate"] is None else f"{row['rate']:.2%}",
                "of the usual rate": interval(course[-1].reading) if course else "",
                "says": compared.said(course[-1].reading) if course else "",
            }


def found(workspace: Workspace, asked: Asked, as_of: str | None) -> Found:
    """Return what is known at a moment, by default now, of who was told a variant by then."""
    at = workspace.clock()
    if as_of is not None:
        at = log.as_of(as_of, workspace.tables, log.pinned(workspace.tables))
    known = variants.known(workspace, asked.flag, asked.target, at)
    return Found(
        asked=asked,
        at=at,
        known=known,
        counts=compared.counts(asked.flag, known.told, known.over),
        courses=compared.courses(asked.flag, asked.each, known.over),
        split=flags.split(asked.flag, [each.variant for each in known.told]),
    )


def told(point: Point, usual: str) -> str:
    """Return a reading in words."""
    return (
        f"the rate is {interval(point.reading)} times that of {usual}, by"
        f" {point.reading.outcomes:,} outcomes of {point.accounts:,} accounts of both"
    )


def interval(reading: Reading) -> str:
    """Return the ratio of the rates with its interval."""
    return f"{reading.ratio:.2f} ({reading.low:.2f} to {reading.high:.2f})"


def _figures(course: tuple[Point, ...]) -> dict[str, Any]:
    if not course:
        return {}
    reading = course[-1].reading
    return {
        "ratio": reading.ratio,
        "low": reading.low,
        "high": reading.high,
        "is_decided": reading.is_decided,
    }

"""What one may ask of a training."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.errors import WrongUse
from jobs.console import option, required

LEAKS = ("report", "exclude")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """What to train, how long to search, and how to split."""

    target: str = required("Name in configs/targets, or a file; several with commas between.")
    trials: int = option(24, "How many sets of parameters to try.")
    minutes: float | None = option(None, "Stop trying after so many minutes.")
    tolerance: float = option(
        0.0, "How much of the metric to give up for a model that answers faster."
    )
    seed: int = option(7, "Of the search and of the bootstrap.")
    runner: str = option("auto", "auto (by size), ray or inline.")
    snapshot: int | None = option(None, "Of the training table; default: the newest.")
    purge: bool = option(True, "Leave out rows whose label reaches into the judged period.")
    test_share: float = option(0.2, "Share of the rows, last by time, to judge on.")
    leaks: str = option(
        "report", "report (what the leak search finds) or exclude (leave leaks out)."
    )

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets, one by one."""
        return tuple(self.target.split(","))

    def __post_init__(self) -> None:
        if not all(self.targets) or len(set(self.targets)) < len(self.targets):
            raise WrongUse(f"--target must name each target once, got '{self.target}'")
        if self.snapshot is not None and len(self.targets) > 1:
            raise WrongUse("--snapshot must come with one target, got several: train them apart")
        if self.trials < 1:
            raise WrongUse(f"--trials must be 1 or more, got {self.trials}")
        if not self.tolerance >= 0:
            raise WrongUse(f"--tolerance must be 0 or more, got {self.tolerance}")
        if self.leaks not in LEAKS:
            raise WrongUse(f"--leaks must be one of {', '.join(LEAKS)}, got '{self.leaks}'")
        if not 0.05 <= self.test_share <= 0.5:
            raise WrongUse(f"--test-share must be from 0.05 to 0.5, got {self.test_share}")

"""Flags: experiments whose variants are drawn by account. Who sees which is a pure function of the
flag's salt and name and the account, so that it never changes while the weights stay.

That accounts were told their variant is kept as exposures, each once. Their counts should be as the
weights say: a variant that loses accounts on the way (because it fails, or is slow) is found by the
evidence of `serving.releases.odds`, which may be looked at at any time. What becomes of accounts
is compared by `serving.releases.compared`. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from cluster import canonical
from cluster.errors import Refusal, WrongUse, nearest
from cluster.settings import CONFIGS, Frozen, load
from serving.releases import assignment, odds
from serving.releases.plan import Experiment
from serving.releases.wealth import Wealth

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FOLDER, EXPOSURE = "flags", "exposure"  # of configs; kind of a journal entry
NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"
ALPHA = 0.001  # chance that the check of the split is ever wrongly an alarm
_TO_PLACES = assignment.PLACES / 100


class Variant(Frozen):
    """One variant, and how many of the accounts draw it."""

    name: str = Field(pattern=NAME)
    weight: float = Field(ge=0, le=100)  # in percent

    @property
    def places(self) -> int:
        """How many of ten thousand places it has."""
        return round(self.weight * _TO_PLACES)


class Compared(Experiment):
    """What is asked of the outcomes of accounts: of each variant, beside the usual one."""

    target: str = Field(pattern=r"^[a-z][a-z0-9_]*$")  # whose outcome it is
    usual: str = Field(pattern=NAME)  # the variant that is business as usual


class Flag(Frozen):
    """An experiment: its variants, whom it is for, and what is compared."""

    name: str = Field(pattern=NAME)
    version: int = Field(ge=1)
    summary: str = Field(min_length=1, max_length=200)
    unit: Literal["account"] = "account"
    variants: tuple[Variant, ...] = Field(min_length=2, max_length=20)
    otherwise: str = Field(default="off", pattern=NAME)  # what accounts get whom it is not for
    salt: str = Field(pattern=NAME)
    segments: tuple[str, ...] = ()  # whom it is for, as the caller names them; none: everybody
    experiment: Compared | None = None  # none: what becomes of the accounts is not compared

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        names = [each.name for each in self.variants]
        if len(set(names)) != len(names):
            raise ValueError("a variant's name must be its own")
        if any(abs(v.weight * _TO_PLACES - v.places) > 1e-6 for v in self.variants):
            raise ValueError("weights must be whole hundredths of a percent")
        if (total := sum(each.places for each in self.variants)) != assignment.PLACES:
            raise ValueError(f"weights must add up to 100, got {total / _TO_PLACES:g}")
        return self

    @model_validator(mode="after")
    def _has_two_to_compare(self) -> Self:
        drawn = [name for name, share in self.shares.items() if share]
        if self.experiment is None:
            return self
        if (usual := self.experiment.usual) not in drawn:
            hint = nearest(usual, drawn)
            raise ValueError(f"usual must be a variant that accounts draw, got '{usual}': {hint}")
        if len(drawn) < 2:
            raise ValueError(f"accounts must draw another variant beside '{usual}'")
        return self

    @property
    def id(self) -> str:
        """Name, version and hash of the content: what is compared is part of that, so that nobody
        asks otherwise after a look at what came of it.
        """
        content = self.model_dump(mode="json", exclude_none=True)
        return f"{self.name}@{self.version}-{canonical.digest(content)[:12]}"

    @property
    def shares(self) -> dict[str, float]:
        """The share of the accounts that draws each variant."""
        return {each.name: each.places / assignment.PLACES for each in self.variants}

    @property
    def compared(self) -> dict[str, float]:
        """Of each variant that is compared with the usual one: its share of the accounts that draw
        either.
        """
        if self.experiment is None:
            return {}
        others = dict(self.shares)
        usual = others.pop(self.experiment.usual)
        return {name: share / (share + usual) for name, share in others.items() if share}

    def is_for(self, segment: str | None) -> bool:
        """Is an account of this segment part of the experiment?"""
        return not self.segments or segment in self.segments

    def drawn(self, account: str) -> str:
        """Return the variant of an account that is part of it."""
        place = assignment.place(self.salt, f"flag/{self.name}", account)
        which = assignment.arm(place, [each.places for each in self.variants])
        return self.variants[which or 0].name  # never None: they add up to all places


@dataclass(frozen=True, kw_only=True)
class Exposed:
    """That an account was told its variant."""

    flag: Flag
    account: str

    @property
    def id(self) -> str:
        """Of the journal entry: one per account, flag and version."""
        told = canonical.sha256_hex(self.account.encode())[:32]
        return f"{EXPOSURE}:{self.flag.id}:{told}"

    def body(self) -> dict[str, Any]:
        """Return what the journal keeps: the same whenever it is asked."""
        variant = self.flag.drawn(self.account)
        return {
            "flag": self.flag.name,
            "version": self.flag.id,
            "account": self.account,
            "variant": variant,
            "share": self.flag.shares[variant],
        }


def declared(folder: Path = CONFIGS / FOLDER) -> dict[str, Flag]:
    """Return the flags of configs/flags by name; WrongUse for one that is not its file's."""
    found = {path.stem: load(Flag, path) for path in sorted(folder.glob("*.yaml"))}
    for stem, flag in found.items():
        if flag.name != stem:
            raise WrongUse(
                f"the flag in {FOLDER}/{stem}.yaml must have its name, got '{flag.name}': rename"
                " one of them"
            )
    return found


def named(flags: Mapping[str, Flag], name: str) -> Flag | Refusal:
    """Return the flag of a name; a Refusal if there is none."""
    return flags.get(name) or Refusal(
        rule=f"a flag must be declared in configs/{FOLDER}",
        value=f"'{name}'",
        remedy=nearest(name, flags) if flags else "declare one",
    )


def split(flag: Flag, variants: Sequence[str]) -> dict[str, Wealth]:
    """Return for each variant the evidence that accounts come otherwise than by its weight, from
    the variants of exposures in their order. One that all or none draw tells nothing.
    """
    return {
        name: Wealth.of(len(odds.EITHER)).after(_gains(name, share, variants))[0]
        for name, share in flag.shares.items()
        if 0 < share < 1
    }


def is_off(found: dict[str, Wealth], alpha: float = ALPHA) -> bool:
    """Is any variant surely not as its weight says? Each has its part of the chance of an error."""
    return any(each.exceeds(alpha / len(found)) for each in found.values())


def _gains(name: str, share: float, variants: Sequence[str]) -> np.ndarray:
    is_it = np.array([each == name for each in variants], bool)
    return odds.gains(is_it, np.full(len(is_it), share), odds.EITHER)

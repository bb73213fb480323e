"""Flags: sticky and exact draws, one exposure per account, and a split that is checked."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pytest
from fastapi import FastAPI
from scipy.stats import chi2
from starlette.testclient import TestClient

from cluster.errors import WrongUse
from cluster.settings import ROOT, validated
from cluster.workspace import Workspace
from jobs.console import perform
from jobs.flags.run import JOB, FlagsSettings
from serving.answer import exposing
from serving.answer.service import DecisionService
from serving.api.application import make_application
from serving.api.flags import router
from serving.releases import flags
from serving.releases.flags import Exposed, Flag
from serving.slots.slot import Answer
from serving.wire.flags import FlagOut

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.settings import Settings

DECLARED: dict[str, Any] = {
    "name": "script",
    "version": 1,
    "summary": "A test.",
    "variants": [
        {"name": "usual", "weight": 59.5},
        {"name": "short", "weight": 30},
        {"name": "long", "weight": 10.5},
    ],
    "otherwise": "usual",
    "salt": "s",
}
FLAG = Flag.model_validate(DECLARED)
CALL = "call_script"
_CHILD = """
from serving.releases.flags import Flag
flag = Flag.model_validate({DECLARED})
print([flag.drawn(f"account-{{n}}") for n in range(200)])
"""
_MUTANT = """print([hash(("s", "flag/script", f"account-{n}")) % 10_000 for n in range(200)])"""


def _drawn(flag: Flag, count: int) -> list[str]:
    return [flag.drawn(f"account-{n}") for n in range(count)]


def _off(count: int, variants: list[str]) -> float:
    """Return how likely the counts of variants are, at least so far off."""
    found, due = Counter(variants), {n: s * count for n, s in FLAG.shares.items()}
    squared = sum((found[name] - much) ** 2 / much for name, much in due.items())
    return float(chi2.sf(squared, df=len(due) - 1))


def _of_child(seed: int, code: str) -> str:
    env = {"PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


def test_variants_come_as_their_weights_say() -> None:
    """Of 200,000 accounts, by the chi-squared test; a draw that is one point off would be found."""
    variants = _drawn(FLAG, 200_000)
    assert _off(200_000, variants) > 0.001
    moved = variants[:]
    moved[:2_000] = ["long"] * 2_000
    assert _off(200_000, moved) < 1e-6


def test_processes_agree() -> None:
    """Whatever they hash strings with; with Python's own hash they do not (the mutant)."""
    code = _CHILD.format(DECLARED=DECLARED)
    assert {_of_child(seed, code) for seed in (1, 2)} == {str(_drawn(FLAG, 200))}
    assert _of_child(1, _MUTANT) != _of_child(2, _MUTANT)


def test_another_flag_draws_anew_and_another_version_does_not() -> None:
    """Who is in one experiment says nothing of who is in another."""
    variants = _drawn(FLAG, 20_000)
    assert _drawn(FLAG.model_copy(update={"version": 2}), 20_000) == variants
    other = _drawn(FLAG.model_copy(update={"name": "other"}), 20_000)
    both = np.mean([a == b == "usual" for a, b in zip(variants, other, strict=True)])
    assert both == pytest.approx(0.595**2, abs=0.02)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"variants": [{"name": "a", "weight": 50}, {"name": "b", "weight": 49}]}, "up to 100"),
        ({"variants": [{"name": "a", "weight": 50}, {"name": "a", "weight": 50}]}, "its own"),
        ({"variants": [{"name": "a", "weight": 33.333}, {"name": "b", "weight": 66.667}]}, "whole"),
        ({"variants": [{"name": "a", "weight": 100}]}, "at least 2"),
        ({"salt": ""}, "pattern"),
        ({"unit": "lead"}, "account"),
    ],
)
def test_a_flag_that_is_wrong_is_refused(changed: dict[str, Any], told: str) -> None:
    """With what it breaks."""
    with pytest.raises(WrongUse, match=told):
        validated(Flag, DECLARED | changed, where="f.yaml")


def test_every_declared_flag_loads() -> None:
    """Under its own name."""
    assert CALL in flags.declared()


def test_a_split_that_loses_accounts_is_found_and_an_honest_one_is_not() -> None:
    """A variant that loses one account in five on the way."""
    variants = _drawn(FLAG, 10_000)
    assert not flags.is_off(flags.split(FLAG, variants))
    rng = np.random.default_rng(0)
    kept = [each for each in variants if each != "short" or rng.random() > 0.2]
    assert flags.is_off(flags.split(FLAG, kept))
    assert not flags.is_off(flags.split(FLAG, []))


@pytest.fixture
def service(copied: Callable[[Path], Settings], tmp_path: Path) -> Iterator[DecisionService]:
    """A service over a copy of the small world."""
    lead = {"lead": Answer(target="lead_qualification", policy="lead_routing")}
    with (
        Workspace.open(copied(tmp_path / "home")) as place,
        closing(DecisionService(place, lead)) as made,
    ):
        yield made


def _accounts(service: DecisionService, count: int) -> list[str]:
    rows = service.workspace.tables.read("scores_lead_qualification").to_pylist()
    return sorted({row["account"] for row in rows if row["account"]})[:count]


def _kept(service: DecisionService) -> list[dict[str, Any]]:
    return [entry.body for entry in service.workspace.journal.entries(flags.EXPOSURE)]


def test_an_account_is_exposed_once_and_keeps_its_variant(service: DecisionService) -> None:
    """On record before it is told; another replica, which remembers nothing, adds none either."""
    accounts, declared = _accounts(service, 30), flags.declared()[CALL]
    for _ in range(2):
        with TestClient(make_application(service), base_url="http://127.0.0.1") as client:
            for account in accounts:
                answer = client.get(f"/v1/flags/{CALL}", params={"account": account})
                told = FlagOut.model_validate_json(answer.content)
                assert (told.variant, told.exposed) == (declared.drawn(account), True)
                assert _kept(service)[-1]["version"] == declared.id
    kept = _kept(service)
    assert sorted(body["account"] for body in kept) == accounts
    assert all(body["variant"] == declared.drawn(body["account"]) for body in kept)
    report = perform(
        JOB, FlagsSettings(action="exposures", name=CALL), service.workspace, lambda *_: None
    ).report
    assert report["read"]["exposures"] == len(accounts)
    assert "nothing in 30 exposures speaks against" in report["decided"][0]


def test_who_is_not_known_or_not_meant_is_not_exposed(service: DecisionService) -> None:
    """404 for a flag or an account that is none; what is off for those of another segment."""
    (account,) = _accounts(service, 1)
    with TestClient(make_application(service), base_url="http://127.0.0.1") as client:
        for path in (f"call_scrip?account={account}", f"{CALL}?account=nobody"):
            assert client.get(f"/v1/flags/{path}").status_code == 404
        assert client.get(f"/v1/flags/{CALL}").status_code == 422
    assert _kept(service) == []


def test_a_flag_of_a_segment_is_off_for_others(service: DecisionService) -> None:
    """They are no part of the experiment, so nothing is kept of them."""
    (account,), app = _accounts(service, 1), FastAPI()
    meant = FLAG.model_copy(update={"segments": ("emea",), "otherwise": "none"})
    app.include_router(router(service, {"script": meant}))
    with TestClient(app) as client:
        for segment, exposed in ((None, False), ("apac", False), ("emea", True)):
            asked = {"account": account} | ({"segment": segment} if segment else {})
            answer = client.get("/v1/flags/script", params=asked)
            told = FlagOut.model_validate_json(answer.content)
            assert told.exposed == exposed
            assert told.variant == (meant.drawn(account) if exposed else "none")
            assert len(_kept(service)) == exposed


def test_without_its_id_an_exposure_would_be_kept_again(
    service: DecisionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two replicas keep one; the mutant, whose ids are drawn, keeps two."""
    exposed, place = Exposed(flag=FLAG, account="account-1"), service.workspace
    for _ in range(2):
        exposing.Exposures(place).keep(exposed)
    assert len(_kept(service)) == 1
    monkeypatch.setattr(Exposed, "id", property(lambda _: uuid4().hex))
    for _ in range(2):
        exposing.Exposures(place).keep(exposed)
    assert len(_kept(service)) == 3

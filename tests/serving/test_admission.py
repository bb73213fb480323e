"""Admission: every file is hostile; what gets past one stage meets the next, and never us."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import pickletools
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb

from serving import bundle
from serving.admission import (
    booster,
    broken,
    child,
    forest,
    plain,
    throwaway,
    ubjson,
    words,
)
from serving.admission.broken import BundleBroken
from serving.shapley import Explainer
from serving.trees import TreesBroken
from tests.serving import hostile, hostile_rules, hostile_trees
from tests.serving.hostile import Case

type Family = Callable[[], Iterator[Case]]

FAMILIES: dict[Family, int] = {  # and how many each has
    hostile.truncated: 37,
    hostile.flipped: 40,
    hostile.lengths: 21,
    hostile.nested: 14,
    hostile.doubled: 7,
    hostile.pickles: 30,
    hostile.names: 33,
    hostile.inputs: 27,
    hostile.golden: 29,
    hostile_rules.rules: 47,
    hostile_trees.shapes: 62,
    hostile_trees.numbers: 18,
    hostile_trees.links: 25,
    hostile_trees.splits: 23,
    hostile_trees.shells: 49,
}
CODES = [0, 4, 0]  # of the features of the whole bundle


def refusal(case: Case) -> str:
    """Return what is said against a bundle; it must be refused."""
    with pytest.raises(BundleBroken) as refused:
        bundle.unpack(case.manifest, case.booster)
    return str(refused.value)


def case_of(cases: Iterator[Case], name: str) -> Case:
    """Return the first case of a name."""
    return next(case for case in cases if case.name == name)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_hostile_bundles_are_refused_with_their_reason(family: Family) -> None:
    """Each in one printable line that names what is wrong; 462 in all; memory stays bounded."""
    bundle.unpack(hostile.whole().manifest, hostile.whole().booster)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = 0
    for count, case in enumerate(family(), start=1):  # noqa: B007
        said = refusal(case)
        assert re.search(case.says, said), (case.name, said)
        assert said.isprintable(), case.name
        assert len(said) < 600, case.name
    assert count == FAMILIES[family]
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 400_000  # KB; the largest file of a family has 64 MB
    bundle.unpack(hostile.whole().manifest, hostile.whole().booster)


def test_the_writer_of_hostile_boosters_writes_as_xgboost_does() -> None:
    """What is changed is the damage, and nothing else."""
    trees = hostile.whole().booster
    assert hostile.written(ubjson.read(trees)) == trees


def test_no_pickle_begins_as_our_files_do() -> None:
    """A brace is no opcode, so an opcode stream cannot pass for an object."""
    assert "{" not in {opcode.code for opcode in pickletools.opcodes}
    assert all(not pickle.dumps(42, protocol).startswith(b"{") for protocol in range(6))


def test_random_damage_never_escapes_as_another_error() -> None:
    """400 boosters with bytes turned, under a right hash: refused, or whole to every check."""
    rng, refused = np.random.default_rng(3), 0
    for _ in range(400):
        try:
            booster.check(_damaged(rng), rounds=hostile.TREES, codes=CODES)
        except BundleBroken:
            refused += 1
    assert refused > 200  # the others hit the digits of a number


def _damaged(rng: np.random.Generator) -> bytes:
    """Return the whole booster with one to three bytes turned into others."""
    damaged = bytearray(hostile.whole().booster)
    for at in rng.integers(0, len(damaged), rng.integers(1, 4)):
        damaged[at] = rng.integers(0, 256)
    return bytes(damaged)


@pytest.mark.drill
def test_what_passes_by_chance_is_loaded_without_harm() -> None:
    """1,000 turned boosters under a right hash: each refused in words, or scored here."""
    rng, loaded = np.random.default_rng(11), 0
    for _ in range(1000):
        try:
            made = bundle.unpack(*hostile.sealed(_damaged(rng)))
        except BundleBroken:
            continue
        loaded += 1  # a leaf that no golden row reaches, or a number that no score is made of
        assert np.isfinite(made.score(np.zeros((3, hostile.WIDE), np.float32)).margin).all()
    assert 0 < loaded < 700


@pytest.mark.parametrize("seed", range(12))
def test_what_xgboost_makes_is_admitted(seed: int) -> None:
    """Trees of any depth, policy and pruning, with nulls, constants and categories: all whole."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(300, 5)).astype(np.float32)
    rows[:, 1], rows[:, 2], rows[:, 3] = rng.integers(0, 40, 300), rng.integers(0, 3, 300), 1
    rows[rng.random(rows.shape) < rng.choice([0, 0.1, 0.7])] = np.nan
    label = (rng.random(300) < 0.2).astype(np.float32)
    kinds = ["q", "c", "c", "q", "q"]
    params = {
        "objective": "binary:logistic",
        "nthread": 1,
        "gamma": rng.choice([0, 1.0]),
        "max_depth": int(rng.integers(1, 10)),
        "subsample": rng.choice([0.5, 1]),
        "min_child_weight": rng.choice([0, 0.1, 5]),
        "eta": rng.choice([0.05, 0.5]),
        "max_cat_to_onehot": int(rng.choice([1, 50])),
        "grow_policy": str(rng.choice(["depthwise", "lossguide"])),
        "monotone_constraints": "(1,0,0,0,-1)",
    }
    data = xgb.QuantileDMatrix(rows, label, feature_types=kinds, enable_categorical=True, nthread=1)
    raw = bytes(xgb.train(params, data, 15).save_raw("ubj"))
    booster.check(raw, rounds=15, codes=[0, 40, 3, 0, 0])


def test_a_check_takes_milliseconds() -> None:
    """All but the throw-away process; the median of ten."""
    packed, taken = hostile.whole(), []
    for _ in range(10):
        begun = time.perf_counter()
        bundle.read(packed.manifest)
        booster.check(packed.booster, rounds=hostile.TREES, codes=CODES)
        taken.append(time.perf_counter() - begun)
    assert np.median(taken) < 0.1


def _through(*_: Any, **__: Any) -> None:
    return None


def _files(name: str) -> Case:
    """Return the first hostile tree of a name."""
    trees = (hostile_trees.numbers, hostile_trees.links, hostile_trees.splits, hostile_trees.shells)
    return case_of(itertools.chain.from_iterable(family() for family in trees), name)


@pytest.mark.parametrize(
    ("check", "name"),
    [
        ("_must_be_finite", "weight 0.0"),
        ("_must_be_finite", "split_conditions nan"),
        ("_must_be_finite", "huge leaf"),
        ("_must_be_trees", "left_children 1000000"),
        ("_must_hang_once", "last parent"),
        ("_must_be_reached", "ring"),
        ("_must_be_reached", "chain"),
        ("_must_split_on", "number as category"),
        ("_must_have_categories", "category 4"),
    ],
)
def test_each_check_of_trees_is_what_holds_them(
    check: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it the trees would be taken for whole, or fall over another check's feet."""
    case = _files(name)
    monkeypatch.setattr(forest, check, _through)
    try:
        booster.check(case.booster, rounds=hostile.TREES, codes=CODES)
    except (BundleBroken, IndexError) as other:
        assert not re.search(case.says, str(other))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("split_conditions nan", "not all finite|golden row"),
        ("left_children 1000000", "SIGSEGV|golden row|Check failed|in a process of its own"),
        ("fewer", "in a process of its own"),
        ("linear", "in a process of its own|golden row"),
    ],
)
def test_what_the_walk_let_through_would_die_apart(
    name: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without our walk the throw-away process is what stands between such a file and us."""
    monkeypatch.setattr(bundle, "_must_be_trees", _through)
    monkeypatch.setattr(throwaway, "CPU_S", 2)
    assert re.search(says, refusal(_files(name)))


def test_a_length_that_the_reader_believed_would_cost_no_memory_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """XGBoost makes room for 2^31 numbers before it reads them: apart, it may not."""
    monkeypatch.setattr(bundle, "_must_be_trees", _through)
    said = refusal(case_of(hostile.lengths(), f"base_weights of {2**31}"))
    assert "in a process of its own" in said


def test_a_walk_without_end_ends_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree whose root is its own child kills whoever walks it: another process, not this one."""
    monkeypatch.setattr(bundle, "_must_be_trees", _through)
    monkeypatch.setattr(throwaway, "CPU_S", 1)
    trees = hostile.rewritten(
        lambda d: hostile.forest(d)["trees"].__setitem__(0, hostile_trees.round_and_round())
    )
    with pytest.raises(BundleBroken, match=r"its end by SIG"):
        bundle.unpack(*trees)


def test_without_the_process_apart_golden_rows_still_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lying margin is refused here then; without both checks it would be believed."""
    lie = case_of(hostile.golden(), "lie")
    monkeypatch.setattr(bundle, "_must_score_apart", _through)
    assert "golden row 4 must score" in refusal(lie)
    monkeypatch.setattr(bundle, "_must_score_as_said", _through)
    assert bundle.unpack(lie.manifest, lie.booster).signature.features


def test_trees_that_cannot_be_explained_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """At loading, not when a seller asks."""

    def broken_trees(_: object) -> Explainer:
        raise TreesBroken("a tree must end, got a cycle")

    monkeypatch.setattr(Explainer, "of", broken_trees)
    with pytest.raises(BundleBroken, match="trees that can be explained, got a tree must end"):
        bundle.unpack(hostile.whole().manifest, hostile.whole().booster)


@pytest.mark.parametrize(
    ("module", "check", "family", "name", "says"),
    [
        (words, "check", hostile.names, "name '/etc/passwd'", ""),
        (words, "_rules", hostile_rules.rules, "none", ""),
        (plain, "_must_be_canonical", hostile.doubled, "JSON", ""),
        (plain, "_must_be_shallow", hostile.nested, "JSON 100000", "must be JSON.*recursion"),
        (broken, "must_be_within", hostile.nested, "size", "format 1"),
        (broken, "must_not_be_pickle", hostile.pickles, "manifest", "must be JSON"),
    ],
)
def test_each_check_of_the_manifest_is_what_holds_it(
    module: Any,
    check: str,
    family: Family,
    name: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without it the words are believed, or a later check has another reason."""
    case = case_of(family(), name)
    assert re.search(case.says, refusal(case))
    monkeypatch.setattr(module, check, _through)
    if says:
        with pytest.raises(BundleBroken, match=says):
            bundle.read(case.manifest)
    else:
        assert bundle.read(case.manifest)


def _margins() -> list[str]:
    """Score one row in a process apart."""
    rows = np.zeros((1, hostile.WIDE), np.float32)
    return throwaway.margins(hostile.whole().booster, rows, ["q", "c", "q"])


def test_the_process_apart_is_waited_for_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A good booster is refused where time does not suffice, and taken where it does."""
    assert len(_margins()) == 1
    monkeypatch.setattr(throwaway, "WALL_S", 1e-4)
    with pytest.raises(BundleBroken, match=r"got no answer in 0\.0001 s"):
        _margins()


class _Script:
    """Stands for the child module: the script that is run."""

    ANSWER_BYTES = child.ANSWER_BYTES

    def __init__(self, path: Path, source: str) -> None:
        path.write_text(source, encoding="utf-8")
        self.__file__ = str(path)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", "its end with code 0"),
        ("raise SystemExit(3)", "its end with code 3"),
        ("import os; os.kill(os.getpid(), 11)", "its end by SIGSEGV"),
        ("print('{' * 10_000_000)", "its end with code 0"),
        ("print('[' * 60_000)", "its end with code 0"),
        ('print(\'{"margins": ["nan"], "sums": ["0x0p+0"]}\')', "not all finite"),
        ('print(\'{"margins": [], "sums": []}\')', "0 margins"),
        ('print(\'{"margins": ["0x1p+0"], "sums": ["0x1p+9"]}\')', "must add up to 1"),
        ('print(\'{"margins": [1], "sums": [1]}\')', "its end with code 0"),
        ('print(\'{"margins": ["0x1p+99999"], "sums": []}\')', "its end with code 0"),
        ('print(\'{"error": "[1:2] /a/b.cc:3: too bad"}\')', "got too bad:"),
        (
            "import os; print('{\"error\": \"' + os.environ.get('SECRET', 'none') + '\"}')",
            "got none:",
        ),
    ],
)
def test_an_answer_from_apart_is_not_believed(
    source: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the process says or how it ends: a refusal. It knows nothing of our environment."""
    monkeypatch.setenv("SECRET", "key")
    monkeypatch.setattr(throwaway, "child", _Script(tmp_path / "script.py", source))
    with pytest.raises(BundleBroken, match=re.escape(says)):
        _margins()


def test_a_process_without_its_limits_would_take_what_it_likes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With them it opens no file and takes no memory; without, it would."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import child\n"
        "if sys.argv[2] == 'yes': child.limit(64 * 2**20, 5)\n"
        "for take in (lambda: open('/etc/hostname'), lambda: bytearray(2**28)):\n"
        "    try: take(); print('taken')\n"
        "    except (OSError, MemoryError) as error: print('refused')\n"
    )
    folder = str(Path(child.__file__).parent)
    said = {
        limited: subprocess.run(
            [sys.executable, "-I", "-S", "-c", script, folder, limited],
            capture_output=True,
            text=True,
            check=False,
            env=dict(os.environ),
        ).stdout.split()
        for limited in ("yes", "no")
    }
    assert said == {"yes": ["refused", "refused"], "no": ["taken", "taken"]}


def test_time_is_limited_too() -> None:
    """A loop without end is killed after the seconds it may take."""
    folder = str(Path(child.__file__).parent)
    script = "import sys; sys.path.insert(0, sys.argv[1]); import child; child.limit(2**26, 1)\n"
    command = [sys.executable, "-I", "-S", "-c", script + "while True: pass", folder]
    assert subprocess.run(command, check=False).returncode in (-signal.SIGXCPU, -signal.SIGKILL)


def test_the_process_apart_scores_as_this_one_does() -> None:
    """Bit by bit: margins of rows with nulls and categories, known and unknown."""
    packed = hostile.whole()
    loaded = bundle.unpack(packed.manifest, packed.booster)
    rng = np.random.default_rng(5)
    rows = rng.random((50, hostile.WIDE)).astype(np.float32) * 4
    rows[:, 1] = rng.integers(0, 4, 50)
    rows[rng.random(rows.shape) < 0.2] = np.nan
    apart = throwaway.margins(packed.booster, rows, ["q", "c", "q"])
    assert apart == [float(margin).hex() for margin in loaded.score(rows).margin]


def test_words_of_a_hostile_file_stay_one_short_line() -> None:
    """What a message repeats is cut, and cannot begin a line of its own in a log."""
    said = broken.shown("a\nERROR: \x1b[31m" + "b" * 1000)
    assert said.startswith("a?ERROR: ?[31m")
    assert len(said) < 100
    assert said.isprintable()
    assert json.loads(json.dumps(said)) == said

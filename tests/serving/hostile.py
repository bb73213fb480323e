"""A bundle that is whole, and hundreds that are not: each a damage or a lie of one kind.

Boosters are rewritten by an UBJSON writer of our own, so that everything but the damage is right,
hash and size included.
"""

from __future__ import annotations

import base64
import copy
import gzip
import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from cluster import canonical
from jobs.train import fit
from jobs.train.space import FIRST
from serving import bundle, model
from serving.admission import ubjson
from serving.calibrator import Calibrator

type Json = dict[str, Any]
type Change = Callable[[Json], object]

MARKERS = {">f4": b"d", ">i4": b"l", ">i8": b"L", "|u1": b"U", ">f8": b"D", "|i1": b"i"}
TREES = 6
WIDE = 3  # features


@dataclass(frozen=True, kw_only=True)
class Case:
    """A hostile bundle, and what its refusal must say."""

    name: str
    manifest: bytes
    booster: bytes
    says: str  # a regular expression


@cache
def whole() -> bundle.Bundle:
    """Return a bundle that is whole: two numbers, a category, six trees."""
    rng = np.random.default_rng(1)
    region = np.array(["apac", "eu", "us"])[rng.integers(0, 3, 400)]
    visits = pa.array(rng.poisson(3, 400), pa.int64(), mask=rng.random(400) < 0.2)
    table = pa.table({"visits": visits, "region": region, "share": rng.random(400)})
    signature = fit.signature(table, {name: name.title() for name in table.column_names})
    matrix = signature.encode(table)
    chance = 0.2 + 0.3 * (matrix[:, 1] == 2) + 0.3 * matrix[:, 2]
    label = (rng.random(400) < chance).astype(np.float32)
    types = tuple(model.feature_types(signature))
    data = fit.Data(matrix=matrix, label=label, types=types, folds=())
    made = model.Model(
        booster=fit.refit(data, FIRST, TREES),
        signature=signature,
        calibrator=Calibrator(),
    )
    return bundle.pack(made, table, provenance())


def provenance(**changes: Any) -> bundle.Provenance:
    """Return where a model comes from."""
    values = {
        "target": {"name": "win"},
        "target_version": "1",
        "training_table": "training_win",
        "training_snapshot": "8843219000111222333",
        "views": {"v": "2"},
        "code_version": "c",
        "created_at": datetime(2026, 3, 1, tzinfo=UTC),
        "metrics": {"auc": 0.1 + 0.2},
        "card": "A card.",
    }
    return bundle.Provenance(**{**values, **changes})


def document() -> Json:
    """Return the manifest as JSON."""
    return dict(json.loads(whole().manifest))


def sealed(booster: bytes, said: Json | None = None) -> tuple[bytes, bytes]:
    """Return a manifest that names this booster, and the booster."""
    said = said or document()
    said["booster"].update(sha256=canonical.sha256_hex(booster), size=len(booster))
    return canonical.dumps(said), booster


def retold(change: Change) -> bytes:
    """Return the manifest changed, in canonical spelling."""
    said = document()
    change(said)
    return canonical.dumps(said)


def rewritten(change: Change) -> tuple[bytes, bytes]:
    """Return the bundle with the document of its booster changed, and sealed again."""
    trees = copy.deepcopy(ubjson.read(whole().booster))
    change(trees)
    return sealed(written(trees))


def of_tree(change: Change, number: int = 0) -> tuple[bytes, bytes]:
    """Return the bundle with one tree changed."""
    return rewritten(lambda d: change(forest(d)["trees"][number]))


def forest(document: Json) -> Json:
    """Return the part of a booster that holds the trees."""
    found: Json = document["learner"]["gradient_booster"]["model"]
    return found


def written(value: Any) -> bytes:
    """Return a value as UBJSON, the way XGBoost writes it; keys as they come."""
    if isinstance(value, dict):
        return b"{" + b"".join(_text(k) + written(v) for k, v in value.items()) + b"}"
    if isinstance(value, list):
        return b"[#" + _long(len(value)) + b"".join(map(written, value))
    if isinstance(value, np.ndarray):
        marker = MARKERS[value.dtype.str]
        return b"[$" + marker + b"#" + _long(len(value)) + value.tobytes()
    if isinstance(value, str):
        return b"S" + _text(value)
    return next(
        marker + value.to_bytes(size, "big", signed=True)
        for marker, size in ((b"i", 1), (b"I", 2), (b"l", 4), (b"L", 8))
        if -(2 ** (8 * size - 1)) <= value < 2 ** (8 * size - 1)
    )


def _text(text: str) -> bytes:
    return _long(len(text.encode())) + text.encode()


def _long(count: int) -> bytes:
    return b"L" + count.to_bytes(8, "big", signed=True)


def truncated() -> Iterator[Case]:
    """Yield files that end too early, and boosters that end too late."""
    packed = whole()
    for at in np.linspace(0, len(packed.booster) - 1, 20).astype(int).tolist():
        manifest, booster = sealed(packed.booster[:at])
        says = "must (be whole|fit the bytes|have|begin)"
        yield Case(name=f"booster to {at}", manifest=manifest, booster=booster, says=says)
    for at in np.linspace(0, len(packed.manifest) - 1, 12).astype(int).tolist():
        cut, says = packed.manifest[:at], "must be JSON|must begin with a brace"
        yield Case(name=f"manifest to {at}", manifest=cut, booster=packed.booster, says=says)
    for more in (b"}", b"\0", pickle.dumps(print), packed.booster):
        manifest, booster = sealed(packed.booster + more)
        yield Case(name="more", manifest=manifest, booster=booster, says="must end where")
    says = "must have .* bytes"
    cut = packed.booster[:-1]
    yield Case(name="size", manifest=packed.manifest, booster=cut, says=says)


def flipped() -> Iterator[Case]:
    """Yield boosters with one bit flipped: under the old hash, and markers under a new one."""
    packed, rng = whole(), np.random.default_rng(2)
    for at in rng.choice(len(packed.booster), 20, replace=False).tolist():
        manifest, booster = packed.manifest, _flip(packed.booster, at)
        yield Case(name=f"bit {at}", manifest=manifest, booster=booster, says="must have the hash")
    places = [packed.booster.index(key) + len(key) for key in _KEYS]
    for at in places:
        for further in (0, 1, 2, 3):  # [ $ kind #
            manifest, booster = sealed(_flip(packed.booster, at + further))
            says = "the booster must have|must be an array of"
            yield Case(name=f"marker {at}", manifest=manifest, booster=booster, says=says)


_KEYS = (b"base_weights", b"left_children", b"default_left", b"categories_sizes", b"parents")


def _flip(data: bytes, at: int) -> bytes:
    damaged = bytearray(data)
    damaged[at] ^= 1
    return bytes(damaged)


def lengths() -> Iterator[Case]:
    """Yield boosters whose lengths promise what does not follow."""
    for key in (*_KEYS, b"trees", b"feature_types"):
        at = whole().booster.index(key + b"[") + len(key)
        at += 5 if whole().booster[at + 1 : at + 2] == b"$" else 3
        for length in (-1, 2**31, 2**62):
            damaged = bytearray(whole().booster)
            damaged[at : at + 8] = length.to_bytes(8, "big", signed=True)
            manifest, booster = sealed(bytes(damaged))
            name = f"{key.decode()} of {length}"
            yield Case(name=name, manifest=manifest, booster=booster, says="must fit the bytes")


def nested() -> Iterator[Case]:
    """Yield files that nest deeper than any that is meant well."""
    packed = whole()
    for depth in (30, 1000, 100_000):
        deep = packed.manifest.replace(
            b'"auc":', b'"a":' + b"[" * depth + b"]" * depth + b',"auc":'
        )
        says = "nested 24 deep"
        yield Case(name=f"JSON {depth}", manifest=deep, booster=packed.booster, says=says)
        for nest in (b"{" + _text("a"), b"[#" + _long(1)):
            manifest, booster = sealed(b"{" + _text("a") + nest * depth)
            says = "nested 8 deep|must be whole"
            yield Case(name=f"UBJSON {depth}", manifest=manifest, booster=booster, says=says)
    many = canonical.dumps({**document(), "z": [0] * 600_000})
    yield Case(name="values", manifest=many, booster=packed.booster, says="500,000 values at most")
    zeros = b"[#" + _long(300_000) + b"i\0" * 300_000
    manifest, booster = sealed(b"{" + _text("a") + zeros + b"}")
    yield Case(name="values", manifest=manifest, booster=booster, says="200,000 values at most")
    big = canonical.dumps({**document(), "z": "a" * 2**23})
    yield Case(name="size", manifest=big, booster=packed.booster, says="bytes at most")
    booster = b"{" + bytes(2**26)
    manifest = retold(lambda d: d["booster"].update(size=len(booster)))
    yield Case(name="size", manifest=manifest, booster=booster, says="bytes at most")
    quotes = b'{"a":"' + b'\\"' * 2**21
    yield Case(name="quotes", manifest=quotes, booster=packed.booster, says="must be JSON")


def doubled() -> Iterator[Case]:
    """Yield files that name a key twice, or in an order that hides it."""
    packed = whole()
    for key, again in ((b'"format":1', b'"format":1,'), (b'"rounds":6', b'"rounds":7,')):
        twice = packed.manifest.replace(key, again + key)
        says = "must be canonical JSON"
        yield Case(name="JSON", manifest=twice, booster=packed.booster, says=says)
    spaced = packed.manifest.replace(b",", b", ", 1)
    yield Case(name="blank", manifest=spaced, booster=packed.booster, says="must be canonical JSON")
    nan = packed.manifest.replace(b'"auc":', b'"a":NaN,"auc":')
    yield Case(name="NaN", manifest=nan, booster=packed.booster, says="must be JSON")
    for key in ("version", "learner"):
        more = _text(key) + written(ubjson.read(packed.booster)[key])
        manifest, booster = sealed(packed.booster[:-1] + more + b"}")
        says = "each key once and in order"
        yield Case(name=f"UBJSON {key}", manifest=manifest, booster=booster, says=says)
    left = _text("left_children") + written(np.zeros(1, ">i4"))
    at = packed.booster.index(_text("left_children"))
    manifest, booster = sealed(packed.booster[:at] + left + packed.booster[at:])
    yield Case(name="tree", manifest=manifest, booster=booster, says="each key once and in order")


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("a pickle was loaded",)


def pickles() -> Iterator[Case]:
    """Yield pickles of every protocol, as manifest, as booster and inside of texts."""
    packed = whole()
    streams = [pickle.dumps(_Evil(), protocol) for protocol in range(6)]
    streams += [gzip.compress(streams[2]), b"PK\x03\x04" + streams[2], b"(" + streams[0]]
    for stream in streams:
        says = "the manifest must begin with a brace"
        yield Case(name="manifest", manifest=stream, booster=packed.booster, says=says)
        manifest, booster = sealed(stream)
        says = "the booster must begin with a brace"
        yield Case(name="booster", manifest=manifest, booster=booster, says=says)
        manifest, booster = sealed(b"{" + stream)
        yield Case(name="brace", manifest=manifest, booster=booster, says="the booster must")
    for hidden, says in (
        ("\x80\x04.", "printable texts"),
        ("cos\nsystem\n(S'id'\ntR.", "printable"),
    ):
        manifest, booster = rewritten(lambda d, h=hidden: d["learner"]["attributes"].update(a=h))
        yield Case(name="text", manifest=manifest, booster=booster, says=says)
    shell = base64.b64encode(streams[4] * 40).decode()
    manifest, booster = rewritten(lambda d: d["learner"]["attributes"].update(a=shell))
    yield Case(name="base64", manifest=manifest, booster=booster, says="1000 bytes at most")


LEADING = (
    "../up",
    "a/../../b",
    "/etc/passwd",
    "~/x",
    "..",
    "a\0b",
    "C:\\x",
    "\\\\host",
    "",
    "a\nb",
)


def names() -> Iterator[Case]:
    """Yield names that would lead out of a folder, or tell a log a line of its own."""
    for name in (*LEADING, "n" * 300):
        for change in (
            lambda d, n=name: d["features"][0].update(name=n),
            lambda d, n=name: d["provenance"].update(training_table=n),
            lambda d, n=name: d["provenance"].update(views={n: "1"}),
        ):
            yield _told(f"name {name!r}", change, "must be short, printable and lead nowhere")


def inputs() -> Iterator[Case]:
    """Yield signatures that are not the booster's, or not in themselves consistent."""
    more = {"kind": "number", "label": "More", "name": "more", "vocabulary": []}

    def widened(said: Json) -> None:
        said["features"].append(more)
        for golden in said["golden"]:
            golden["row"]["more"] = None

    def narrowed(said: Json) -> None:
        said["features"].pop()
        for golden in said["golden"]:
            golden["row"].pop("share")

    yield _told("wide", widened, "must take the 4 features")
    yield _told("narrow", narrowed, "must take the 2 features")
    features: list[tuple[str, Change, str]] = [
        ("kind", lambda f: f[2].update(kind="category"), "must be of its vocabulary"),
        ("other kind", lambda f: f[2].update(kind="text"), "format 1"),
        ("twice", lambda f: f[2].update(name="visits"), "named once each"),
        ("vocabulary", lambda f: f[1].update(vocabulary=["eu", "eu", "us"]), "named once each"),
        ("rare", lambda f: f[1].update(vocabulary=["(other)", "eu", "us"]), "may be called"),
        ("number", lambda f: f[0].update(vocabulary=["eu"]), "must have no vocabulary"),
        ("codes", lambda f: f[1].update(vocabulary=[str(i) for i in range(2000)]), "at most"),
        ("label", lambda f: f[0].update(label="a\nb"), "must be one short line"),
        ("long label", lambda f: f[0].update(label="a" * 501), "must be one short line"),
        ("less", lambda f: f[1].update(vocabulary=["apac", "eu"]), "must"),
        ("more", lambda f: f[0].update(more=1), "format 1"),
        ("null", lambda f: f[0].update(name=None), "format 1"),
    ]
    for name, change, says in features:
        yield _told(name, lambda d, c=change: c(d["features"]), says)
    yield _told("none", lambda d: d.update(features=[]), "must have 1 to")
    yield _told("many", lambda d: d.update(features=[more] * 3000), "must have 1 to")
    for rounds in (-1, 0, 5, 7, 10**9):
        yield _told(f"{rounds}", lambda d, r=rounds: d["booster"].update(rounds=r), "must have")
    bends = [{"score": 0.0, "logit": 1.0}, {"score": 1.0, "logit": -1.0}]
    band = [{"probability": p, "low": -3.0, "high": 2.0} for p in (0.0, 1.0)]
    for odd in ({"slope": -1.0}, {"slope": 1e308}, {"curve": bends}, {"band": band}):
        yield _told(
            "calibrator", lambda d, o=odd: d["calibrator"].update(o), "must rise, within|row"
        )
    yield _told("format", lambda d: d.update(format=2), "format 1")
    yield _told("more", lambda d: d.update(code="import os"), "format 1")


def golden() -> Iterator[Case]:
    """Yield golden rows that lie, or that say nothing."""
    rows = document()["golden"]
    margin = float.fromhex(rows[3]["margin"])
    nudged = float(np.nextafter(np.float32(margin), np.float32(9))).hex()
    apart = "golden row 4 must score"
    for key, value in (("margin", nudged), ("margin", "0x1.0000000000000p+3")):
        yield _told("lie", lambda d, k=key, v=value: d["golden"][3].update({k: v}), apart)
    chance = float(np.nextafter(float.fromhex(rows[3]["probability"]), 1)).hex()
    yield _told("lie", lambda d: d["golden"][3].update(probability=chance), apart)
    yield _told("swap", _swapped, "golden row 1 must score")
    numbers = ("nan", "inf", "-inf", "1.5", "0x1.8p+99999", "0x1.0p+300", "", "0" * 5000, "x")
    for text in numbers:
        yield _told(text[:9], lambda d, t=text: d["golden"][0].update(margin=t), "hexadecimal")
        yield _told(
            text[:9], lambda d, t=text: d["golden"][0]["row"].update(share=t), "hexadecimal"
        )
    odd: list[tuple[str, Change, str]] = [
        ("category", lambda g: g[0]["row"].update(region="mars"), "of its vocabulary"),
        ("less", lambda g: g[0]["row"].pop("region"), "must have the features"),
        ("more", lambda g: g[0]["row"].update(more=None), "must have the features"),
        ("nine", lambda g: g.pop(), "must have 10 golden rows"),
        ("none", lambda g: g.clear(), "must have 10 golden rows"),
        ("eleven", lambda g: g.append(g[0]), "must have 10 golden rows"),
        ("type", lambda g: g[0].update(margin=1.5), "format 1"),
    ]
    for name, change, says in odd:
        yield _told(name, lambda d, c=change: c(d["golden"]), says)


def _swapped(said: Json) -> None:
    first, last = said["golden"][0], said["golden"][-1]
    first["row"], last["row"] = last["row"], first["row"]


def _told(name: str, change: Change, says: str) -> Case:
    return Case(name=name, manifest=retold(change), booster=whole().booster, says=says)

"""The bundle: a model as two byte strings that any machine can check before it trusts them.

The manifest is canonical JSON and names the SHA-256 of the booster (UBJSON); the id of the bundle
is the SHA-256 of the manifest, so it covers every byte. Nothing in it is code or a pickle.
Golden rows say, as exact hexadecimal floats, what the model must answer wherever it is loaded.

Whoever unpacks a bundle takes it for hostile: what `serving.admission` refuses never reaches
XGBoost in this process.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np
import pyarrow as pa
import xgboost as xgb
from pydantic import ValidationError

from cluster import canonical
from cluster.errors import WrongUse
from cluster.settings import Frozen
from serving import golden, model
from serving.admission import booster as trees
from serving.admission import broken, plain, throwaway, ubjson, words
from serving.admission.broken import BundleBroken as BundleBroken
from serving.admission.broken import refuse
from serving.calibrator import Calibrator
from serving.golden import RARE as RARE
from serving.golden import Golden
from serving.model import Model, Signature
from serving.trees import TreesBroken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.model import Rows
    from serving.rules import Rule

_FETCH = "fetch it again"


class Booster(Frozen):
    """Which bytes hold the trees."""

    sha256: str
    size: int  # bytes
    rounds: int


class Provenance(Frozen):
    """What a model was made from, and what is known about it."""

    target: dict[str, Any]  # the declaration
    target_version: str
    training_table: str
    training_snapshot: str
    views: dict[str, str]  # name -> version
    code_version: str
    created_at: datetime
    metrics: dict[str, Any]
    card: str  # the model card, text for people


class Manifest(Frozen):
    """Everything about a model but its trees."""

    format: Literal[1]
    booster: Booster
    features: tuple[model.Feature, ...]
    calibrator: Calibrator
    golden: tuple[Golden, ...]
    provenance: Provenance
    libraries: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A packed model."""

    manifest: bytes
    booster: bytes

    @property
    def id(self) -> str:
        """SHA-256 of the manifest, 64 hex digits."""
        return canonical.sha256_hex(self.manifest)


def pack(packed: Model, rows: Rows, provenance: Provenance) -> Bundle:
    """Return the bundle of a model, with golden rows mixed from `rows`."""
    trees = bytes(packed.booster.save_raw("ubj"))
    manifest = Manifest(
        format=1,
        booster=Booster(
            sha256=canonical.sha256_hex(trees),
            size=len(trees),
            rounds=packed.booster.num_boosted_rounds(),
        ),
        features=packed.signature.features,
        calibrator=packed.calibrator,
        golden=golden.golden(packed, golden.mixed(packed.encode(rows))),
        provenance=provenance,
        libraries=libraries(),
    )
    return Bundle(manifest=canonical.dumps(manifest.model_dump(mode="json")), booster=trees)


_admitted: set[str] = set()  # ids of the bundles that this process has admitted


def read(manifest: bytes) -> Manifest:
    """Return the manifest in these bytes; BundleBroken if they are none, or mislead."""
    plain.read(manifest)
    try:
        said = Manifest.model_validate_json(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "manifest"
        refuse(f"a manifest must be of format 1 in '{place}'", first["msg"])
    words.check(said)
    _must_calibrate(said.calibrator, words.rules_of(said))
    return said


def admit(manifest: bytes, booster: bytes) -> Manifest:
    """Return the manifest of a bundle that may be loaded here; BundleBroken if it may not.

    Each stage trusts only what those before it have shown; the last one loads the trees and scores
    the golden rows in a process of its own, about 0.1 s. The same bytes are shown to it once.
    """
    said = read(manifest)
    _must_be_whole(said, booster)
    id = canonical.sha256_hex(manifest)  # it has the hash of the booster
    if id not in _admitted:
        _must_be_trees(said, booster)
        _must_score_apart(said, booster)
        _admitted.add(id)
    return said


def unpack(manifest: bytes, booster: bytes) -> Model:
    """Return the model in a bundle; BundleBroken unless it is admitted and scores as it did."""
    said = admit(manifest, booster)
    unpacked = Model(
        booster=_parsed(booster),
        signature=Signature(features=said.features),
        calibrator=said.calibrator,
        rules=words.rules_of(said),
    )
    _must_fit(unpacked)
    _must_score_as_said(unpacked, said)
    return unpacked


def libraries() -> dict[str, str]:
    """Return the versions that make a score what it is."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pyarrow": pa.__version__,
        "xgboost": xgb.__version__,
    }


def _must_calibrate(calibrator: Calibrator, rules: Sequence[Rule]) -> None:
    """Refuse a calibrator by which more margin or points could mean less probability, or none."""
    margins = np.linspace(-60, 60, 241)
    lowest, highest = (sum(way(rule.points, 0) for rule in rules) for way in (min, max))
    with np.errstate(all="ignore"):
        points = np.array([[lowest], [0], [highest]])
        chance = calibrator.probability(np.tile(margins, (3, 1)), points)
        low, high = (side.reshape(3, -1) for side in calibrator.intervals(chance.ravel()))
    held = (low >= 0) & (low <= chance) & (chance <= high) & (high <= 1)
    rises = (np.diff(chance, axis=0) >= 0).all() and (np.diff(chance, axis=1) >= 0).all()
    if not held.all() or not rises or not (0 < chance.min() <= chance.max() < 1):
        refuse("a calibrator must rise, within its interval, between 0 and 1", "another")


def _must_be_whole(said: Manifest, booster: bytes) -> None:
    broken.must_be_within(len(booster), ubjson.MAX_BYTES, ubjson.WHAT)
    if len(booster) != said.booster.size:
        refuse(f"the booster must have {said.booster.size:,} bytes", f"{len(booster):,}", _FETCH)
    found = canonical.sha256_hex(booster)
    if found != said.booster.sha256:
        refuse(f"the booster must have the hash {said.booster.sha256}", found, _FETCH)


def _must_be_trees(said: Manifest, booster: bytes) -> None:
    # a number has no codes; category 0 stands for all that have none of their own
    codes = [len(f.vocabulary) + 1 if f.kind == "category" else 0 for f in said.features]
    trees.check(booster, rounds=said.booster.rounds, codes=codes)


def _must_score_apart(said: Manifest, booster: bytes) -> None:
    signature = Signature(features=said.features)
    matrix = signature.encode(golden.values(said.features, said.golden))
    found = throwaway.margins(booster, matrix, model.feature_types(signature))
    for position, (margin, then) in enumerate(zip(found, said.golden, strict=True), start=1):
        if margin != then.margin:
            _otherwise(position, margin, then)


def _parsed(booster: bytes) -> xgb.Booster:
    parsed = xgb.Booster()
    try:
        parsed.load_model(bytearray(booster))
    except xgb.core.XGBoostError as error:
        refuse("a booster must be XGBoost UBJSON", str(error).splitlines()[0])
    parsed.set_param({"nthread": 1})
    return parsed


def _must_fit(unpacked: Model) -> None:
    kinds = model.feature_types(unpacked.signature)
    if unpacked.booster.feature_types != kinds:
        found = f"{unpacked.booster.num_features()} of other kinds"
        refuse(f"the booster must take the {len(kinds)} features of its manifest", found)
    try:
        _ = unpacked.explainer
    except TreesBroken as error:
        refuse("a booster must have trees that can be explained", str(error))


def _must_score_as_said(unpacked: Model, said: Manifest) -> None:
    matrix = unpacked.encode(golden.values(said.features, said.golden))
    try:
        found = golden.golden(unpacked, matrix)
    except WrongUse as error:
        refuse("the rules of a manifest must fit its golden rows", str(error))
    for position, (now, then) in enumerate(zip(found, said.golden, strict=True), start=1):
        if now != then:
            _otherwise(position, _shown(now), then)


def _otherwise(position: int, found: str, then: Golden) -> NoReturn:
    raise BundleBroken(
        f"golden row {position} must score {_shown(then)}, got {found} with "
        f"{libraries()}: load it with the libraries of the manifest, or train it again"
    )


def _shown(row: Golden) -> str:
    points = "" if row.points is None else f" at {row.points} points"
    return f"{row.margin}, {row.probability}{points}"

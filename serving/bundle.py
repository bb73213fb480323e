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
from cluster.settings import Frozen
from serving import model
from serving.admission import booster as trees
from serving.admission import broken, plain, throwaway, ubjson, words
from serving.admission.broken import BundleBroken as BundleBroken
from serving.admission.broken import refuse
from serving.admission.words import GOLDEN_ROWS
from serving.admission.words import RARE as RARE
from serving.model import Model, Signature

if TYPE_CHECKING:
    from serving.model import Feature, Rows

_FETCH = "fetch it again"


class Golden(Frozen):
    """A row and what the model says of it; numbers as hexadecimal floats."""

    row: dict[str, str | None]
    margin: str
    probability: str


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
    calibrator: model.Calibrator
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
        golden=_golden(packed, _mixed(packed.encode(rows))),
        provenance=provenance,
        libraries=libraries(),
    )
    return Bundle(manifest=canonical.dumps(manifest.model_dump(mode="json")), booster=trees)


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
    _must_calibrate(said.calibrator)
    return said


def admit(manifest: bytes, booster: bytes) -> Manifest:
    """Return the manifest of a bundle that may be loaded here; BundleBroken if it may not.

    Each stage trusts only what those before it have shown; the last one loads the trees and scores
    the golden rows in a process of its own, about 0.1 s.
    """
    said = read(manifest)
    _must_be_whole(said, booster)
    _must_be_trees(said, booster)
    _must_score_apart(said, booster)
    return said


def unpack(manifest: bytes, booster: bytes) -> Model:
    """Return the model in a bundle; BundleBroken unless it is admitted and scores as it did."""
    said = admit(manifest, booster)
    unpacked = Model(
        booster=_parsed(booster),
        signature=Signature(features=said.features),
        calibrator=said.calibrator,
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


def _must_calibrate(calibrator: model.Calibrator) -> None:
    """Refuse a calibrator by which a higher margin could mean a lower probability, or none."""
    margins = np.linspace(-60, 60, 241)
    with np.errstate(all="ignore"):
        chance = calibrator.probability(margins, np.zeros(len(margins)))
        low, high = calibrator.intervals(chance)
    held = (low >= 0) & (low <= chance) & (chance <= high) & (high <= 1)
    if (
        not held.all()
        or not (np.diff(chance) >= 0).all()
        or not (0 < chance.min() <= chance.max() < 1)
    ):
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
    matrix = signature.encode(_rows(said))
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


def _must_score_as_said(unpacked: Model, said: Manifest) -> None:
    found = _golden(unpacked, unpacked.encode(_rows(said)))
    for position, (now, then) in enumerate(zip(found, said.golden, strict=True), start=1):
        if now != then:
            _otherwise(position, f"{now.margin}, {now.probability}", then)


def _otherwise(position: int, found: str, then: Golden) -> NoReturn:
    raise BundleBroken(
        f"golden row {position} must score {then.margin}, {then.probability}, got {found} with "
        f"{libraries()}: load it with the libraries of the manifest, or train it again"
    )


def _mixed(matrix: np.ndarray) -> np.ndarray:
    # each column comes from another row: what is kept for good describes no real lead
    rows, wide = matrix.shape
    spread = np.linspace(0, rows, GOLDEN_ROWS, endpoint=False).astype(int)
    shift = np.arange(wide) * (rows // GOLDEN_ROWS + 1)
    mixed: np.ndarray = matrix[(spread[:, None] + shift) % rows, np.arange(wide)]
    return mixed


def _golden(scored: Model, matrix: np.ndarray) -> tuple[Golden, ...]:
    scores = scored.score(matrix)
    features = scored.signature.features
    return tuple(
        Golden(
            row={f.name: _spelt(f, value) for f, value in zip(features, values, strict=True)},
            margin=float(margin).hex(),
            probability=float(probability).hex(),
        )
        for values, margin, probability in zip(
            matrix.tolist(), scores.margin, scores.probability, strict=True
        )
    )


def _spelt(feature: Feature, value: float) -> str | None:
    if np.isnan(value):
        return None
    if feature.kind == "number":
        return float(value).hex()
    return feature.vocabulary[int(value) - 1] if value else RARE


def _rows(said: Manifest) -> list[dict[str, object]]:
    return [
        {f.name: _value(f, golden.row[f.name]) for f in said.features} for golden in said.golden
    ]


def _value(feature: Feature, spelt: str | None) -> object:
    return spelt if spelt is None or feature.kind == "category" else float.fromhex(spelt)

"""The bundle: a model as two byte strings that any machine can check before it trusts them.

The manifest is canonical JSON and names the SHA-256 of the booster (UBJSON); the id of the bundle
is the SHA-256 of the manifest, so it covers every byte. Nothing in it is code or a pickle.
Golden rows say, as exact hexadecimal floats, what the model must answer wherever it is loaded.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import xgboost as xgb
from pydantic import ValidationError

from cluster import canonical
from cluster.errors import FunnelcastError
from cluster.settings import Frozen
from serving import model
from serving.model import Model, Signature

if TYPE_CHECKING:
    from serving.model import Feature, Rows

GOLDEN_ROWS = 10
RARE = "(other)"  # stands in a golden row for any category that has no code of its own


class BundleBroken(FunnelcastError):
    """The bytes are not the bundle that was published, or do not score as it did."""


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
    """Return the manifest in these bytes; BundleBroken if they are none."""
    try:
        return Manifest.model_validate_json(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "manifest"
        raise BundleBroken(
            f"a manifest must be of format 1, got '{place}': {first['msg']}: publish it again"
        ) from error


def unpack(manifest: bytes, booster: bytes) -> Model:
    """Return the model in a bundle; BundleBroken unless it is whole and scores as when packed."""
    said = read(manifest)
    _must_be_whole(said, booster)
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


def _must_be_whole(said: Manifest, booster: bytes) -> None:
    # first of all: a crafted or damaged file can crash XGBoost's parser, and the process with it
    found = canonical.sha256_hex(booster)
    if found != said.booster.sha256:
        raise BundleBroken(
            f"the booster must have the hash {said.booster.sha256}, got {found}: fetch it again"
        )


def _parsed(booster: bytes) -> xgb.Booster:
    parsed = xgb.Booster()
    try:
        parsed.load_model(bytearray(booster))
    except xgb.core.XGBoostError as error:
        raise BundleBroken(
            f"a booster must be XGBoost UBJSON, got {str(error).splitlines()[0]}: publish it again"
        ) from error
    parsed.set_param({"nthread": 1})
    return parsed


def _must_fit(unpacked: Model) -> None:
    kinds = model.feature_types(unpacked.signature)
    if unpacked.booster.feature_types != kinds:
        raise BundleBroken(
            f"the booster must take the {len(kinds)} features of its manifest, got "
            f"{unpacked.booster.num_features()} of other kinds: publish it again"
        )


def _must_score_as_said(unpacked: Model, said: Manifest) -> None:
    found = _golden(unpacked, unpacked.encode([_row(golden, said) for golden in said.golden]))
    for position, (now, then) in enumerate(zip(found, said.golden, strict=True), start=1):
        if now != then:
            raise BundleBroken(
                f"golden row {position} must score {then.margin}, got {now.margin} with "
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


def _row(golden: Golden, said: Manifest) -> dict[str, object]:
    return {
        f.name: _value(f, golden.row[f.name]) if f.name in golden.row else None
        for f in said.features
    }


def _value(feature: Feature, spelt: str | None) -> object:
    return spelt if spelt is None or feature.kind == "category" else float.fromhex(spelt)

"""The answer to a decision straight from its record in the journal, without a model in between."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json


def answer(body: dict[str, Any]) -> dict[str, Any]:
    """Return the members of DecisionOut, in their order, of a decision's record in the journal.

    Nothing is checked: the record was, when it was made. What a person did instead is no part of
    it: who tells that puts it in as `overridden`.
    """
    verdict, basis = body["verdict"], body["basis"]
    reasons, fallback, drawn = body["reasons"], body.get("fallback"), body.get("release")
    return {
        "id": body["id"],
        "entity": body["entity"],
        "account": body["account"],
        "as_of": _zulu(body["time"]),
        "score": float(body["probability"]),
        "interval": [float(body["low"]), float(body["high"])],
        "confidence": verdict["confidence"],
        "route": verdict["route"],
        "route_reason": verdict["reason"],
        "reasons": None if reasons is None else [_reason(each) for each in reasons],
        "trace": verdict["trace"],
        "basis": {
            "target": basis["target"],
            "model": basis["model"],
            "calibrator": basis.get("calibrator"),
            "policy": basis["policy"],
            "view": basis["view"],
            "code": basis["code"],
        },
        "decided_at": _zulu(body["decided_at"]),
        "fallback": fallback and {"cause": fallback["cause"], "detail": fallback["detail"]},
        "release": drawn and {"id": drawn["release"], "arm": drawn["arm"], "epoch": drawn["epoch"]},
        "exploration": _exploration(verdict.get("exploration")),
        "overridden": body.get("overridden"),
    }


def answer_bytes(body: dict[str, Any]) -> bytes:
    """Return the JSON of a decision's record as DecisionOut writes it, several times faster."""
    return to_json(answer(body))


def _exploration(said: dict[str, Any] | None) -> dict[str, Any] | None:
    if said is None:
        return None
    return {
        "explored": said["explored"],
        "propensity": float(said["propensity"]),
        "own": said["own"],
    }


def _reason(reason: dict[str, Any]) -> dict[str, Any]:
    change = reason["probability_change"]
    return {
        "feature": reason["feature"],
        "label": reason["label"],
        "value": reason["value"],
        "contribution": float(reason["contribution"]),
        "group": reason["group"],
        "probability_change": None if change is None else float(change),
        "text": reason["text"],
        "features": reason["features"],
    }


def _zulu(moment: str) -> str:
    return moment[:-6] + "Z" if moment.endswith("+00:00") else moment

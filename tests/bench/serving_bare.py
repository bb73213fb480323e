"""The bare peer: FastAPI on uvicorn, one process, XGBoost scoring a row of ready numbers.

What a competent engineer writes first: nothing is looked up, explained, decided or kept.
`python -m tests.bench.serving_bare MODEL PORT`.
"""

from __future__ import annotations

import sys
from typing import Annotated

import numpy as np
import uvicorn
import xgboost as xgb
from fastapi import FastAPI
from pydantic import BaseModel, Field


class Row(BaseModel):
    """The features of one lead, in the order of the model."""

    features: Annotated[list[float | None], Field(min_length=50, max_length=50)]


class Score(BaseModel):
    """The probability."""

    score: float


def application(path: str) -> FastAPI:
    """Return the application that scores with the model at `path`."""
    booster = xgb.Booster({"nthread": 1}, model_file=path)
    booster.set_param({"nthread": 1})
    api = FastAPI()

    @api.post("/score")
    async def score(row: Row) -> Score:
        matrix = np.array([row.features], np.float32)
        return Score(score=float(booster.inplace_predict(matrix)[0]))

    return api


if __name__ == "__main__":
    uvicorn.run(
        application(sys.argv[1]), port=int(sys.argv[2]), access_log=False, log_level="warning"
    )

"""The client of the decision service, for programs that ask it.

from serving.client import Client

with Client("http://127.0.0.1:8000") as client:
    decision = client.decide(lead="lead-00042")
"""

from __future__ import annotations

from serving.client.awaiting import AsyncClient
from serving.client.errors import (
    BadAnswer,
    ClientError,
    Conflict,
    Gone,
    Invalid,
    NotFound,
    Overloaded,
    Problem,
    Unavailable,
    Unfinished,
)
from serving.client.retries import Retries
from serving.client.simulating import Simulated
from serving.client.waiting import Client

__all__ = [
    "AsyncClient",
    "BadAnswer",
    "Client",
    "ClientError",
    "Conflict",
    "Gone",
    "Invalid",
    "NotFound",
    "Overloaded",
    "Problem",
    "Retries",
    "Simulated",
    "Unavailable",
    "Unfinished",
]

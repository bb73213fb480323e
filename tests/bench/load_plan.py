"""What the load generator is to send: how often, with what, and when each request is due. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is sent, how often, how long."""

    url: str
    rate: float  # requests per second
    seconds: float  # counted, after the warm-up
    bodies: tuple[bytes, ...] = (b"",)  # in turn; empty: GET
    warmup: float = 0.0  # seconds before, at the same rate, not counted
    poisson: int | None = None  # seed of random arrivals; None: evenly spaced
    headers: tuple[tuple[str, str], ...] = ()  # of every request
    key: str | None = None  # sends `Idempotency-Key: <key>-<number of the request>`
    within: float = 0.1  # seconds in which an answer is good
    patience: float = 10.0  # seconds after the last request until what is missing is unanswered
    most: int = 4000  # connections at once
    sample: int = 0  # keep every so many answers whole; 0: none
    give_up: float | None = None  # stop when more than this share can no longer be good


def request(plan: Plan) -> Callable[[int], bytes]:
    """Return what writes the request of a number; all but the key is encoded beforehand."""
    bodies = plan.bodies
    heads = [_head(plan, body) for body in bodies]
    if plan.key is None:
        whole = [head + b"\r\n" + body for head, body in zip(heads, bodies, strict=True)]
        return lambda number: whole[number % len(whole)]
    name = f"idempotency-key: {plan.key}-".encode()

    def keyed(number: int) -> bytes:
        place = number % len(bodies)
        return b"%b%b%d\r\n\r\n%b" % (heads[place], name, number, bodies[place])

    return keyed


def _head(plan: Plan, body: bytes) -> bytes:
    where = urlsplit(plan.url)
    path = (where.path or "/") + (f"?{where.query}" if where.query else "")
    lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", f"host: {where.netloc}"]
    if body:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in plan.headers]
    return "".join(f"{line}\r\n" for line in lines).encode()


def schedule(plan: Plan) -> list[float]:
    """Return when requests are due, in seconds after the first; warm-up first."""
    whole = plan.warmup + plan.seconds
    if plan.poisson is None:
        return [n / plan.rate for n in range(int(whole * plan.rate))]
    rng, due, at = random.Random(plan.poisson), [], 0.0
    while at < whole:
        due.append(at)
        at += rng.expovariate(plan.rate)
    return due

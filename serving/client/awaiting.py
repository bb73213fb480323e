"""The same client for programs that run on asyncio."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Self

import httpx

from serving.client import calls, connection, listing, sending, simulating, tensors
from serving.client.flow import Answer, Call, Send, Wait, adrive, attempts
from serving.client.many import Many
from serving.client.retries import Retries
from serving.client.simulating import Simulated
from serving.wire.decisions import MOST_DECISIONS

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    import pandas as pd

    from serving.client.flow import Flow
    from serving.client.many import Progress
    from serving.wire import accounts, catalogue, decisions, events, explanations, flags
    from serving.wire.overrides import OverriddenOut
    from serving.wire.releases import ReleaseHistoryOut, ReleasesOut, StandingDetailOut
    from serving.wire.simulations import SimulationOut, SimulationsOut


class AsyncClient:
    """Asks the decision service, as Client does; for one event loop, closed by `async with`.

    A call takes at most `timeout_s`, its retries included, and raises a ClientError (errors.py
    draws the tree). Without `deadline_ms` the service takes its own.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 10.0,
        deadline_ms: int | None = None,
        retries: Retries = Retries(),  # noqa: B008 - frozen
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._terms = connection.terms(timeout_s, retries, rng, clock)
        self._http = httpx.AsyncClient(**connection.options(base_url, api_key))
        self._deadline_ms = deadline_ms
        self._sleep = sleep

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def decide(
        self,
        *,
        lead: str | None = None,
        opportunity: str | None = None,
        account: str | None = None,
        as_of: datetime | None = None,
        events: Sequence[Mapping[str, Any]] | None = None,
        reasons: bool = True,
        idempotency_key: str | None = None,
    ) -> decisions.DecisionOut:
        """Return a decision about one lead, opportunity or account; about now without `as_of`.

        Asked again under the same key, it is the same decision.
        """
        members = {
            "lead": lead,
            "opportunity": opportunity,
            "account": account,
            "as_of": as_of,
            "events": events,
            "reasons": reasons,
            "deadline_ms": self._deadline_ms,
            "idempotency_key": idempotency_key,
        }
        return await self._do(calls.decide(members))

    async def decide_many(
        self,
        frame: pd.DataFrame,
        *,
        as_of: datetime | None = None,
        reasons: bool = False,
        page: int = MOST_DECISIONS,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Return one row of `many.COLUMNS` per row of a frame, with its index.

        Columns of the frame: lead, opportunity, account (of each row one), and if wanted as_of,
        events, reasons, deadline_ms, idempotency_key. A row that was not decided has a status other
        than 200 and a problem. `progress` is called after each page with the rows answered and all.

        When the service cannot be asked any more, the rows that are left have status 503: asked
        again with the `idempotency_key` of the answers, what was decided is not decided anew.
        """
        common = {"as_of": as_of, "reasons": reasons}
        many = Many(common=common, deadline_ms=self._deadline_ms, page=page, progress=progress)
        return await self._run(many.flow(frame, self._terms))

    async def decision(self, id: str) -> decisions.DecisionOut:
        """Return a decision as it was recorded; NotFound if there is none."""
        return await self._do(calls.decision(id))

    async def override(self, id: str, *, route: str, reason: str | None = None) -> OverriddenOut:
        """Say what a person did instead of a decision, for a `reason` that is a code; said again it
        adds nothing, and of several the newest counts.
        """
        return await self._do(calls.override(id, route, reason))

    async def explanation(self, id: str, *, most: int | None = None) -> explanations.ExplanationOut:
        """Return why a decision has its score, with up to `most` source rows of each reason."""
        return await self._do(calls.explanation(id, most))

    async def replay(self, id: str) -> decisions.ReplayOut:
        """Make a decision again under the versions of then, and compare."""
        return await self._do(calls.replay(id))

    async def send_events(
        self, events: Sequence[Mapping[str, Any]] | pd.DataFrame
    ) -> events.ArrivalsOut:
        """Send CloudEvents, or a frame of columns id, source, time, kind, name and of data; any
        number. Sent again they change nothing.
        """
        return await self._run(sending.flow(events))

    async def scores(
        self, account: str, *, target: str | None = None, limit: int | None = None
    ) -> accounts.AccountScoresOut:
        """Return how the scores of an account went, and why they moved."""
        return await self._do(calls.scores(account, target, limit))

    async def priority(self, name: str, *, limit: int = 50) -> AsyncIterator[accounts.PageOut]:
        """Yield the pages of a list (high_intent, at_risk), each of up to `limit` accounts."""
        after: str | None = None
        while True:
            page = await self._do(calls.priority(name, limit, after))
            yield page
            if page.next is None:
                return
            after = page.next

    async def priority_frame(self, name: str, *, most: int | None = None) -> pd.DataFrame:
        """Return the first `most` accounts of a list, by default all, one row each."""
        return await self._run(listing.flow(name, most))

    async def models(self) -> catalogue.ModelsOut:
        """Return the targets that have models."""
        return await self._do(calls.models())

    async def model(self, target: str) -> catalogue.ModelDetailOut:
        """Return the models of a target: which is live, since when and why."""
        return await self._do(calls.model(target))

    async def policies(self) -> catalogue.PoliciesOut:
        """Return the policies."""
        return await self._do(calls.policies())

    async def policy(self, name: str) -> catalogue.PolicyDetailOut:
        """Return the versions of a policy: which is active, since when and why."""
        return await self._do(calls.policy(name))

    async def flag(self, name: str, account: str, *, segment: str | None = None) -> flags.FlagOut:
        """Return the variant of an account; that it was told is on record, once."""
        return await self._do(calls.flag(name, account, segment))

    async def releases(self) -> ReleasesOut:
        """Return where the newest release of each target stands."""
        return await self._do(calls.all_releases())

    async def release(self, target: str) -> StandingDetailOut:
        """Return where a release stands, what is held against it, and which replicas follow."""
        return await self._do(calls.release(target))

    async def release_history(
        self, target: str, *, at: datetime | None = None, limit: int | None = None
    ) -> ReleaseHistoryOut:
        """Return the newest moves of releases, and with `at` what was live then."""
        return await self._do(calls.release_history(target, at, limit))

    async def lead_release(
        self, target: str, action: str, *, expect_epoch: int, reason: str, **more: Any
    ) -> StandingDetailOut:
        """Start (plan=, model=, policy=, version=), advance, approve, pause, resume (waive=), abort
        or roll back a release. Conflict if another moved it since `expect_epoch`; sent again it is
        not done twice.
        """
        members = {"expect_epoch": expect_epoch, "reason": reason, **more}
        return await self._do(calls.lead_release(target, action, members))

    async def simulate(
        self,
        scenarios: Sequence[Mapping[str, Any]],
        *,
        against: str | None = None,
        as_of: datetime | None = None,
        hour_price: bool | None = None,
        plan: Mapping[str, Any] | None = None,
        progress: simulating.Progress | None = None,
    ) -> Simulated:
        """Simulate scenarios (documents as in configs/scenarios) side by side, and wait for what
        comes out. `progress` is called with the parts done and all. Unfinished when the job fails,
        or somebody cancels it; who stops waiting, and asks the same again, joins it.
        """
        members = {
            "scenarios": list(scenarios),
            "against": against,
            "as_of": as_of,
            "hour_price": hour_price,
            "plan": plan,
        }
        return await self._run(simulating.flow(members, progress))

    async def simulations(self, *, limit: int | None = None) -> SimulationsOut:
        """Return the newest simulations that you asked for."""
        return await self._do(calls.all_simulations(limit))

    async def simulation(self, id: str) -> SimulationOut:
        """Return how far a simulation is."""
        return await self._do(calls.simulation(id))

    async def simulation_result(self, id: str) -> Simulated:
        """Return what came out; Conflict while nothing has."""
        return Simulated(result=await self._do(calls.simulation_result(id)))

    async def cancel_simulation(self, id: str) -> SimulationOut:
        """Stop a simulation, and its job; Conflict for one that is over."""
        return await self._do(calls.order_simulation(id, "cancel"))

    async def share_simulation(self, id: str) -> SimulationOut:
        """Let every planner who knows its id see a simulation."""
        return await self._do(calls.order_simulation(id, "share"))

    async def ready(self) -> catalogue.ReadyOut:
        """Return what answers; Unavailable, at once, when the service is not ready."""
        return await self._do(calls.ready())

    async def infer(
        self, model: str, frame: pd.DataFrame, *, version: str | None = None
    ) -> pd.DataFrame:
        """Return scores of given rows of features by the live model, with the frame's index.

        Nothing is recorded: it is a question to the model, not a decision.
        """
        return await self._run(tensors.flow(model, version, frame))

    async def _run[T](self, flow: Flow[T]) -> T:
        return await adrive(flow, self._step)

    async def _step(self, step: Call[Any] | Wait) -> Any:
        awaited: Awaitable[Any] = (
            self._sleep(step.seconds) if isinstance(step, Wait) else self._do(step)
        )
        return await awaited

    async def _do[T](self, call: Call[T]) -> T:
        return await adrive(attempts(call, self._terms), self._perform)

    async def _perform(self, step: Send | Wait) -> Answer | Exception | None:
        if isinstance(step, Wait):
            await self._sleep(step.seconds)
            return None
        try:
            return await self._send(step)
        except (*connection.PASSING, TimeoutError) as error:
            return error

    async def _send(self, send: Send) -> Answer:
        async with asyncio.timeout(send.timeout_s):  # httpx bounds each wait, not the whole
            answer = await self._http.request(**connection.request(send))
        return Answer(status=answer.status_code, headers=answer.headers, content=answer.content)

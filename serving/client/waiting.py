"""The client that waits for its answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

import httpx

from serving.client import calls, connection, listing, sending, simulating, tensors
from serving.client.flow import Answer, Call, Send, Wait, attempts, drive
from serving.client.many import Many
from serving.client.retries import Retries
from serving.client.simulating import Simulated
from serving.wire.decisions import MOST_DECISIONS

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    import pandas as pd

    from serving.client.flow import Flow
    from serving.client.many import Progress
    from serving.wire import accounts, catalogue, decisions, events, explanations, flags
    from serving.wire.overrides import OverriddenOut
    from serving.wire.releases import ReleaseHistoryOut, ReleasesOut, StandingDetailOut
    from serving.wire.simulations import SimulationOut, SimulationsOut


class Client:
    """Asks the decision service. Safe to share between threads; closed by `with` or `close()`.

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
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._terms = connection.terms(timeout_s, retries, rng, clock)
        self._http = httpx.Client(**connection.options(base_url, api_key))
        self._deadline_ms = deadline_ms
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def decide(
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
        return self._do(calls.decide(members))

    def decide_many(
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
        return self._run(many.flow(frame, self._terms))

    def decision(self, id: str) -> decisions.DecisionOut:
        """Return a decision as it was recorded; NotFound if there is none."""
        return self._do(calls.decision(id))

    def override(self, id: str, *, route: str, reason: str | None = None) -> OverriddenOut:
        """Say what a person did instead of a decision, for a `reason` that is a code; said again it
        adds nothing, and of several the newest counts.
        """
        return self._do(calls.override(id, route, reason))

    def explanation(self, id: str, *, most: int | None = None) -> explanations.ExplanationOut:
        """Return why a decision has its score, with up to `most` source rows of each reason."""
        return self._do(calls.explanation(id, most))

    def replay(self, id: str) -> decisions.ReplayOut:
        """Make a decision again under the versions of then, and compare."""
        return self._do(calls.replay(id))

    def send_events(self, events: Sequence[Mapping[str, Any]] | pd.DataFrame) -> events.ArrivalsOut:
        """Send CloudEvents, or a frame of columns id, source, time, kind, name and of data; any
        number. Sent again they change nothing.
        """
        return self._run(sending.flow(events))

    def scores(
        self, account: str, *, target: str | None = None, limit: int | None = None
    ) -> accounts.AccountScoresOut:
        """Return how the scores of an account went, and why they moved."""
        return self._do(calls.scores(account, target, limit))

    def priority(self, name: str, *, limit: int = 50) -> Iterator[accounts.PageOut]:
        """Yield the pages of a list (high_intent, at_risk), each of up to `limit` accounts."""
        after: str | None = None
        while True:
            page = self._do(calls.priority(name, limit, after))
            yield page
            if page.next is None:
                return
            after = page.next

    def priority_frame(self, name: str, *, most: int | None = None) -> pd.DataFrame:
        """Return the first `most` accounts of a list, by default all, one row each."""
        return self._run(listing.flow(name, most))

    def models(self) -> catalogue.ModelsOut:
        """Return the targets that have models."""
        return self._do(calls.models())

    def model(self, target: str) -> catalogue.ModelDetailOut:
        """Return the models of a target: which is live, since when and why."""
        return self._do(calls.model(target))

    def policies(self) -> catalogue.PoliciesOut:
        """Return the policies."""
        return self._do(calls.policies())

    def policy(self, name: str) -> catalogue.PolicyDetailOut:
        """Return the versions of a policy: which is active, since when and why."""
        return self._do(calls.policy(name))

    def flag(self, name: str, account: str, *, segment: str | None = None) -> flags.FlagOut:
        """Return the variant of an account; that it was told is on record, once."""
        return self._do(calls.flag(name, account, segment))

    def releases(self) -> ReleasesOut:
        """Return where the newest release of each target stands."""
        return self._do(calls.all_releases())

    def release(self, target: str) -> StandingDetailOut:
        """Return where a release stands, what is held against it, and which replicas follow."""
        return self._do(calls.release(target))

    def release_history(
        self, target: str, *, at: datetime | None = None, limit: int | None = None
    ) -> ReleaseHistoryOut:
        """Return the newest moves of releases, and with `at` what was live then."""
        return self._do(calls.release_history(target, at, limit))

    def lead_release(
        self, target: str, action: str, *, expect_epoch: int, reason: str, **more: Any
    ) -> StandingDetailOut:
        """Start (plan=, model=, policy=, version=), advance, approve, pause, resume (waive=), abort
        or roll back a release. Conflict if another moved it since `expect_epoch`; sent again it is
        not done twice.
        """
        members = {"expect_epoch": expect_epoch, "reason": reason, **more}
        return self._do(calls.lead_release(target, action, members))

    def simulate(
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
        return self._run(simulating.flow(members, progress))

    def simulations(self, *, limit: int | None = None) -> SimulationsOut:
        """Return the newest simulations that you asked for."""
        return self._do(calls.all_simulations(limit))

    def simulation(self, id: str) -> SimulationOut:
        """Return how far a simulation is."""
        return self._do(calls.simulation(id))

    def simulation_result(self, id: str) -> Simulated:
        """Return what came out; Conflict while nothing has."""
        return Simulated(result=self._do(calls.simulation_result(id)))

    def cancel_simulation(self, id: str) -> SimulationOut:
        """Stop a simulation, and its job; Conflict for one that is over."""
        return self._do(calls.order_simulation(id, "cancel"))

    def share_simulation(self, id: str) -> SimulationOut:
        """Let every planner who knows its id see a simulation."""
        return self._do(calls.order_simulation(id, "share"))

    def ready(self) -> catalogue.ReadyOut:
        """Return what answers; Unavailable, at once, when the service is not ready."""
        return self._do(calls.ready())

    def infer(self, model: str, frame: pd.DataFrame, *, version: str | None = None) -> pd.DataFrame:
        """Return scores of given rows of features by the live model, with the frame's index.

        Nothing is recorded: it is a question to the model, not a decision.
        """
        return self._run(tensors.flow(model, version, frame))

    def _run[T](self, flow: Flow[T]) -> T:
        return drive(flow, self._step)

    def _step(self, step: Call[Any] | Wait) -> Any:
        return self._sleep(step.seconds) if isinstance(step, Wait) else self._do(step)

    def _do[T](self, call: Call[T]) -> T:
        return drive(attempts(call, self._terms), self._perform)

    def _perform(self, step: Send | Wait) -> Answer | Exception | None:
        if isinstance(step, Wait):
            self._sleep(step.seconds)
            return None
        try:
            return self._send(step)
        except connection.PASSING as error:
            return error

    def _send(self, send: Send) -> Answer:
        end = time.monotonic() + send.timeout_s
        with self._http.stream(**connection.request(send)) as answer:
            parts = []
            for part in answer.iter_bytes():  # httpx bounds each wait, not the whole
                parts.append(part)
                if time.monotonic() > end:
                    raise httpx.ReadTimeout(f"no whole answer within {send.timeout_s:.3f} s")
            return Answer(
                status=answer.status_code, headers=answer.headers, content=b"".join(parts)
            )

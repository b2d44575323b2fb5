"""Routes: POST /v1/usage stores events, GET /health tells whether it can, GET /metrics counts them.

Answers: 202 once all accepted events are on disk, with an outcome per event. Otherwise an error as
application/problem+json (RFC 9457): 400 no events, 401 no known token, 403 events of another source only, 413 too long,
415 another format, 422 no event can be accepted, 429 too many requests of this source at once, 503 busy, or the disk
failed. After 429 and 503, and without an answer, the sender posts the same events again: those that were stored are
duplicates then.
Not here: addresses and ports (`server`), storing (`intake`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fly_billing.foreign_text import visible
from fly_billing.http_limits import read_bounded
from fly_billing.usage_intake.intake import NotStored, PostedOutcome, UsageIntake
from fly_billing.usage_intake.metrics import IntakeMetrics
from fly_billing.usage_intake.reading import PostedEvent, read_posted
from fly_billing.usage_intake.request_text import MOST_BYTES, Refused, check_headers, text_of_body
from fly_billing.usage_intake.rules.posted_text import MOST_EVENTS, NotEvents, TooManyEvents
from fly_billing.usage_intake.rules.tokens import SourceToken, bearer, find_source

PATH = "/v1/usage"
# Requests whose bodies are in memory at once: of all sources, and of one of them.
MOST_REQUESTS = 64
MOST_OF_A_SOURCE = 16
# Seconds after which a sender may try again.
RETRY_AFTER = 1

log = logging.getLogger(__name__)


@dataclass
class _Slots:
    """Counts the requests that are being worked on, by source."""

    taken: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def take(self, source: str) -> Iterator[None]:
        """Hold a slot. Raises Refused if none is free."""
        if self.taken[source] >= MOST_OF_A_SOURCE:
            raise Refused(429, f"more than {MOST_OF_A_SOURCE} requests of {source} at once: try again")
        if self.taken.total() >= MOST_REQUESTS:
            raise Refused(503, "busy with other requests: try again")
        self.taken[source] += 1
        try:
            yield
        finally:
            self.taken[source] -= 1


def build_app(tokens: Sequence[SourceToken], intake: UsageIntake) -> Starlette:
    """Return the service as an ASGI application.

    Args:
        tokens: Who may post.
        intake: A started one.
    """
    slots, metrics = _Slots(), IntakeMetrics()

    async def usage(request: Request) -> Response:
        began, source = time.monotonic(), None
        try:
            source = _authenticate(request, tokens)
            with slots.take(source):
                outcomes = await _store(request, source, intake)
            answer = _answer(outcomes)
        except Refused as problem:
            outcomes, answer = [], problem_response(problem.status, str(problem))
        metrics.count(source or "unknown", answer.status_code, outcomes)
        _log_request(source, answer.status_code, outcomes, time.monotonic() - began, answer)
        return answer

    async def health(request: Request) -> Response:
        problem = intake.problem()
        return JSONResponse({"status": "ok"}) if problem is None else problem_response(503, problem)

    async def counts(request: Request) -> Response:
        return Response(metrics.as_text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    async def refuse(request: Request, problem: Exception) -> Response:
        assert isinstance(problem, HTTPException)
        return problem_response(problem.status_code, problem.detail, headers=problem.headers)

    routes = [Route(PATH, usage, methods=["POST"]), Route("/health", health), Route("/metrics", counts)]
    return Starlette(routes=routes, exception_handlers={HTTPException: refuse})


def _authenticate(request: Request, tokens: Sequence[SourceToken]) -> str:
    found = request.headers.getlist("authorization")
    token = bearer(found[0]) if len(found) == 1 else None
    source = find_source(token, tokens) if token else None
    if source is None:
        raise Refused(401, "send the source's token: Authorization: Bearer fbu_...")
    return source


async def _store(request: Request, source: str, intake: UsageIntake) -> list[PostedOutcome]:
    """Return the outcomes, once all accepted events are on disk. Raises Refused."""
    check_headers(request.headers)
    try:
        body = await read_bounded(request, MOST_BYTES)
    except ClientDisconnect:
        raise Refused(400, "the connection ended before the request was complete") from None
    if body is None:
        raise Refused(413, f"the body has more than {MOST_BYTES} bytes: send fewer events at once, or compress it")
    events = await run_in_threadpool(_read, request.headers, body, source, intake)
    try:
        return await asyncio.wrap_future(intake.submit(source, events))
    except NotStored as problem:
        raise Refused(503, f"nothing was acknowledged ({problem}): send it again") from None


def _read(headers: Mapping[str, str], body: bytes, source: str, intake: UsageIntake) -> list[PostedEvent]:
    try:
        return read_posted(text_of_body(headers, body), source, intake.now().date())
    except NotEvents as problem:
        raise Refused(400, str(problem)) from None
    except TooManyEvents:
        raise Refused(413, f"more than {MOST_EVENTS} events: send fewer at once") from None


def _answer(outcomes: Sequence[PostedOutcome]) -> Response:
    """Return 202, or an error if every event was refused, so that a sender that reads only the status notices."""
    counts = Counter(outcome.word for outcome in outcomes)
    body: dict[str, Any] = {word: counts[word] for word in ("accepted", "duplicate", "rejected")}
    events = [_as_data(outcome) for outcome in outcomes]
    if not outcomes or counts["rejected"] < len(outcomes):
        return JSONResponse(body | {"events": events}, 202)
    if all(outcome.refusal and outcome.refusal.reason == "not_your_source" for outcome in outcomes):
        return problem_response(403, "the token is of another source than the events", body | {"events": events})
    return problem_response(422, "no event can be accepted: see the reasons in events", body | {"events": events})


def _as_data(outcome: PostedOutcome) -> dict[str, Any]:
    found = {"id": outcome.id, "outcome": outcome.word}
    if outcome.refusal:
        found |= {"reason": outcome.refusal.reason, "message": outcome.refusal.message}
    return found


def problem_response(
    status: int, detail: str, more: Mapping[str, Any] = MappingProxyType({}), headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return an error as application/problem+json. `more`: further members of the object."""
    body = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    extra = {
        401: {"WWW-Authenticate": "Bearer"},
        415: {"Accept-Encoding": "gzip"},
        429: {"Retry-After": str(RETRY_AFTER)},
        503: {"Retry-After": str(RETRY_AFTER)},
    }.get(status, {})
    return JSONResponse(body, status, {**(headers or {}), **extra}, media_type="application/problem+json")


def _log_request(
    source: str | None, status: int, outcomes: Sequence[PostedOutcome], seconds: float, answer: Response
) -> None:
    """Write a line per request: no token, and nothing of an event but reasons of rejection."""
    counts = Counter(outcome.word for outcome in outcomes)
    reasons = Counter(outcome.refusal.reason for outcome in outcomes if outcome.refusal)
    log.log(
        logging.INFO if status == 202 and not reasons else logging.WARNING,
        "%s %d accepted=%d duplicate=%d rejected=%d ms=%.0f%s",
        visible(source or "unknown"), status, counts["accepted"], counts["duplicate"], counts["rejected"],
        seconds * 1000, "".join(f" {reason}={number}" for reason, number in sorted(reasons.items())),
    )  # fmt: skip

"""The application: the routes below /v1 and the page behind the guard, and three that need no token.

GET /openapi.json is the document, GET /health tells whether the database can be read, GET /metrics counts requests.
There is no page with the document: it would load scripts from elsewhere.
Not here: addresses, settings and logs (`api.server`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from fly_billing.api.alert_routes import alert_router
from fly_billing.api.guard import Guard
from fly_billing.api.metrics import ApiMetrics
from fly_billing.api.openapi import document
from fly_billing.api.page_links import PageLinks, is_revoked
from fly_billing.api.page_routes import page_router
from fly_billing.api.problems import UNREACHABLE, handle_problems, unreachable
from fly_billing.api.routes import router
from fly_billing.api.rules.links import PageLink
from fly_billing.api.rules.rate_limits import RateLimits
from fly_billing.api.token_store import ReadingRole
from fly_billing.api.unsubscribing import unsubscribe_router
from fly_billing.postgres.database import BillingDatabase
from fly_billing.statements.live_page import LivePages

VERSION = "1"


@dataclass(frozen=True)
class ApiLimits:
    """How many requests a token, or all links to a page, may send: per second on average, and at once."""

    per_second: float = 10.0
    burst: int = 50


def build_api(
    database: BillingDatabase,
    limits: ApiLimits | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    links: PageLinks | None = None,
    seller: Sequence[str] = (),
) -> ASGIApp:
    """Return the API as an ASGI application.

    Args:
        database: With the rights of the role that can only read.
        limits: Requests per token and page.
        now: The clock, in UTC.
        links: The secrets of links to the page and in e-mails. None: there is no page.
        seller: The lines about the seller, for invoices that recorded none.
    """
    metrics, limits, links = ApiMetrics(), limits or ApiLimits(), links or PageLinks()
    app = FastAPI(
        title="fly_billing", version=VERSION, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )
    app.state.database, app.state.links, app.state.pages = database, links, LivePages(database, tuple(seller))
    app.include_router(router)
    app.include_router(alert_router)
    app.include_router(page_router)
    app.include_router(unsubscribe_router)
    handle_problems(app)
    _add_public_routes(app, database, metrics)
    role = ReadingRole(database)

    def find_link(text: str, at: datetime) -> PageLink | None:
        found = links.read(text, at)
        return found if found and not is_revoked(role.check(), found) else None

    buckets: RateLimits[str] = RateLimits(limits.per_second, limits.burst)
    return Guard(app, role.find_token, find_link, buckets, metrics, now)


def _add_public_routes(app: FastAPI, database: BillingDatabase, metrics: ApiMetrics) -> None:
    described = cache(lambda: document(app))
    own_thread = cache(lambda: CapacityLimiter(1))  # of the event loop, so it is made inside it

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return JSONResponse(described())

    @app.get("/health", include_in_schema=False)
    async def health() -> Response:
        try:
            await run_sync(database.rows, "schema_version", limiter=own_thread())
        except UNREACHABLE as reason:
            return unreachable(reason)
        return JSONResponse({"status": "ok"})

    @app.get("/metrics", include_in_schema=False)
    async def counts() -> Response:
        return Response(metrics.as_text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

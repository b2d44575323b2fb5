"""Runs the API: its limits on the database, its log, and its end. Not here: HTTP (`api.app`)."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

import uvicorn

from fly_billing.api.app import ApiLimits, build_api
from fly_billing.api.page_links import PageLinks
from fly_billing.api.problems import UNREACHABLE
from fly_billing.api.threads import THREADS
from fly_billing.api.token_store import refuse_writing_role
from fly_billing.http_limits import configuration
from fly_billing.postgres.connections import PoolPolicy
from fly_billing.postgres.database import BillingDatabase
from fly_billing.settings import DatabaseLimits, Settings, SettingsError

# Requests of a token at once, as a multiple of those per second.
BURST = 5

log = logging.getLogger(__name__)


def database_limits() -> DatabaseLimits:
    """Return time limits for sessions that people wait for: a request ends with a 503 rather than after an hour."""
    seconds = {"statement": 10, "lock": 5, "idle_transaction": 30, "connect": 3, "silence": 10}
    return DatabaseLimits(**{f"FLY_BILLING_{name.upper()}_SECONDS": number for name, number in seconds.items()})


def reading_pool() -> PoolPolicy:
    """Return how the API keeps connections: as many stay open as there are threads, so that none is opened for one use.

    A connection that was used within the last second is not tried again: a restart of Postgres costs a few requests a
    503, and all others save a round trip for each of their reads.
    """
    return PoolPolicy(kept_open=THREADS, trusted_seconds=1.0)


def serve(database: BillingDatabase, settings: Settings, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM. Raises SettingsError if the role can write, or the secret of links is too short.

    Args:
        database: May be down: then requests get a 503.
        say: Called with a line for the terminal.
    """
    # The service's log has one line per request. It never contains a token.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    links = PageLinks.of(settings)
    try:
        refuse_writing_role(database)
    except SettingsError:
        raise
    except UNREACHABLE as problem:
        log.warning("%s", str(problem).splitlines()[0])
    limits = ApiLimits(settings.api_requests_per_second, settings.api_requests_per_second * BURST)
    app = build_api(database, limits, links=links, seller=settings.seller)
    config = configuration(app, host=host, port=port, log_level="warning")
    say(f"Serving http://{host}:{port}/v1 (see /openapi.json) - press Ctrl-C to stop.")
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises the signal again after it has stopped
        uvicorn.Server(config).run()

"""Syncs broken on purpose, each by one small replacement of a production part: the audit must detect them.

Keeps out: the campaign in which they break (trial.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import stripe

from fly_billing.settings import Settings, reveal
from fly_billing.stripe_sync.client import CONNECT_SECONDS, READ_SECONDS
from fly_billing.stripe_sync.invoice_sync import SyncTools
from fly_billing.stripe_sync.journal import JournalEntry, StripeJournal
from fly_billing.stripe_sync.rules.idempotency_keys import Attempt

# The clients below override `request` with its signature in RequestsClient, which differs from that of its base.
Headers = Mapping[str, str]


@dataclass(frozen=True)
class ForgetfulJournal(StripeJournal):
    """A journal without memory: the requests of earlier processes for an unfinished invoice are forgotten."""

    since: datetime = field(kw_only=True)
    seen: set[UUID] = field(default_factory=set)

    def open(self, invoice: UUID, now: datetime) -> JournalEntry:
        entry = super().open(invoice, now)
        is_known = invoice in self.seen or entry.state in ("finalized", "skipped_zero")
        self.seen.add(invoice)
        return entry if is_known else JournalEntry("pending", 0, None)

    def attempts(self, key: str) -> list[Attempt]:
        return [attempt for attempt in super().attempts(key) if attempt.sent_at >= self.since]


class RandomKeys(stripe.RequestsClient):
    """A client that sends every request under a new key, retries too."""

    def request(self, method: str, url: str, headers: Headers | None, post_data: Any = None) -> Any:  # type: ignore[override]
        return super().request(method, url, {**(headers or {}), "Idempotency-Key": str(uuid4())}, post_data)


class NothingRead(stripe.RequestsClient):
    """A client that finds no invoice, so the next generation starts without reading."""

    def request(self, method: str, url: str, headers: Headers | None, post_data: Any = None) -> Any:  # type: ignore[override]
        path = urlsplit(url).path
        if method != "get" or not path.startswith("/v1/invoices"):
            return super().request(method, url, headers, post_data)
        if path == "/v1/invoices":
            return json.dumps({"object": "list", "url": path, "data": [], "has_more": False}), 200, {}
        error = {"type": "invalid_request_error", "code": "resource_missing", "message": "not looked up"}
        return json.dumps({"error": error}), 404, {}


def _without_journal(tools: SyncTools, settings: Settings) -> SyncTools:
    journal = ForgetfulJournal(tools.journal.database, tools.journal.run_id, since=tools.clock())
    return replace(tools, journal=journal)


def _with_client(kind: type[stripe.RequestsClient]) -> Callable[[SyncTools, Settings], SyncTools]:
    def broken(tools: SyncTools, settings: Settings) -> SyncTools:
        client = stripe.StripeClient(
            reveal(settings.stripe_api_key) or "",
            base_addresses={"api": settings.stripe_api_base} if settings.stripe_api_base else None,
            http_client=kind(timeout=(CONNECT_SECONDS, READ_SECONDS)),
            max_network_retries=0,
        )
        return replace(tools, client=client)

    return broken


# The fault of each, and the function that puts it into production tools.
BROKEN: Mapping[str, Callable[[SyncTools, Settings], SyncTools]] = {
    "random keys": _with_client(RandomKeys),
    "no read before a new generation": _with_client(NothingRead),
    "no journal": _without_journal,
}

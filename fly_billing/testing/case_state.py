"""The state of a case while it runs: its platform, its Stripe account, and its time.

Not here: the steps (`case_steps`, `case_checks`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from fly_billing.errors import ActionableError
from fly_billing.periods import FIRST_MONTH, BillingMonth
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.client import make_stripe_client
from fly_billing.stripe_sync.invoice_sync import SyncRules, SyncTools
from fly_billing.stripe_sync.journal import StripeJournal
from fly_billing.stripe_sync.rate_limiter import RateLimiter
from fly_billing.testing.platform import ThrowawayPlatform
from fly_billing.testing.rules.comparing import Mismatch

WHO = "billing test"
_API_KEY = "sk_test_fly"
# Calls per second, of all endpoints and of each. The sandbox needs no limit.
_CALLS = 1000


class StepRefused(ActionableError):
    """The platform refuses a step of a case. The message says why."""


@dataclass
class CaseState:
    """The state that the steps of one case share.

    Attributes:
        folder: The case's own folder.
        work: A temporary folder for files that steps make.
        start_stripe: Returns an empty Stripe account.
        synced: The months that were synced to it.
        now: The latest time of the steps so far; before them, the first time that can be billed.
        mismatches: The differences that checks found.
    """

    folder: Path
    work: Path
    platform: ThrowawayPlatform
    start_stripe: Callable[[], SandboxServer]
    synced: list[BillingMonth] = field(default_factory=list)
    now: datetime = FIRST_MONTH.start
    mismatches: list[Mismatch] = field(default_factory=list)

    @cached_property
    def stripe(self) -> SandboxServer:
        return self.start_stripe()

    def at(self, moment: datetime) -> datetime:
        """Move the case's time forward to this moment, and return the moment."""
        self.now = max(self.now, moment)
        return moment

    def sync_tools(self) -> SyncTools:
        """Return tools for syncing to the case's Stripe account, which wait little between tries."""
        database = self.platform.database
        return SyncTools(
            journal=StripeJournal(database, WHO),
            client=make_stripe_client(_API_KEY, self.stripe.url),
            limiter=RateLimiter(database, _CALLS, _CALLS),
            clock=lambda: datetime.now(UTC),
            rules=SyncRules(workers=1),
            sleep=_hurry,
        )


def _hurry(seconds: float) -> None:
    """Wait a twentieth of the seconds."""
    time.sleep(seconds / 20)

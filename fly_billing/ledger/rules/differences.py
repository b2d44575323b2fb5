"""Differences between the ledger and its sources: their texts, and what to do about each. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from fly_billing.ledger.rules.accounts import ACCOUNTS
from fly_billing.ledger.rules.events import EVENTS
from fly_billing.money import format_cents
from fly_billing.periods import BillingMonth


@dataclass(frozen=True)
class LedgerDifference:
    """Entries of an event in an account that differ from those that its source makes, in cents.

    Attributes:
        event, account: None: all entries of the organization and month together, which should sum to zero.
        posted: The sum in the ledger; None if nothing is posted.
        should_be: The amount rebuilt from the source; None if the source makes no such entry.
        entries: The number of posted entries.
    """

    organization_id: str
    currency: str
    event: str | None
    account: str | None
    posted: int | None
    should_be: int | None
    entries: int

    @property
    def is_missing(self) -> bool:
        return self.posted is None

    def as_row(self, month: BillingMonth) -> dict[str, str]:
        """Return the row of the check that fails."""
        return {
            "month": str(month),
            "organization_id": self.organization_id,
            "what": self._what(),
            "is": self._text(self.posted),
            "should be": self._text(self.should_be),
            "difference": format_cents((self.posted or 0) - (self.should_be or 0), self.currency),
            "what to do": _POST_MISSING if self.is_missing else _RESTORE,
        }

    def _what(self) -> str:
        if self.event is None or self.account is None:
            return "sum of all entries"
        event = EVENTS[self.event].name if self.event in EVENTS else self.event
        twice = f" ({self.entries} entries instead of 1)" if self.entries > 1 else ""
        return f"{ACCOUNTS[self.account].name}: {event}{twice}"

    def _text(self, cents: int | None) -> str:
        return "no entry" if cents is None else format_cents(cents, self.currency)


_POST_MISSING = "run `fly-billing ledger --post-missing`, which posts missing events"
_RESTORE = "rows of the ledger or of their source were changed: restore them from a backup"

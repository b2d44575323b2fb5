"""Reads everything that the customer page shows of an organization at this moment, and fills it.

Two round trips for the statement and one for usage by day. An estimate calculates the month three times, at ten times
the cost of the rest, so it is remembered until the invoice that it continues is calculated again, or a day has passed.
Not here: who may read a page (`api`), and its layout (`statements.page`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock

from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.statements.daily_costs_reader import read_daily_costs
from fly_billing.statements.month_end import read_month_end
from fly_billing.statements.page import statement_page
from fly_billing.statements.rules.estimate import MonthEndEstimate, NoEstimate
from fly_billing.statements.rules.statement import Statement
from fly_billing.statements.statement_reader import read_statement

# About 2 MB.
MOST_ESTIMATES = 1_000

Estimate = MonthEndEstimate | NoEstimate


@dataclass
class LivePages:
    """The pages of all organizations. Several threads may read at once.

    Attributes:
        seller: As in `statement_page`.
    """

    database: BillingDatabase
    seller: Sequence[str] = ()
    _estimates: dict[tuple[object, ...], Estimate] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def read(
        self,
        organization_id: str,
        now: datetime,
        month: BillingMonth | None = None,
        by: str = "product",
        *,
        all_months: bool = False,
    ) -> str:
        """Return the page as HTML.

        Args:
            month: None: the newest.
            by: One of `daily_costs.SPLITS`.
            all_months: As in `read_statement`.

        Raises:
            NoSuchOrganization: No organization has this id.
            NoSuchMonth: The organization has no invoice for this month.
        """
        statement = read_statement(self.database, organization_id, now, month, all_months=all_months)
        costs = read_daily_costs(self.database, statement, by)
        estimate = self._estimate(statement, now)
        return statement_page(statement, self.seller, costs, estimate, is_live=True, all_months=all_months)

    def _estimate(self, statement: Statement, now: datetime) -> Estimate | None:
        """Estimate the month that the statement shows, if it is the current one and open."""
        shown, month = statement.shown(), BillingMonth.containing(now)
        if shown is None or shown.status != "open" or shown.month != str(month):
            return None
        key = (statement.organization_id, shown.id, shown.as_of, shown.total_cents, now.date())
        with self._lock:
            known = self._estimates.get(key)
        if known is None:
            known = read_month_end(self.database, statement.organization_id, now, month)
            self._remember(key, known)
        return known

    def _remember(self, key: tuple[object, ...], estimate: Estimate) -> None:
        with self._lock:
            self._estimates[key] = estimate
            if len(self._estimates) > MOST_ESTIMATES:
                del self._estimates[next(iter(self._estimates))]  # the oldest

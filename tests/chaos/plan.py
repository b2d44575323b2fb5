"""The plan of a campaign: numbers of invoices, faults and kills. Keeps out: running it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from random import Random

from fly_billing.periods import BillingMonth

FIRST_MONTH = BillingMonth(2023, 6)
# A month is synced this long after its end, when requests of the previous month have lost their keys.
SYNCED_AFTER = timedelta(days=4)
# The approximate share of a month's invoices that is finalized before the next month joins.
SHARE_OF_A_MONTH = 0.9
# The least number of requests that write an invoice: it is created, filled and finalized.
WRITES_OF_AN_INVOICE = 3
# Gives each month an invoice of every length.
LEAST_PER_MONTH = 25


@dataclass(frozen=True)
class Plan:
    """A campaign. `invoices`: billable ones, those with a total; `strikes`: the approximate number of strikes of each
    fault; `kills`: of running processes, besides those at the end of each month; `low_limits`: the number of times that
    each of the account's limits is lowered.

    Each month is a phase: its invoices join the remaining ones of earlier months, and the clocks jump to its end.
    """

    invoices: int = 10_000
    seed: int = 1
    kills: int = 50
    postgres_restarts: int = 2
    months: int = 4
    strikes: int = 150
    workers: int = 8
    requests_per_second: int = 1000
    seconds_between_actions: float = 0.25
    low_limits: int = 4

    def __post_init__(self) -> None:
        if self.invoices < LEAST_PER_MONTH * self.months:
            least = LEAST_PER_MONTH * self.months
            raise ValueError(f"{self.invoices} invoices are too few for {self.months} months: ask for {least} or more")

    @property
    def billing_months(self) -> list[BillingMonth]:
        return [FIRST_MONTH.plus(n) for n in range(self.months)]

    @property
    def organizations(self) -> int:
        """The number of organizations with an amount to pay each month."""
        return -(-self.invoices // self.months)

    @property
    def fault_probability(self) -> float:
        """The share of calls that each fault strikes: an invoice takes four calls or a little more."""
        return min(0.02, self.strikes / (4 * self.invoices))

    @property
    def least_strikes(self) -> int:
        """The strikes of each fault that a valid campaign needs: dozens in one of full size."""
        return 24 if self.invoices >= Plan.invoices else 1

    def moments(self, action_name: str, count: int) -> list[tuple[int, int]]:
        """Return the moments of an action in order: the month, and the number of the request that writes an invoice.

        Evenly spread with a random offset. Each month's new invoices take three such requests each or more, so the
        last moment is always reached with calls left.
        """
        rng = Random(f"{self.seed} {action_name}")
        shares = [(n + 0.2 + 0.6 * rng.random()) / count * self.months for n in range(count)]
        return [(int(share), 1 + int(share % 1 * self.writes_of_a_month)) for share in shares]

    @property
    def writes_of_a_month(self) -> int:
        """The number of invoice-writing requests before the next month joins: most of the smallest possible number."""
        return int(SHARE_OF_A_MONTH * WRITES_OF_AN_INVOICE * self.organizations)


# For `make test`: the fewest invoices that meet every fault, because the number of passes over them takes the time.
SMALL = Plan(
    invoices=60,
    seed=7,
    kills=6,
    postgres_restarts=1,
    months=2,
    strikes=2,
    seconds_between_actions=0.05,
    low_limits=1,
)

"""What a campaign is to be: how many invoices, under which faults, with how many kills. Keeps out: doing it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from random import Random

from fly_billing.periods import BillingMonth

FIRST_MONTH = BillingMonth(2023, 6)
# How long after its end a month is synced: what was begun in the month before has lost its keys by then.
SYNCED_AFTER = timedelta(days=4)
# A month's invoices that are still to be finalized, about, when the next one joins them: one less this.
SHARE_OF_A_MONTH = 0.9
# So that each month has an invoice of every length.
LEAST_PER_MONTH = 25


@dataclass(frozen=True)
class Plan:
    """One campaign. `invoices`: billable ones, those with a total; `strikes`: about how often each fault is to strike;
    `kills`: of processes at work, beside those at the end of each month; `low_limits`: how often each of the account's
    limits is lowered.

    Each month is a phase: its invoices join those left of the months before, and the clocks jump to its end.
    """

    invoices: int = 10_000
    seed: int = 1
    kills: int = 50
    postgres_restarts: int = 2
    months: int = 4
    strikes: int = 150
    workers: int = 8
    requests_per_second: int = 1000
    seconds_between_deeds: float = 0.25
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
        """How many organizations have something to pay each month."""
        return -(-self.invoices // self.months)

    @property
    def fault_probability(self) -> float:
        """The share of calls that each fault strikes: an invoice takes four calls or a little more."""
        return min(0.02, self.strikes / (4 * self.invoices))

    @property
    def least_strikes(self) -> int:
        """How often each fault must have struck for the campaign to count: dozens of times in one of full size."""
        return 24 if self.invoices >= Plan.invoices else 1

    def moments(self, deed_name: str, count: int) -> list[tuple[int, int]]:
        """Return when something happens, in order: in which month, at the how-manieth request that writes an invoice.

        Evenly spread and a little off. Each month's new invoices take three such requests each at least, so that it
        surely gets to the last of them, and there is work left.
        """
        rng = Random(f"{self.seed} {deed_name}")
        shares = [(n + 0.2 + 0.6 * rng.random()) / count * self.months for n in range(count)]
        return [(int(share), 1 + int(share % 1 * self.writes_of_a_month)) for share in shares]

    @property
    def writes_of_a_month(self) -> int:
        """How many requests that write an invoice are counted before the next month joins: most of the fewest."""
        return int(SHARE_OF_A_MONTH * 3 * self.organizations)


# For `make test`: as few invoices as meet every fault, since it is the number of passes over them that takes long.
SMALL = Plan(
    invoices=60,
    seed=7,
    kills=6,
    postgres_restarts=1,
    months=2,
    strikes=2,
    seconds_between_deeds=0.05,
    low_limits=1,
)

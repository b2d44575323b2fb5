"""The plan of a campaign: numbers of organizations, actions, faults and kills. Keeps out: running it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from fly_billing.periods import BillingMonth

FIRST_MONTH = BillingMonth(2023, 6)


@dataclass(frozen=True)
class MoneyPlan:
    """A campaign. `actions`: that the dashboard accepted, spread evenly over the months; `kills`: of polling processes.

    `broken`: one of BROKEN; None: the project as it is. `most_seconds`: after which the actions end.
    """

    actions: int = 10_000
    organizations: int = 250
    months: int = 8
    seed: int = 1
    kills: int = 60
    pollers: int = 2
    fault_probability: float = 0.01
    broken: str | None = None
    most_seconds: float = inf

    @property
    def billing_months(self) -> list[BillingMonth]:
        return [FIRST_MONTH.plus(number) for number in range(self.months)]

    @property
    def names(self) -> list[str]:
        return [f"org-{number:03}" for number in range(self.organizations)]


# For the test suite: every kind of action, and a fault or two.
SMALL_MONEY = MoneyPlan(actions=120, organizations=8, months=2, seed=3, kills=2, pollers=1, fault_probability=0.02)
# Enough actions of every kind that a broken variant always differs, without faults.
TRIAL = MoneyPlan(actions=120, organizations=8, months=2, seed=5, kills=0, pollers=1, fault_probability=0)

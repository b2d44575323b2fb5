"""Differences that the books of an accounting month have, the refusal that names them, and what can be accepted. Pure.

Not here: comparing (`accounting.books`), and closing a month (`accounting.closing`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from fly_billing.ledger.rules.owed_and_asked import TRIAL, AskedDifference
from fly_billing.money import counted, format_cents, typed_amount
from fly_billing.periods import BillingMonth

# The number of differences that a refusal describes.
MOST_NAMED = 5


@dataclass(frozen=True)
class BookDifferences:
    """The differences of the books before an accounting month is closed.

    Attributes:
        own: A line for each difference of the ledger, or of recognized revenue, from its own sources. Amounts in the
            journal are wrong, so nobody can accept them.
        with_stripe: What organizations owe and Stripe does not ask for, or the reverse.
    """

    month: BillingMonth
    own: Sequence[str] = ()
    with_stripe: Sequence[AskedDifference] = ()

    @classmethod
    def of(
        cls, month: BillingMonth, rows: Iterable[Mapping[str, str]], asked: Iterable[AskedDifference]
    ) -> BookDifferences:
        """Sort the differences. `rows` are those of the checks `ledger_balances` and `recognized_...`."""
        asked = list(asked)
        own = [_of_row(row) for row in rows] + [_of_asked(each) for each in asked if each.kind == TRIAL]
        return cls(month, own, [each for each in asked if each.kind != TRIAL])

    def __bool__(self) -> bool:
        return bool(self.own or self.with_stripe)

    @property
    def sums(self) -> dict[str, int]:
        """The differences with Stripe by currency, in cents, added up without their signs: none hides another."""
        sums: dict[str, int] = defaultdict(int)
        for each in self.with_stripe:
            sums[each.currency] += abs(each.here - each.there)
        return dict(sorted(sums.items()))

    @property
    def code(self) -> str:
        """Six characters that say which differences these are: others of the same size have another code."""
        each = (
            f"{one.organization_id} {one.currency} {one.kind} {one.stripe_invoice_id} {one.here - one.there}"
            for one in self.with_stripe
        )
        return sha256("\n".join(sorted(each)).encode()).hexdigest()[:6]

    @property
    def to_accept(self) -> str:
        """The sums and the code as someone accepts them: `JPY=500, USD=9.00 #a81f03`."""
        sums = ", ".join(f"{currency}={typed_amount(cents, currency)}" for currency, cents in self.sums.items())
        return f"{sums} #{self.code}"

    @property
    def lines(self) -> list[str]:
        """A line for each difference: the organization, the amounts and the fix."""
        return [*self.own, *(_of_asked(each) for each in self.with_stripe)]

    def why_not_accepted(self, accepted: Mapping[str, int], code: str) -> str | None:
        """Return why accepting these amounts (cents by currency) and this code is not enough, or None."""
        if self.own:
            return "the ledger differs from its own sources, which can't be accepted"
        if accepted == self.sums and code == self.code:
            return None
        found = self.to_accept if self.with_stripe else "none"
        return f"the differences with Stripe are {found}: only exactly these can be accepted"

    def refusal(self, act: str) -> str:
        """Return why the act is refused, such as `2026-10 can't be closed`: each difference, and the ways on."""
        named = [f"- {line}" for line in self.lines[:MOST_NAMED]]
        rest = len(self.lines) - MOST_NAMED
        all_of_them = f"`fly-billing reconcile {self.month}` lists all differences with Stripe"
        more = [f"- and {rest:,} more; {all_of_them}"] if rest > 0 else []
        return "\n".join(
            [f"{act} while the books differ ({counted(len(self.lines), 'difference')}):", *named, *more, self._way_on]
        )

    @property
    def _way_on(self) -> str:
        again = f"Then check them again: `fly-billing finance report {self.month}`."
        if self.own:
            return f"Fix them first. {again}"
        return (
            f"Fix them first. {again} To close the month with them:"
            f' `fly-billing finance close-period {self.month} --accept "{self.to_accept}" --why REASON`'
        )


def _of_row(row: Mapping[str, str]) -> str:
    return (
        f"{row['organization_id']} {row['month']}: {row['what']}: {row['is']}, should be {row['should be']}"
        f" ({row['what to do']})"
    )


def _of_asked(each: AskedDifference) -> str:
    here, there = (format_cents(cents, each.currency) for cents in (each.here, each.there))
    return f"{each.organization_id}: {each.cause}: {here} here, {there} in Stripe ({each.what_to_do})"

"""Which corrections of a final month wait for a person: those that would give back suspiciously much. Pure functions.

If usage disappears (a share that is not mounted, a table restored from yesterday, a meter that was removed), the
corrections of the month would give its money back. So what a month gives back in all, not only in one run, is compared
with what its final invoices charged. Earlier corrections count, whichever night and billing group they were of, until a
person approves one. Keeps out: reading levels, recording and booking (`corrections.approvals`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from uuid import UUID

from fly_billing.alerting.rules.alerts import MOST_NAMED, Alert
from fly_billing.money import EXACT, divide, exact_sum, format_cents, from_cents, minor_digits, to_cents

# What a charge of these kinds gives back is not netted against anything: a minimum that rises by itself as usage
# disappears must not hide it.
FIRST_HAND = ("usage", "subscription")
ZERO = Decimal(0)


@dataclass(frozen=True)
class CorrectionGuard:
    """The limits. Whole percent; `floor` in the currency's major unit (dollars).

    `percent`: of what a month's final invoices charged, 0 turns the guard off; `organization_percent`: of what one
    organization was charged. Below or at `floor` nothing waits.
    """

    percent: int
    organization_percent: int
    floor: Decimal


OFF = CorrectionGuard(0, 0, ZERO)


@dataclass(frozen=True)
class ChargeLevel:
    """What one thing on a final invoice was charged with, adjustments included, in exact amounts.

    `mark`: when a person last approved a correction (else: on the invoice itself); `peak`: at most since then; `now`.
    """

    key: str
    organization_id: str
    kind: str
    baseline: Decimal
    peak: Decimal
    current: Decimal


@dataclass(frozen=True)
class Proposal:
    """A correction that could be booked: `changes` is key -> (organization, kind, exact difference).

    `levels`: all that the invoice charged. `approved`: what a person lets it give back, None where nobody was asked.
    """

    invoice_id: UUID
    organization_id: str
    currency: str
    levels: Sequence[ChargeLevel]
    changes: Mapping[str, tuple[str, str, Decimal]]
    approved: Decimal | None = None
    causes: tuple[str, ...] = ()

    @property
    def gives_back(self) -> Decimal:
        """What this correction takes from the invoice: gross of first-hand charges, or net, whichever is more."""
        first_hand = exact_sum(
            [-amount for _, kind, amount in self.changes.values() if kind in FIRST_HAND and amount < 0]
        )
        return max(first_hand, EXACT.minus(exact_sum([amount for _, _, amount in self.changes.values()])), ZERO)

    @property
    def charges(self) -> Decimal:
        return exact_sum([amount for _, _, amount in self.changes.values() if amount > 0])

    @property
    def is_approved(self) -> bool:
        return self.approved is not None and self.gives_back <= self.approved


@dataclass(frozen=True)
class RestOfMonth:
    """The month's other final invoices in one currency: what they charged, gave back already, and hold back now."""

    charged: Decimal = ZERO
    given_back: Decimal = ZERO


@dataclass(frozen=True)
class Hold:
    """A correction that waits, and why, in words for people."""

    proposal: Proposal
    reason: str


@dataclass
class _Loss:
    """What an invoice (or organization) was charged, and what of it would be given back in all."""

    charged: Decimal = ZERO
    given_back: Decimal = ZERO


def corrections_to_hold(
    month: str, proposals: Sequence[Proposal], rest: Mapping[str, RestOfMonth], guard: CorrectionGuard
) -> list[Hold]:
    """Return the corrections that wait. The others may be booked.

    Where a month as a whole gives back more than its share, all its corrections in that currency wait: charges
    too, as what made the others wrong may have made them wrong as well. What a person approved never waits.
    `rest`: currency -> the invoices that are not among the proposals.
    """
    if guard.percent == 0:
        return []
    held: list[Hold] = []
    for currency in sorted({one.currency for one in proposals}):
        mine = [one for one in proposals if one.currency == currency]
        held += _held_in_currency(month, mine, rest.get(currency, RestOfMonth()), guard)
    return held


def _held_in_currency(
    month: str, proposals: Sequence[Proposal], rest: RestOfMonth, guard: CorrectionGuard
) -> list[Hold]:
    asked = [one for one in proposals if one.changes and not one.is_approved]
    losses = {one.invoice_id: loss_of(one) for one in proposals if not one.is_approved}
    charged = exact_sum([rest.charged, *(loss.charged for loss in losses.values())])
    given_back = exact_sum([rest.given_back, *(loss.given_back for loss in losses.values())])
    if any(one.gives_back for one in asked) and _is_over(_Loss(charged, given_back), guard.percent, guard.floor):
        reason = (
            f"{month} would give back {_money(given_back, asked[0].currency)} of"
            f" {_money(charged, asked[0].currency)} charged in all ({_share(given_back, charged)}; {guard.percent} %"
            " pass without a person)"
        )
        return [Hold(one, reason) for one in asked]
    return [held for one in asked if one.gives_back and (held := _held_alone(one, losses[one.invoice_id], guard))]


def _held_alone(proposal: Proposal, loss: _Loss, guard: CorrectionGuard) -> Hold | None:
    for name, each in ((proposal.organization_id, loss), *sorted(_usage_losses(proposal).items())):
        if _is_over(each, guard.organization_percent, guard.floor):
            money, whole = (_money(amount, proposal.currency) for amount in (each.given_back, each.charged))
            what = "charges" if each is loss else "usage"
            share = _share(each.given_back, each.charged)
            return Hold(
                proposal,
                f"{name} would be given back {money} of {whole} of its {what} ({share}; {guard.organization_percent} %"
                " pass without a person)",
            )
    return None


def loss_of(proposal: Proposal) -> _Loss:
    """Say what an invoice charged at most, and how much below that it is once the correction is booked."""
    owed = _owed(proposal)
    first_hand = [level for level in owed if level.kind in FIRST_HAND]
    gross = exact_sum([max(ZERO, EXACT.subtract(one.peak, one.current)) for one in first_hand])
    mark = exact_sum([one.baseline for one in owed])
    net = EXACT.subtract(mark, exact_sum([one.current for one in owed]))
    return _Loss(max(exact_sum([one.peak for one in first_hand]), mark, ZERO), max(gross, net, ZERO))


def _usage_losses(proposal: Proposal) -> dict[str, _Loss]:
    """Return what each organization on the invoice was charged for usage, and what of that would be given back."""
    found: dict[str, _Loss] = defaultdict(_Loss)
    for one in _owed(proposal):
        if one.kind == "usage":
            loss = found[one.organization_id]
            loss.charged = EXACT.add(loss.charged, one.peak)
            loss.given_back = EXACT.add(loss.given_back, max(ZERO, EXACT.subtract(one.peak, one.current)))
    return found


def _owed(proposal: Proposal) -> list[ChargeLevel]:
    """Return the levels as they are once the correction is booked."""
    levels = {one.key: one for one in proposal.levels}
    for key, (organization, kind, amount) in proposal.changes.items():
        one = levels.get(key) or ChargeLevel(key, organization, kind, ZERO, ZERO, ZERO)
        levels[key] = ChargeLevel(key, organization, one.kind, one.baseline, one.peak, EXACT.add(one.current, amount))
    return list(levels.values())


def _is_over(loss: _Loss, percent: int, floor: Decimal) -> bool:
    return loss.given_back > floor and EXACT.multiply(loss.given_back, Decimal(100)) > EXACT.multiply(
        loss.charged, Decimal(percent)
    )


def _share(part: Decimal, whole: Decimal) -> str:
    if whole <= 0:
        return "nothing was charged"
    return f"{divide(EXACT.multiply(part, Decimal(100)), whole):.1f} %"


def _money(amount: Decimal, currency: str) -> str:
    return format_cents(to_cents(amount, currency), currency)


def total_to_approve(amounts: Iterable[Decimal], currency: str) -> Decimal:
    """Return what a person approves for these corrections: what they give back in all, rounded up to a minor unit."""
    shifted = exact_sum(list(amounts)).scaleb(minor_digits(currency), context=EXACT)
    return from_cents(int(shifted.to_integral_value(ROUND_UP)), currency)


@dataclass(frozen=True)
class HeldTotal:
    """What waits of a month in one currency: the payers' exact amounts, and why."""

    month: str
    currency: str
    gives_back: Mapping[str, Decimal]
    reasons: tuple[str, ...] = ()

    @property
    def total(self) -> Decimal:
        return total_to_approve(self.gives_back.values(), self.currency)

    @property
    def sentence(self) -> str:
        """Say what waits, why, and how to let it pass."""
        count = len(self.gives_back)
        waits = "1 correction waits" if count == 1 else f"{count:,} corrections wait"
        currency = "" if self.currency == "USD" else f" --currency {self.currency}"
        return (
            f"{waits} for a person, and nothing of that is booked: {'; '.join(self.reasons[:3])}. First make sure that"
            " no usage is missing: once it is landed again, this ends by itself. If the corrections are right:"
            f" `fly-billing approve-corrections {self.month} --total {self.total:f}{currency} --by NAME --why REASON`."
        )


def held_alert(held: HeldTotal) -> Alert:
    """Make the message that corrections wait: how much for whom, the largest first, why, and what to do."""
    largest = sorted(held.gives_back.items(), key=lambda one: (-one[1], one[0]))
    named = [f"- {name}: {_money(amount, held.currency)}" for name, amount in largest[:MOST_NAMED]]
    more = [f"- and {len(largest) - MOST_NAMED:,} more"] if len(largest) > MOST_NAMED else []
    total = _money(held.total, held.currency)
    subject = f"Corrections of {held.month} wait for a person: {total} would be given back"
    return Alert.of("corrections_held", subject, [*named, *more, f"What to do: {held.sentence}"])

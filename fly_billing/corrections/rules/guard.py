"""The correction guard: holds corrections that would return a suspicious amount until someone approves them. Pure.

If usage disappears (an unmounted share, a table restored from a backup, a removed meter), the month's corrections would
return its charges. So the guard compares everything that a month returns with what its final invoices charged. It adds
the corrections of all runs and billing groups since the last approval. Not here: reading levels and recording decisions
(`corrections.held_corrections`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_UP, Decimal
from uuid import UUID

from fly_billing.alerting.rules.alerts import MOST_NAMED, Alert
from fly_billing.money import EXACT, divide, exact_sum, format_cents, from_cents, minor_digits, to_cents

# Lower charges of these kinds are not netted with higher ones of other kinds: if usage disappears, a minimum charges
# more, and must not hide the loss.
FIRST_HAND = ("usage", "subscription")
ZERO = Decimal(0)


@dataclass(frozen=True)
class CorrectionGuard:
    """The limits.

    Attributes:
        percent: The share of the charges of a month's final invoices that may be returned; 0 turns the guard off.
        organization_percent: The share of one organization's charges that may be returned.
        floor: Amounts up to this one are never held, in the currency's major unit (dollars).
    """

    percent: int
    organization_percent: int
    floor: Decimal


OFF = CorrectionGuard(0, 0, ZERO)


@dataclass(frozen=True)
class ChargeLevel:
    """The exact amounts of one charge of a final invoice, including its adjustments.

    Attributes:
        baseline: The amount when someone last approved a correction, or the invoice's own amount.
        peak: The highest amount since then.
        current: The amount now.
    """

    key: str
    organization_id: str
    kind: str
    baseline: Decimal
    peak: Decimal
    current: Decimal


@dataclass(frozen=True)
class Proposal:
    """A correction that the guard checks.

    Attributes:
        organization_id: The payer.
        levels: All charges of the invoice.
        changes: By charge key, the organization, the kind and the exact difference.
        approved: The approved amount; None if nobody approved one.
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
        """The amount that it returns: of first-hand charges, or the net amount of all, whichever is more."""
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
    """The totals of the month's other final invoices in one currency; `given_back` includes held corrections."""

    charged: Decimal = ZERO
    given_back: Decimal = ZERO


@dataclass(frozen=True)
class Hold:
    """A correction that the guard holds, with the reason as a text for people."""

    proposal: Proposal
    reason: str


@dataclass
class _Loss:
    """The amount charged by an invoice or to an organization, and how much of it would be returned in total."""

    charged: Decimal = ZERO
    given_back: Decimal = ZERO


def corrections_to_hold(
    month: str, proposals: Sequence[Proposal], rest: Mapping[str, RestOfMonth], guard: CorrectionGuard
) -> list[Hold]:
    """Return the corrections to hold. The others may be booked.

    If a month returns more than its limit, all its corrections in that currency are held, also those that charge more:
    the same fault may be behind them. Approved corrections are never held.

    Args:
        rest: By currency, the invoices that are not among the proposals.
    """
    if guard.percent == 0:
        return []
    held: list[Hold] = []
    for currency in sorted({proposal.currency for proposal in proposals}):
        in_currency = [proposal for proposal in proposals if proposal.currency == currency]
        held += _hold_in_currency(month, in_currency, rest.get(currency, RestOfMonth()), guard)
    return held


def _hold_in_currency(
    month: str, proposals: Sequence[Proposal], rest: RestOfMonth, guard: CorrectionGuard
) -> list[Hold]:
    checked = [proposal for proposal in proposals if proposal.changes and not proposal.is_approved]
    losses = {proposal.invoice_id: loss_of(proposal) for proposal in proposals if not proposal.is_approved}
    charged = exact_sum([rest.charged, *(loss.charged for loss in losses.values())])
    given_back = exact_sum([rest.given_back, *(loss.given_back for loss in losses.values())])
    is_over = _is_over(_Loss(charged, given_back), guard.percent, guard.floor)
    if is_over and any(proposal.gives_back for proposal in checked):
        currency = checked[0].currency
        reason = (
            f"{month} would return {_money(given_back, currency)} of {_money(charged, currency)} charged"
            f" ({_share(given_back, charged)}; the limit is {guard.percent} %)"
        )
        return [Hold(proposal, reason) for proposal in checked]
    return [
        hold
        for proposal in checked
        if proposal.gives_back and (hold := _hold_alone(proposal, losses[proposal.invoice_id], guard))
    ]


def _hold_alone(proposal: Proposal, loss: _Loss, guard: CorrectionGuard) -> Hold | None:
    for name, each in ((proposal.organization_id, loss), *sorted(_usage_losses(proposal).items())):
        if _is_over(each, guard.organization_percent, guard.floor):
            returned, charged = (_money(amount, proposal.currency) for amount in (each.given_back, each.charged))
            what = "charges" if each is loss else "usage charges"
            share = _share(each.given_back, each.charged)
            reason = (
                f"{name} would get back {returned} of {charged} of its {what} ({share}; the limit is"
                f" {guard.organization_percent} %)"
            )
            return Hold(proposal, reason)
    return None


def loss_of(proposal: Proposal) -> _Loss:
    """Return the most that an invoice charged, and how far below it the invoice is once the correction is booked."""
    levels = _corrected_levels(proposal)
    first_hand = [level for level in levels if level.kind in FIRST_HAND]
    gross = exact_sum([max(ZERO, EXACT.subtract(level.peak, level.current)) for level in first_hand])
    baseline = exact_sum([level.baseline for level in levels])
    net = EXACT.subtract(baseline, exact_sum([level.current for level in levels]))
    return _Loss(max(exact_sum([level.peak for level in first_hand]), baseline, ZERO), max(gross, net))


def _usage_losses(proposal: Proposal) -> dict[str, _Loss]:
    """Return the usage charges of each organization on the invoice, and how much of them would be returned."""
    losses: dict[str, _Loss] = defaultdict(_Loss)
    for level in _corrected_levels(proposal):
        if level.kind == "usage":
            loss = losses[level.organization_id]
            loss.charged = EXACT.add(loss.charged, level.peak)
            loss.given_back = EXACT.add(loss.given_back, max(ZERO, EXACT.subtract(level.peak, level.current)))
    return losses


def _corrected_levels(proposal: Proposal) -> list[ChargeLevel]:
    """Return the levels as they are once the correction is booked."""
    levels = {level.key: level for level in proposal.levels}
    for key, (organization, kind, amount) in proposal.changes.items():
        level = levels.get(key) or ChargeLevel(key, organization, kind, ZERO, ZERO, ZERO)
        levels[key] = replace(level, organization_id=organization, current=EXACT.add(level.current, amount))
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
    """Return the total to approve for these corrections: their sum, rounded up to a minor unit."""
    shifted = exact_sum(list(amounts)).scaleb(minor_digits(currency), context=EXACT)
    return from_cents(int(shifted.to_integral_value(ROUND_UP)), currency)


@dataclass(frozen=True)
class HeldTotal:
    """The held corrections of a month in one currency.

    Attributes:
        month: Such as `2026-09`.
        gives_back: By payer, the exact amount that its correction returns.
    """

    month: str
    currency: str
    gives_back: Mapping[str, Decimal]
    reasons: tuple[str, ...] = ()

    @property
    def total(self) -> Decimal:
        return total_to_approve(self.gives_back.values(), self.currency)

    @property
    def approve_command(self) -> str:
        """The command that approves this total."""
        currency = "" if self.currency == "USD" else f" --currency {self.currency}"
        return f"fly-billing approve-corrections {self.month} --total {self.total:f}{currency} --by NAME --why REASON"

    @property
    def sentence(self) -> str:
        """The number of held corrections, the reasons, and what to do."""
        count = len(self.gives_back)
        held = (
            "1 correction waits for approval and is"
            if count == 1
            else f"{count:,} corrections wait for approval and are"
        )
        return (
            f"{held} not booked: {'; '.join(self.reasons[:3])}. First check that no usage is missing; if it is landed"
            f" again, nothing needs approval. If the corrections are right, run `{self.approve_command}`."
        )


def held_alert(held: HeldTotal) -> Alert:
    """Make the alert about held corrections: the largest amounts by payer, the reasons, and what to do."""
    largest = sorted(held.gives_back.items(), key=lambda item: (-item[1], item[0]))
    named = [f"- {name}: {_money(amount, held.currency)}" for name, amount in largest[:MOST_NAMED]]
    more = [f"- and {len(largest) - MOST_NAMED:,} more"] if len(largest) > MOST_NAMED else []
    total = _money(held.total, held.currency)
    subject = f"Corrections of {held.month} wait for approval: {total} would be returned"
    return Alert.of("corrections_held", subject, [*named, *more, f"What to do: {held.sentence}"])

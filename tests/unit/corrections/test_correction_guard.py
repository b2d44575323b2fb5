"""The guard holds corrections that exceed its limits: percentage shares and minimum amounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from uuid import UUID, uuid5

import pytest

from fly_billing.corrections.rules.guard import (
    OFF,
    ChargeLevel,
    CorrectionGuard,
    HeldTotal,
    Proposal,
    RestOfMonth,
    corrections_to_hold,
    held_alert,
    loss_of,
    total_to_approve,
)

GUARD = CorrectionGuard(percent=5, organization_percent=50, floor=Decimal(1))
NAMES = UUID(int=0)


def level(key: str, amount: str, kind: str = "usage", peak: str | None = None, whose: str = "acme") -> ChargeLevel:
    """Return the level of a charge: `amount` on the invoice and now, or up to `peak` in between."""
    return ChargeLevel(key, whose, kind, Decimal(amount), Decimal(peak or amount), Decimal(amount))


def proposal(
    name: str, charged: str, change: str, currency: str = "USD", approved: str | None = None, key: str = "egress"
) -> Proposal:
    """Return the correction of an invoice that charged this amount for usage, with the changes."""
    return Proposal(
        uuid5(NAMES, name), name, currency, (level(key, charged, whose=name),),
        {key: (name, "usage", Decimal(change))}, Decimal(approved) if approved else None,
    )  # fmt: skip


def waiting(*proposals: Proposal, rest: Mapping[str, RestOfMonth] | None = None) -> list[str]:
    return [
        correction.proposal.organization_id
        for correction in corrections_to_hold("2026-09", proposals, rest or {}, GUARD)
    ]


@pytest.mark.parametrize(("gives_back", "waits"), [("4.9", []), ("5", []), ("5.1", ["acme"]), ("100", ["acme"])])
def test_a_return_of_more_than_five_percent_of_a_month_waits(gives_back: str, waits: list[str]) -> None:
    assert waiting(proposal("acme", "100", f"-{gives_back}")) == waits


def test_extra_charges_to_other_organizations_do_not_hide_a_return() -> None:
    """6 of 200 is 3 %; 12 of 200 is 6 %, though 1,000 more would be charged."""
    assert waiting(proposal("acme", "100", "-6"), proposal("beta", "100", "1000")) == []
    assert waiting(proposal("acme", "100", "-12"), proposal("beta", "100", "1000")) == ["acme", "beta"]


def test_a_return_of_all_usage_of_one_organization_waits_while_other_corrections_pass() -> None:
    """20 of 1,020 is 2 % of the month, and all of acme's usage."""
    rest = {"USD": RestOfMonth(Decimal(900), Decimal(0))}
    assert waiting(proposal("acme", "20", "-20"), proposal("beta", "100", "-1"), rest=rest) == ["acme"]


def test_a_return_of_one_dollar_is_below_the_floor_even_if_it_is_the_whole_invoice() -> None:
    rest = {"USD": RestOfMonth(Decimal(900), Decimal(0))}
    assert waiting(proposal("acme", "1", "-1"), rest=rest) == []
    assert waiting(proposal("acme", "1.01", "-1.01"), rest=rest) == ["acme"]


def test_earlier_returns_and_other_waiting_corrections_count() -> None:
    assert waiting(proposal("acme", "100", "-5"), rest={"USD": RestOfMonth(Decimal(900), Decimal("46"))}) == ["acme"]
    assert waiting(proposal("acme", "100", "-5"), rest={"USD": RestOfMonth(Decimal(900), Decimal("45"))}) == []


def test_partial_returns_of_one_invoice_add_up_over_several_nights() -> None:
    """Charged 1,000, and 30 were returned the night before: 30 more make 6 %."""
    changes = {"egress": ("acme", "usage", Decimal(-30))}
    levels = (ChargeLevel("egress", "acme", "usage", Decimal(1000), Decimal(1000), Decimal(970)),)
    assert waiting(Proposal(NAMES, "acme", "USD", levels, changes)) == ["acme"]


def test_late_usage_that_is_withdrawn_counts_from_its_peak() -> None:
    """Charged 100, 200 with late rows, now 100 again: a return of half of the peak."""
    levels = (ChargeLevel("egress", "acme", "usage", Decimal(100), Decimal(200), Decimal(200)),)
    changes = {"egress": ("acme", "usage", Decimal(-100))}
    assert waiting(Proposal(NAMES, "acme", "USD", levels, changes)) == ["acme"]


def test_a_correction_that_alternates_does_not_add_up() -> None:
    """100 -> 96 -> 100 -> 96: 4 % are returned, not 8."""
    levels = (ChargeLevel("egress", "acme", "usage", Decimal(100), Decimal(100), Decimal(100)),)
    assert waiting(Proposal(NAMES, "acme", "USD", levels, {"egress": ("acme", "usage", Decimal(-4))})) == []


def test_a_minimum_that_rises_does_not_hide_usage_that_disappears() -> None:
    levels = (level("egress", "100"), level("least", "0", "minimum"))
    changes = {"egress": ("acme", "usage", Decimal(-100)), "least": ("acme", "minimum", Decimal(100))}
    assert waiting(Proposal(NAMES, "acme", "USD", levels, changes)) == ["acme"]


def test_a_minimum_that_falls_because_of_late_usage_returns_nothing() -> None:
    levels = (level("egress", "0"), level("least", "100", "minimum"))
    changes = {"egress": ("acme", "usage", Decimal(100)), "least": ("acme", "minimum", Decimal(-100))}
    assert waiting(Proposal(NAMES, "acme", "USD", levels, changes)) == []


def test_a_coupon_recorded_by_mistake_waits() -> None:
    changes = {"coupon": ("acme", "discount", Decimal(-100))}
    assert waiting(Proposal(NAMES, "acme", "USD", (level("egress", "100"),), changes)) == ["acme"]


def test_a_return_of_all_usage_of_a_linked_organization_waits_despite_the_payers_large_invoice() -> None:
    """acme pays 1,000 for itself and 20 for beta, which has no usage any more."""
    levels = (level("a", "1000"), level("b", "20", whose="beta"))
    held = corrections_to_hold(
        "2026-09", [Proposal(NAMES, "acme", "USD", levels, {"b": ("beta", "usage", Decimal(-20))})], {}, GUARD
    )
    assert [correction.reason for correction in held] == [
        "beta would get back $20.00 of $20.00 of its usage charges (100.0 %; the limit is 50 %)"
    ]


def test_the_guard_judges_each_currency_separately() -> None:
    euros = proposal("beta", "100", "-4", "EUR")
    assert waiting(proposal("acme", "100", "-6"), euros) == ["acme"]
    assert waiting(proposal("acme", "10000", "-6"), euros) == []


def test_the_approved_total_passes_and_one_cent_more_waits() -> None:
    assert waiting(proposal("acme", "100", "-100", approved="100")) == []
    assert waiting(proposal("acme", "100", "-100.01", approved="100")) == ["acme"]
    assert waiting(proposal("acme", "100", "-100", approved="100"), proposal("beta", "100", "-4")) == []


def test_the_guard_can_be_turned_off() -> None:
    assert corrections_to_hold("2026-09", [proposal("acme", "100", "-100")], {}, OFF) == []


def test_the_total_to_approve_is_rounded_up_to_cover_every_digit() -> None:
    assert total_to_approve([Decimal("3369.0201"), Decimal("0.0001")], "USD") == Decimal("3369.03")
    assert total_to_approve([Decimal("3369.2")], "JPY") == Decimal(3370)


def test_the_alert_names_amounts_organizations_and_the_fix() -> None:
    alert = held_alert(HeldTotal("2026-09", "EUR", {"acme": Decimal(5), "beta": Decimal("7.1")}, ("it is much",)))
    assert alert.subject == "Corrections of 2026-09 wait for approval: EUR 12.10 would be returned"
    assert alert.body.splitlines()[:2] == ["- beta: EUR 7.10", "- acme: EUR 5.00"]
    assert "`fly-billing approve-corrections 2026-09 --total 12.10 --currency EUR --by NAME --why REASON`" in alert.body


def test_the_reason_gives_the_amount_to_return_and_its_share_of_the_month() -> None:
    """6.00 of 100 euros; and 7.00 of late usage that no invoice charged and that was then withdrawn, of nothing."""
    (held,) = corrections_to_hold("2026-09", [proposal("acme", "100", "-6", "EUR")], {}, GUARD)
    assert held.reason == ("2026-09 would return EUR 6.00 of EUR 100.00 charged (6.0 %; the limit is 5 %)")
    levels = (ChargeLevel("egress", "acme", "usage", Decimal(0), Decimal(0), Decimal(0)),)
    nothing = Proposal(NAMES, "acme", "USD", levels, {"egress": ("acme", "usage", Decimal(-7))})
    (held,) = corrections_to_hold("2026-09", [nothing], {}, GUARD)
    assert held.reason == ("2026-09 would return $7.00 of $0.00 charged (nothing was charged; the limit is 5 %)")


def test_a_negative_invoice_counts_as_charging_nothing() -> None:
    """It returned 20.00 more in fees than it charged; 7.00 more are returned, of nothing."""
    levels = (level("fee", "-20", "subscription"),)
    loss = loss_of(Proposal(NAMES, "acme", "USD", levels, {"fee": ("acme", "subscription", Decimal(-7))}))
    assert loss.charged == 0
    assert loss.given_back == 7


@pytest.mark.parametrize(("count", "last"), [(10, "- org-09: $1.00"), (11, "- and 1 more"), (1211, "- and 1,201 more")])
def test_the_alert_names_the_ten_largest_corrections_and_counts_the_rest(count: int, last: str) -> None:
    held = HeldTotal("2026-09", "USD", {f"org-{number:02}": Decimal(1) for number in range(count)}, ("much",))
    *named, what_to_do = held_alert(held).body.splitlines()
    assert (named[0], named[-1]) == ("- org-00: $1.00", last)
    assert len(named) == min(count, 11)
    assert what_to_do.startswith(f"What to do: {count:,} corrections wait for approval and are not booked:")


def test_one_held_correction_in_dollars_is_described_with_at_most_three_reasons() -> None:
    held = HeldTotal("2026-09", "USD", {"acme": Decimal("5.001")}, ("a", "b", "c", "d"))
    assert held.sentence == (
        "1 correction waits for approval and is not booked: a; b; c. First check that no usage is missing; if it is"
        " landed again, nothing needs approval. If the corrections are right, run"
        " `fly-billing approve-corrections 2026-09 --total 5.01 --by NAME --why REASON`."
    )


def test_waiting_corrections_include_every_currency() -> None:
    assert waiting(proposal("acme", "100", "-6"), proposal("beta", "100", "-7", "EUR")) == ["beta", "acme"]


def test_an_invoice_that_returns_too_much_is_described_with_its_charges_in_its_currency() -> None:
    """2,000 of 3,000 yen; the month as a whole charged 100,000."""
    rest = {"JPY": RestOfMonth(Decimal(97_000), Decimal(0))}
    (held,) = corrections_to_hold("2026-09", [proposal("acme", "3000", "-2000", "JPY")], rest, GUARD)
    assert held.reason == ("acme would get back JPY 2,000 of JPY 3,000 of its charges (66.7 %; the limit is 50 %)")


@pytest.mark.parametrize(
    ("levels", "change", "charged", "given_back"),
    [
        # Usage peaked at 100, is 80 now and becomes 50: 50 of 100.
        ((("egress", "usage", 90, 100, 80),), ("egress", -30), 100, 50),
        # A discount of 40 on 100: at most 60 were owed. 30 less usage is 30 of 100.
        ((("egress", "usage", 100, 100, 100), ("coupon", "discount", -40, 0, -40)), ("egress", -30), 100, 30),
        # A minimum of 100 charged 70 beyond 30 of usage: the mark is 100, and the minimum falls by 70.
        ((("egress", "usage", 30, 30, 30), ("least", "minimum", 70, 0, 70)), ("least", -70), 100, 70),
        # The invoice charges more: it returns nothing.
        ((("egress", "usage", 10, 10, 10),), ("egress", 5), 10, 0),
    ],
)
def test_a_return_is_measured_against_the_most_that_the_invoice_charged(
    levels: Sequence[tuple[str, str, int, int, int]], change: tuple[str, int], charged: int, given_back: int
) -> None:
    """A level: (thing, kind, mark, peak, now)."""
    known = tuple(ChargeLevel(key, "acme", kind, *map(Decimal, numbers)) for key, kind, *numbers in levels)
    kinds = {charge.key: charge.kind for charge in known}
    key, amount = change
    loss = loss_of(Proposal(NAMES, "acme", "USD", known, {key: ("acme", kinds[key], Decimal(amount))}))
    assert (int(loss.charged), int(loss.given_back)) == (charged, given_back)


def test_a_return_of_usage_that_was_never_charged_belongs_to_its_organization() -> None:
    """acme paid 100 for itself; 7.00 are returned for beta, which no invoice charged."""
    levels = (level("egress", "100"),)
    changes = {"beta|egress": ("beta", "usage", Decimal(-7))}
    rest = {"USD": RestOfMonth(Decimal(900), Decimal(0))}
    (held,) = corrections_to_hold("2026-09", [Proposal(NAMES, "acme", "USD", levels, changes)], rest, GUARD)
    assert held.reason == (
        "beta would get back $7.00 of $0.00 of its usage charges (nothing was charged; the limit is 50 %)"
    )


def test_a_charge_of_half_a_dollar_counts_as_a_charge() -> None:
    """2.00 are returned of 0.50 charged."""
    levels = (level("egress", "0.5"),)
    changes = {"egress": ("acme", "usage", Decimal(-2))}
    rest = {"USD": RestOfMonth(Decimal(900), Decimal(0))}
    (held,) = corrections_to_hold("2026-09", [Proposal(NAMES, "acme", "USD", levels, changes)], rest, GUARD)
    assert "$2.00 of $0.50 of its charges (400.0 %" in held.reason


def test_a_total_of_thirty_digits_is_rounded_up_to_the_cent() -> None:
    amounts = [Decimal("123456789012345.000000000000001")]
    assert total_to_approve(amounts, "USD") == Decimal("123456789012345.01")


def test_equal_amounts_are_listed_by_name_and_the_alert_has_its_code() -> None:
    alert = held_alert(HeldTotal("2026-09", "USD", {"beta": Decimal(1), "acme": Decimal(1)}, ("much",)))
    assert alert.body.splitlines()[:2] == ["- acme: $1.00", "- beta: $1.00"]
    assert alert.code == "corrections_held"


def test_a_return_of_usage_that_an_adjustment_charged_belongs_to_its_organization() -> None:
    """An adjustment charged acme 20.00 for beta's late usage, and all of it is returned. Its level names the payer."""
    levels = (
        level("egress", "1000"),
        ChargeLevel("beta|egress", "acme", "usage", Decimal(0), Decimal(20), Decimal(20)),
    )
    changes = {"beta|egress": ("beta", "usage", Decimal(-20))}
    (held,) = corrections_to_hold("2026-09", [Proposal(NAMES, "acme", "USD", levels, changes)], {}, GUARD)
    assert held.reason == "beta would get back $20.00 of $20.00 of its usage charges (100.0 %; the limit is 50 %)"

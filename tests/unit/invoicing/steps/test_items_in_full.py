"""An invoice stores items of terms, credits and corrections with every field. September 2026 of acme."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from fly_billing.errors import BillingError
from fly_billing.invoicing.rules.assembly import assemble_invoice, invoice_id
from fly_billing.invoicing.rules.inputs import (
    Adjustment,
    CreditPaid,
    InvoiceInputs,
    Member,
    OneOffItem,
    Subscription,
    UsageRollup,
)
from fly_billing.invoicing.rules.items import InvoiceItem, line_order
from fly_billing.invoicing.rules.steps.commitments import apply_commitments
from fly_billing.invoicing.rules.steps.credits import draw_credits
from fly_billing.invoicing.rules.steps.discounts import take_discounts
from fly_billing.monthly_ids import monthly_id
from fly_billing.pricing.rules.negotiated_prices import Negotiated, NegotiatedPrice, holdings_of
from fly_billing.pricing.rules.prices import PriceBook
from tests.support.builders import EGRESS, REQUESTS, SEPTEMBER, SUPPORT, at, fee_charged, id_of
from tests.unit.invoicing.steps.invoices_in_progress import amount_off, credit, invoice_of, item, maximum, minimum, tax

AUGUST = SEPTEMBER.plus(-1)
PRORATED = ("agreed", "ran_seconds", "whole_seconds")


@pytest.mark.parametrize(
    ("terms", "step", "message"),
    [
        (
            {"credits": [credit("5", "welcome", currency="EUR")]}, draw_credits,
            "credit 'welcome' is in EUR, but the organization is billed in USD: let it expire"
            " (credit_grants.expires_at), and grant what is left of it in USD",
        ),
        (
            {"discounts": [amount_off("5", "SPRING", currency="EUR")]}, take_discounts,
            "coupon 'SPRING' is in EUR, but the organization is billed in USD: end it (discounts.last_month), and"
            " redeem a coupon in USD",
        ),
        (
            {"commitments": [minimum("5", "annual", currency="EUR")]}, apply_commitments,
            "commitment 'annual' is in EUR, but the organization is billed in USD: end it (commitments.last_month), and"
            " agree on one in USD",
        ),
    ],
)  # fmt: skip
def test_terms_in_another_currency_are_refused_with_the_fix(terms: dict[str, Any], step: Any, message: str) -> None:
    invoice = invoice_of(item("web", "10"), **terms)
    with pytest.raises(BillingError) as refused:
        step(invoice)
    assert str(refused.value) == f"currency_mismatch: {message}"


@pytest.mark.parametrize("pays", ["net", "gross"])
def test_a_deposit_in_another_currency_is_refused_like_a_promotion(pays: str) -> None:
    grant = credit("5", "welcome", currency="EUR", pays=pays)
    support = Subscription(id_of("s"), "support", at("2026-01-01"), None)
    inputs = InvoiceInputs("acme", "USD", SEPTEMBER, [Member("acme", PriceBook([SUPPORT]), (), [support])])
    with pytest.raises(BillingError, match="credit 'welcome' is in EUR, but the organization is billed in USD"):
        assemble_invoice(replace(inputs, credits=[grant]))
    assert assemble_invoice(replace(inputs, credits=[replace(grant, currency="USD")])).total_cents == 2400


def test_an_amount_with_a_product_and_a_linked_organization_s_item_name_their_source() -> None:
    """Two cables at 7.50 for labs, which acme pays."""
    cables = OneOffItem(
        id_of("cables"), "cables", Decimal(15), "USD", Decimal(2), "cable", Decimal("7.5"), product="Hardware"
    )
    members = [Member("acme", PriceBook([])), Member("labs", PriceBook([]), one_offs=[cables])]
    (line,) = assemble_invoice(InvoiceInputs("acme", "USD", SEPTEMBER, members)).items
    assert (line.kind, line.organization_id, line.product, line.description) == (
        "one_off",
        "labs",
        "Hardware",
        "cables",
    )
    assert (line.quantity, line.unit, line.amount, line.one_off_item_id) == (
        Decimal(2),
        "cable",
        Decimal(15),
        id_of("cables"),
    )
    assert line.detail["steps"][0]["label"] == "all"
    own = replace(members[0], one_offs=[cables])
    (other,) = assemble_invoice(InvoiceInputs("acme", "USD", SEPTEMBER, [own])).items
    assert other.id != line.id  # one item for each organization on the invoice


@pytest.mark.parametrize(
    ("about", "organization", "description"),
    [(None, "acme", "more"), ("labs", "labs", "more"), ("gone", "acme", "gone: more"), ("acme", "acme", "more")],
)
def test_a_correction_is_a_line_of_its_organization_or_names_it(
    about: str | None, organization: str, description: str
) -> None:
    """This includes a return to a deposit, after tax."""
    for is_after_tax in (False, True):
        found = Adjustment(
            id_of("a"), AUGUST, "Requests", "more", Decimal(3), "USD", ("late rows",), about=about,
            is_after_tax=is_after_tax,
        )  # fmt: skip
        members = [Member("acme", PriceBook([]), adjustments=[found]), Member("labs", PriceBook([]))]
        (line,) = assemble_invoice(InvoiceInputs("acme", "USD", SEPTEMBER, members, taxes=[tax("VAT", "0")])).items
        assert (line.kind, line.organization_id, line.description) == ("adjustment", organization, description)
        assert (line.quantity, line.unit, line.amount) == (Decimal(1), "item", Decimal(3))
        assert (line.product, line.adjustment_id) == ("Requests", id_of("a"))
        assert line.detail == {"month": "2026-08", "causes": ["late rows"]}
        assert line.id == monthly_id(
            SEPTEMBER,
            invoice_id("acme", SEPTEMBER),
            f"labs|adjustment|{id_of('a')}" if organization == "labs" else f"adjustment|{id_of('a')}",
        )


@pytest.mark.parametrize(
    ("agreed", "amount", "documented"),
    [
        # 25 % off 0.02: 10 of 110 GB cost 0.15.
        ({"percent_off": Decimal(25)}, "0.15", {"percent_off": "25"}),
        ({"percent_off": Decimal(25), "effective_until": at("2026-12-01")}, "0.15",
         {"until": "2026-12-01T00:00:00+00:00", "percent_off": "25"}),
        ({"terms": {"model": "per_unit", "unit_amount": "0.01"}}, "1.1", {}),
    ],
)  # fmt: skip
def test_usage_at_a_negotiated_price_documents_the_list_price(
    agreed: dict[str, Any], amount: str, documented: dict[str, str]
) -> None:
    """110 GB: 100 are free at the list price, the others cost 0.02."""
    own = NegotiatedPrice("standard", "egress", at("2026-01-01"), organization_id="acme", **agreed)
    used = [UsageRollup(id_of("u"), "egress_gb", {}, SEPTEMBER.start, SEPTEMBER.end, Decimal(110))]
    book = PriceBook([replace(EGRESS, book="standard")]).negotiated_by(Negotiated(holdings_of("acme", [own], [])))
    (line,) = assemble_invoice(InvoiceInputs("acme", "USD", SEPTEMBER, [Member("acme", book, used)])).items
    assert (line.amount, line.negotiated_price_id, line.meter) == (Decimal(amount), own.id, "egress_gb")
    message = dict(line.detail["negotiated"])
    at_list = message.pop("list")
    assert message == {"of": "acme", "since": "2026-01-01T00:00:00+00:00", **documented}
    assert (at_list["amount"], at_list["free_allowance_used"]) == ("0.2", "100")
    assert [step["amount"] for step in at_list["steps"]] == ["0.2"]


def test_a_fee_at_a_negotiated_price_documents_the_list_price_and_the_earlier_charge() -> None:
    """29.00 at the list price, 20.00 agreed; 5.00 were charged before."""
    own = NegotiatedPrice(
        "standard", "support", at("2026-01-01"), organization_id="acme",
        terms={"model": "per_unit", "unit_amount": "20"},
    )  # fmt: skip
    plan = Subscription(id_of("s"), "support", at("2026-01-01"), None, charged=(fee_charged("5"),))
    book = PriceBook([replace(SUPPORT, book="standard")]).negotiated_by(Negotiated(holdings_of("acme", [own], [])))
    (line,) = assemble_invoice(InvoiceInputs("acme", "USD", SEPTEMBER, [Member("acme", book, (), [plan])])).items
    assert (line.amount, line.price_id, line.negotiated_price_id) == (
        Decimal(15),
        replace(SUPPORT, book="standard").id,
        own.id,
    )
    assert line.detail["negotiated"]["list"]["amount"] == "24"
    assert "free_allowance_used" not in line.detail["negotiated"]["list"]
    assert [step["label"] for step in line.detail["steps"]] == ["share of the month", "already charged"]
    assert (line.detail["billed_before"], "subscribed" in line.detail) == ("5", False)


def test_a_deposit_item_records_the_available_drawn_and_remaining_amounts() -> None:
    """29.00 + 10 % = 31.90, of which a deposit of 40.00 pays all; 8.10 are left."""
    plan = Subscription(id_of("s"), "support", at("2026-01-01"), None)
    invoice = assemble_invoice(
        InvoiceInputs(
            "acme", "USD", SEPTEMBER, [Member("acme", PriceBook([SUPPORT]), (), [plan])], taxes=[tax("VAT", "10")],
            credits=[credit("40", "deposit", pays="gross")],
        )
    )  # fmt: skip
    fee, vat, paid = sorted(invoice.items, key=lambda line: ("subscription", "tax", "credit").index(line.kind))
    assert (paid.product, paid.description, paid.amount) == ("Credits", "deposit", Decimal("-31.9"))
    assert paid.credit_grant_id == id_of("deposit")
    detail = dict(paid.detail)
    applied, taxes_of = (
        [(part["item"], part["amount"]) for part in detail.pop(name)] for name in ("applied_to", "taxes_of")
    )
    assert detail == {"pays": "after tax", "available": "40", "drawn": "31.9", "left": "8.1"}
    assert applied == [(str(fee.id), "29"), (str(vat.id), "2.9")]
    assert taxes_of == [(str(fee.id), "2.9")]


@pytest.mark.parametrize("pays", ["net", "gross"])
def test_an_amount_returned_to_a_credit_is_available_on_the_same_invoice(pays: str) -> None:
    """A credit paid 30.00, which are fully refunded: 12.00 of them pay the usage of the same month."""
    gone = Subscription(
        id_of("s"), "support", at("2026-01-01"), SEPTEMBER.start, billed="in_advance",
        charged=(fee_charged("30", credits=(CreditPaid(id_of("old"), "old", Decimal(30), pays),)),),
    )  # fmt: skip
    used = [UsageRollup(id_of("u"), "requests", {}, SEPTEMBER.start, SEPTEMBER.end, Decimal(500))]
    invoice = assemble_invoice(
        InvoiceInputs(
            "acme", "USD", SEPTEMBER, [Member("acme", PriceBook([REQUESTS, SUPPORT]), used, [gone])],
            credits=[replace(credit("0", "old", pays=pays), available=Decimal(1))],
        )
    )  # fmt: skip
    back, drawn = sorted((line for line in invoice.items if line.kind == "credit"), key=lambda line: -line.amount)
    assert (back.amount, back.description, back.credit_grant_id) == (
        Decimal(30),
        "old, on the fee given back",
        id_of("old"),
    )
    assert (back.detail["paid"], back.detail["returned"]) == ("30", "30")
    assert back.id != drawn.id
    if pays == "net":  # usage 50 - 30 + 30 returned
        assert (drawn.amount, drawn.detail["available"], drawn.detail["left"]) == (Decimal(-31), "31", "0")
    else:  # 50 - 30 of the items that it may pay for
        assert (drawn.amount, drawn.detail["available"], drawn.detail["left"]) == (Decimal(-20), "31", "11")


@pytest.mark.parametrize(
    ("ran", "whole", "documented"),
    [
        (None, None, {}),
        (Decimal(10), None, {}),
        (Decimal(10), Decimal(30), {"agreed": "300", "ran_seconds": "10", "whole_seconds": "30"}),
        (Decimal(-1), Decimal(30), {"agreed": "300", "ran_seconds": "0", "whole_seconds": "30"}),
    ],
)
def test_a_prorated_commitment_documents_the_agreed_amount_and_its_seconds(
    ran: Decimal | None, whole: Decimal | None, documented: dict[str, str]
) -> None:
    terms: dict[str, Any] = {"ran_seconds": ran, "whole_seconds": whole}
    for commitment, amount in ((minimum("300", **terms), "0"), (maximum("300", **terms), "400")):
        invoice = invoice_of(item("web", amount), commitments=[commitment])
        apply_commitments(invoice)
        lines = [line for line in invoice.items if line.kind == commitment.kind]
        assert len(lines) == (0 if commitment.kind == "minimum" and ran == -1 else 1)  # nothing is owed for no time
        for line in lines:
            assert {name: line.detail[name] for name in line.detail if name in PRORATED} == documented


def test_lines_of_one_kind_product_and_text_are_listed_by_time_then_by_source_then_by_identity() -> None:
    def fee(name: str, **changes: Any) -> InvoiceItem:
        return replace(item("fee", "1", "subscription"), id=id_of(name), **changes)

    early, late = at("2026-09-01"), at("2026-09-15")
    first, second = sorted([id_of("x"), id_of("y")], key=str)
    assert line_order(fee("b", period_start=early)) < line_order(fee("a", period_start=late))
    assert line_order(fee("b")) < line_order(fee("a", period_start=early))  # none before any
    for source in ("subscription_id", "one_off_item_id", "adjustment_id", "price_id"):
        low, high = (fee(name, **{source: identity}) for name, identity in (("p", first), ("q", second)))
        assert line_order(low) < line_order(high)
        assert line_order(low)[6] == first.int
    assert line_order(fee("a"))[5:7] == ("", -1)  # no source before any
    assert line_order(fee("a", period_start=early))[5] == "2026-09-01T00:00:00+00:00"
    ids = sorted([id_of("a"), id_of("b")], key=str)
    assert line_order(replace(fee("a"), id=ids[0])) < line_order(replace(fee("a"), id=ids[1]))
    # A fee's source is its subscription rather than its price. Only usage is ordered by the versions of its price.
    assert line_order(fee("a", subscription_id=first, price_id=second))[6] == first.int
    usage = item("web", "1", detail={"price_effective_from": "2026-09-10"})
    assert line_order(usage)[4] == "2026-09-10"
    assert line_order(replace(usage, kind="subscription"))[4] == ""
    assert line_order(replace(usage, detail={}))[4] == ""

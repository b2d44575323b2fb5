"""The requests for an invoice are always the same, and never exceed Stripe's limits."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.invoicing.rules.service_periods import ServicePeriod
from fly_billing.periods import BillingMonth
from fly_billing.stripe_sync.rules.idempotency_keys import idempotency_key, request_hash
from fly_billing.stripe_sync.rules.requests import (
    BilledLine,
    FinalizedInvoice,
    StripeRequest,
    add_lines_requests,
    create_customer_request,
    create_request,
    discard_request,
    finalize_request,
    folded_lines,
    line_description,
    line_period,
)

INVOICE = FinalizedInvoice(
    id=UUID("11111111-2222-3333-4444-555555555555"),
    organization_id="acme",
    organization_name="Acme Inc.",
    month=BillingMonth(2023, 6),
    revision=0,
    currency="USD",
    total_cents=3545,
    lines=(BilledLine("one", "VM usage", 1200), BilledLine("two", "VM Network usage", 2345)),
)


def lines(*cents: int) -> tuple[BilledLine, ...]:
    return tuple(BilledLine(f"item-{number}", f"charge {number}", amount) for number, amount in enumerate(cents))


def test_a_resend_carries_the_same_key_and_the_same_hash() -> None:
    first, again = (create_request(replace(INVOICE), "cus_1", 0) for _ in range(2))
    assert idempotency_key(first, str(INVOICE.id), 0) == idempotency_key(again, str(INVOICE.id), 0)
    assert request_hash(first) == request_hash(again)


def test_the_key_names_the_invoice_the_generation_the_step_and_the_batch() -> None:
    request = add_lines_requests(replace(INVOICE, lines=lines(*[1] * 101)))[1]
    key = idempotency_key(request, str(INVOICE.id), 2)
    assert key == "fly_billing/11111111-2222-3333-4444-555555555555/2/add_lines/1"


def test_the_hash_does_not_depend_on_the_order_of_parameters() -> None:
    request = StripeRequest("create", {"customer": "cus_1", "currency": "usd"})
    assert request_hash(request) == request_hash(StripeRequest("create", {"currency": "usd", "customer": "cus_1"}))


def test_the_hash_is_the_same_in_every_process_and_release() -> None:
    # sha256sum of ["finalize",0,{"auto_advance":true}]
    expected = "3438e1ac103f6d18de19bb0874e366c38b0235ed808c72693266675383e33004"
    assert request_hash(finalize_request(collect=True)) == expected


@pytest.mark.parametrize(
    "changed",
    [
        create_request(INVOICE, "cus_2", 0),
        create_request(INVOICE, "cus_1", 1),
        create_request(replace(INVOICE, organization_name="Acme Ltd."), "cus_1", 0),
        create_request(replace(INVOICE, currency="EUR"), "cus_1", 0),
    ],
)
def test_another_request_has_another_hash(changed: StripeRequest) -> None:
    assert request_hash(changed) != request_hash(create_request(INVOICE, "cus_1", 0))


def test_a_draft_includes_no_pending_items_and_stripe_does_not_advance_it() -> None:
    assert create_request(INVOICE, "cus_1", 3) == StripeRequest(
        "create",
        {
            "customer": "cus_1",
            "currency": "usd",
            "auto_advance": False,
            "pending_invoice_items_behavior": "exclude",
            "description": "Acme Inc.: June 2023",
            "metadata": {
                "fly_billing_invoice": "11111111-2222-3333-4444-555555555555",
                "organization": "acme",
                "month": "2023-06",
                "revision": "0",
                "generation": "3",
            },
        },
    )


def test_a_customer_carries_its_organization() -> None:
    assert create_customer_request("acme", "Acme Inc.") == StripeRequest(
        "create_customer", {"name": "Acme Inc.", "metadata": {"organization": "acme"}}
    )


def test_a_draft_is_discarded_under_a_separate_kind_of_key() -> None:
    assert discard_request() == StripeRequest("discard", {})
    assert idempotency_key(discard_request(), "inv", 1) == "fly_billing/inv/1/discard/0"


def test_248_lines_are_sent_unfolded() -> None:
    assert folded_lines(lines(*[5] * 248)) == lines(*[5] * 248)


def test_a_249th_line_folds_the_two_smallest_into_one() -> None:
    folded = folded_lines(lines(7, 3, *[10] * 247))
    assert len(folded) == 248
    assert folded[:-1] == lines(7, 3, *[10] * 247)[2:]
    assert (folded[-1].item_id, folded[-1].amount_cents) == ("folded", 10)
    assert folded[-1].description == "2 smaller items: your statement lists each of them"


def test_1200_lines_become_247_and_one_for_the_other_953_lines() -> None:
    folded = folded_lines(lines(*range(1, 1201)))
    assert len(folded) == 248
    # 1 + 2 + ... + 953, the smallest ones; 1200 x 1201 / 2 altogether.
    assert folded[-1].amount_cents == 454_581
    assert sum(line.amount_cents for line in folded) == 720_600
    assert [line.amount_cents for line in folded[:-1]] == list(range(954, 1201))


def test_a_large_credit_does_not_count_as_a_small_line() -> None:
    folded = folded_lines(lines(*[10] * 248, -5000))
    assert folded[246] == BilledLine("item-248", "charge 248", -5000)
    assert (folded[-1].amount_cents, len(folded)) == (20, 248)


def test_a_tax_of_any_amount_keeps_its_line() -> None:
    """A line of 0.00 may name the law by which no tax is charged."""
    reverse = BilledLine("vat", "Taxes: Reverse charge 0 %: Art. 196", 0, is_tax=True)
    folded = folded_lines((*lines(*[10] * 250), reverse))
    assert folded[-2] == reverse
    assert (len(folded), folded[-1].amount_cents) == (248, 40)


@given(st.lists(st.integers(-(10**9), 10**9), max_size=600))
def test_folding_never_changes_the_total(cents: list[int]) -> None:
    folded = folded_lines(lines(*cents))
    assert sum(line.amount_cents for line in folded) == sum(cents)
    assert len(folded) == min(len(cents), 248)
    assert folded == folded_lines(lines(*cents))


@pytest.mark.parametrize(
    ("count", "batches"), [(1, [1]), (100, [100]), (101, [100, 1]), (200, [100, 100]), (1200, [100, 100, 48])]
)
def test_a_call_carries_at_most_100_lines(count: int, batches: list[int]) -> None:
    requests = add_lines_requests(replace(INVOICE, lines=lines(*[1] * count)))
    assert [len(request.params["lines"]) for request in requests] == batches
    assert [request.batch for request in requests] == list(range(len(batches)))


def test_a_line_carries_whole_cents_and_our_item_id_in_our_order() -> None:
    june = {"start": 1685620800, "end": 1688126400}  # noon of the 1st, and of the 30th
    assert add_lines_requests(INVOICE) == [
        StripeRequest(
            "add_lines",
            {
                "lines": [
                    {
                        "amount": 1200,
                        "description": "VM usage",
                        "metadata": {"fly_billing_item": "one"},
                        "period": june,
                    },
                    {
                        "amount": 2345,
                        "description": "VM Network usage",
                        "metadata": {"fly_billing_item": "two"},
                        "period": june,
                    },
                ]
            },
        )
    ]


@pytest.mark.parametrize(
    ("month", "last_day"),
    [
        (BillingMonth(2023, 6), datetime(2023, 6, 30, 12, tzinfo=UTC)),
        (BillingMonth(2024, 2), datetime(2024, 2, 29, 12, tzinfo=UTC)),
        (BillingMonth(2023, 12), datetime(2023, 12, 31, 12, tzinfo=UTC)),
    ],
)
def test_the_period_of_a_line_is_noon_of_the_first_to_noon_of_the_last_day(
    month: BillingMonth, last_day: datetime
) -> None:
    period = line_period(ServicePeriod.of_month(month))
    first_day = datetime(month.year, month.month, 1, 12, tzinfo=UTC)
    assert period == {"start": int(first_day.timestamp()), "end": int(last_day.timestamp())}


@pytest.mark.usefixtures("machine_in_honolulu")
def test_the_period_of_a_line_is_the_same_in_every_time_zone() -> None:
    """Noon of 1 and 30 June 2023 in UTC: Stripe would refuse other parameters under the same key."""
    assert line_period(ServicePeriod.of_month(BillingMonth(2023, 6))) == {"start": 1685620800, "end": 1688126400}


def test_a_line_describes_its_calculation() -> None:
    steps = [{"quantity": "300", "unit_amount": "0.15", "per": "720"}]
    text = line_description("Volumes", "Storage", Decimal("7500"), "GB-hour", steps, "7200")
    assert text == "Volumes: Storage (7,200 GB-hours free; 300 x 0.15 per 720)"


def test_free_usage_is_described_with_its_quantity() -> None:
    text = line_description("Requests", "Requests", Decimal("1200.50"), "request", [], None)
    assert text == "Requests: Requests (1,200.5 requests)"


def test_a_charge_without_a_sum_has_a_plain_description() -> None:
    assert line_description("One-off", "Migration", Decimal(1), "item", [], None) == "One-off: Migration"


def test_a_description_ends_at_500_characters() -> None:
    whole = line_description("One-off", "x" * 491, Decimal(1), "item", [], None)
    cut = line_description("One-off", "x" * 492, Decimal(1), "item", [], None)
    assert whole == "One-off: " + "x" * 491
    assert cut == "One-off: " + "x" * 490 + "…"


@pytest.mark.parametrize("collect", [True, False])
def test_stripe_charges_automatically_only_if_we_collect(collect: bool) -> None:
    assert finalize_request(collect).params == {"auto_advance": collect}


@pytest.mark.parametrize(
    ("currency", "cents", "sent"),
    [
        ("USD", 1234, 1234),
        ("JPY", 1200, 1200),
        ("ISK", 1200, 120000),  # no minor unit, and two decimals at Stripe
        ("UGX", -7, -700),
        ("KWD", 10230, 10230),
    ],
)
def test_a_line_is_sent_in_stripes_units_of_its_currency(currency: str, cents: int, sent: int) -> None:
    (request,) = add_lines_requests(replace(INVOICE, currency=currency, lines=lines(cents)))
    assert [line["amount"] for line in request.params["lines"]] == [sent]

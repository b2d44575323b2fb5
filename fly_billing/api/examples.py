"""An example of each answer, for the OpenAPI document: acme used 3 requests at $0.10 in September 2026.

They are instances of the answers, so that none can have another form. Not here: the routes.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from fly_billing.api import models
from fly_billing.api.models import Money

_ORGANIZATION = "acme"
_MONTH = "2026-09"
_AS_OF = datetime(2026, 10, 5, 12, tzinfo=UTC)
_INVOICE = "6f1c3a8e-52a5-5f0e-9e6b-0d5f0b7d3c11"
_ITEM = "0b8f3d1e-9a3c-5d1a-8a52-6f0c2f8a7e42"


def _usd(amount: str) -> Money:
    return Money(amount=amount, currency="USD")


def _spend_alert(alert_id: str, kind: str, amount: str) -> models.SpendAlert:
    return models.SpendAlert(
        id=alert_id,
        kind=kind,
        name=None,
        amount=_usd(amount),
        percent=None,
        is_first=False,
        last_reached_in=None,
        no_effect=None,
    )


_BALANCE = models.CurrencyBalance(
    currency="USD",
    owed=_usd("0.30"),
    unpaid_invoices=1,
    credit=_usd("0.00"),
    carried_over=_usd("0.00"),
    total=_usd("0.30"),
    waiting=_usd("0.30"),
    disputed=_usd("0.00"),
    refunded=_usd("0.00"),
    paid=_usd("0.00"),
)
_OWED = models.Owed(
    in_words="Acme owes $0.30 on 1 unpaid invoice.",
    calculation=[],
    caveats=["$0.30 is invoiced, but payment has not been requested yet."],
    balances=[_BALANCE],
)
_SUMMARY = models.InvoiceSummary(
    id=_INVOICE,
    month=_MONTH,
    status="finalized",
    status_in_words="due",
    number="ACME-0001",
    total=_usd("0.30"),
    due_on=date(2026, 10, 18),
    calculated_at=datetime(2026, 10, 4, 1, tzinfo=UTC),
    reminder="",
    trouble=None,
    payer=None,
)
_BILLED_ITEM = models.Item(
    id=_ITEM,
    kind="usage",
    organization_id=_ORGANIZATION,
    product="Requests",
    description="requests as used",
    quantity="3",
    unit="request",
    calculation="3 requests x 0.1",
    reasons=[],
    supplied="1 Sep 2026 to 30 Sep 2026",
    exact_amount="0.3",
    amount=_usd("0.30"),
)
_WITH_ITEMS = models.InvoiceWithItems(
    **dict(_SUMMARY), items=[_BILLED_ITEM], taxes=[], sums=[models.AmountLine(text="Total", amount=_usd("0.30"))]
)
_OPEN = _WITH_ITEMS.model_copy(
    update={"status": "open", "status_in_words": "open (so far)", "number": None, "due_on": None}
)
_ONE_SHARE = models.Share(label="Requests", cost=_usd("0.30"), is_of_the_whole_invoice=False)
_WITHOUT_LABEL = models.Share(label=None, cost=_usd("0.30"), is_of_the_whole_invoice=False)
_DAYS = [
    models.DayCost(day=date(2026, 9, 1) + timedelta(days=n), cost=_usd("0.30" if n == 14 else "0.00"))
    for n in range(30)
]
_COST = models.Cost(
    by_product=[_ONE_SHARE],
    by_app=[_WITHOUT_LABEL],
    other_apps=None,
    by_region=[_WITHOUT_LABEL],
    other_regions=None,
    by_day=_DAYS,
    day_not_known=None,
    whole_invoice=None,
)
_CREDIT = models.Credit(
    description="Deposit",
    granted=_usd("10.00"),
    remaining=_usd("5.00"),
    expires_at=None,
    also_pays_taxes=True,
    in_words="Deposit: $5.00 remaining; also pays taxes",
)

EXAMPLES: dict[str, models.Part] = {
    "statement": models.StatementAnswer(
        as_of=_AS_OF,
        organization_id=_ORGANIZATION,
        organization_name="Acme",
        is_complete=True,
        owed=_OWED,
        months=[_SUMMARY],
        earlier_months=models.EarlierMonthCount(count=107, first_month="2016-10"),
        month=_MONTH,
        invoice=_WITH_ITEMS,
        cost=_COST,
        compared=None,
        not_compared="",
        credits=[],
        usage_included_until=date(2026, 9, 30),
        usage_as_of=datetime(2026, 10, 1, 8, 5, tzinfo=UTC),
        usage_sources=[models.ReceivedSource(name="machines-#.parquet", last_received_on=date(2026, 10, 1))],
        unread_usage="",
    ),
    "estimate": models.EstimateAnswer(
        as_of=datetime(2026, 9, 20, 12, tzinfo=UTC),
        organization_id=_ORGANIZATION,
        month=_MONTH,
        low=_usd("29.30"),
        likely=_usd("29.45"),
        high=_usd("29.80"),
        in_words="Estimate for the end of 2026-09, not owed: about $29.45 ($29.30 to $29.80).",
        method=[
            "This is an estimate. It is not owed, and it is in no other amount.",
            "Fees and charges that are already registered for the month are included as they are.",
        ],
        complete_days=19,
        days=30,
        no_estimate=None,
    ),
    "upcoming_invoice": models.UpcomingAnswer(
        as_of=datetime(2026, 9, 20, 12, tzinfo=UTC),
        organization_id=_ORGANIZATION,
        is_complete=True,
        totals=[_usd("0.30")],
        invoices=[_OPEN],
    ),
    "invoices": models.InvoicesAnswer(
        as_of=_AS_OF, organization_id=_ORGANIZATION, invoices=[_SUMMARY], next_cursor=None
    ),
    "invoice": models.InvoiceAnswer(
        as_of=_AS_OF,
        organization_id=_ORGANIZATION,
        is_complete=True,
        invoice=_WITH_ITEMS,
        customer=models.Customer(
            name="Acme Inc.",
            email="billing@example.com",
            address=["1 Example Street", "60601 Chicago", "US"],
            tax_ids=[],
            purchase_order=None,
        ),
        seller=["Example Cloud Ltd."],
        payment_page=None,
        pdf=None,
    ),
    "explanation": models.ExplanationAnswer(
        as_of=_AS_OF,
        organization_id=_ORGANIZATION,
        item_id=_ITEM,
        month=_MONTH,
        kind="usage",
        product="Requests",
        description="requests as used",
        quantity="3",
        unit="request",
        exact_amount="0.3",
        amount=_usd("0.30"),
        sums=[
            models.ExplainedSum(
                title="Amount",
                unit="USD",
                lines=[models.SumLine(label="requests", quantity="3", unit_amount="0.1", per="1", amount="0.3")],
                total="0.3",
            )
        ],
        rounding="The amount is exactly $0.30: nothing to round.",
        facts=[models.Fact(name="Charged by", text="per_unit: unit_amount 0.1")],
        is_reproduced=True,
    ),
    "usage": models.UsageAnswer(
        as_of=_AS_OF,
        organization_id=_ORGANIZATION,
        month=_MONTH,
        is_complete=True,
        total=_usd("0.30"),
        cost=_COST,
        items=[
            models.ItemUsage(
                item_id=_ITEM,
                product="Requests",
                description="requests as used",
                quantity="3",
                unit="request",
                cost=_usd("0.30"),
                by_day=[models.DayQuantity(day=date(2026, 9, 15), quantity="3")],
                by_place=[models.PlaceQuantity(app=None, region=None, quantity="3")],
                other_places=None,
            )
        ],
        next_cursor=None,
    ),
    "balance": models.BalanceAnswer(
        as_of=_AS_OF, organization_id=_ORGANIZATION, is_complete=True, owed=_OWED, upcoming=[_usd("0.00")]
    ),
    "credits": models.CreditsAnswer(as_of=_AS_OF, organization_id=_ORGANIZATION, is_complete=True, credits=[_CREDIT]),
    "alerts": models.AlertsAnswer(
        as_of=_AS_OF,
        organization_id=_ORGANIZATION,
        alerts=[
            _spend_alert("6d1c4a0e-1d1f-4f0a-9a55-4f1f0a3b7c21", "amount", "250.00"),
        ],
        cap_call=None,
    ),
    "set_alert": models.AlertAnswer(
        as_of=_AS_OF,
        organization_id=_ORGANIZATION,
        alert=_spend_alert("6d1c4a0e-1d1f-4f0a-9a55-4f1f0a3b7c21", "amount", "250.00"),
    ),
    "set_cap": models.AlertAnswer(
        as_of=_AS_OF,
        organization_id=_ORGANIZATION,
        alert=_spend_alert("0b8a1c52-7f36-4a6e-8a0e-5f0e2f3c9d44", "cap", "500.00"),
    ),
    "token": models.TokenAnswer(
        as_of=_AS_OF,
        id="2f1f7f52-3d0b-4a0e-8d3d-2d6f0a5b9c10",
        token="fbc_...",  # noqa: S106 no token: it shows the form
        organization_id=_ORGANIZATION,
        name="billing page",
        scopes=["statement", "usage"],
        expires_at=_AS_OF + timedelta(days=365),
    ),
    "page_link": models.PageLinkAnswer(
        as_of=_AS_OF,
        id="5a2f9c1e-3b7d-4c48-9f0a-6d1e2b3c4f50",
        url="https://billing.example.com/statement/AgBo...",
        organization_id=_ORGANIZATION,
        expires_at=_AS_OF + timedelta(days=7),
    ),
}

"""The answers of the API, as types: its OpenAPI document is made from them.

Money is text with a currency, quantities are text, times are RFC 3339 in UTC. Every answer has `as_of`, the time at
which it was read. Not here: how an answer is made (`api.answers`), and examples (`api.examples`).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictInt

from fly_billing.api.rules.links import DEFAULT_LINK_DAYS, MOST_LINK_DAYS
from fly_billing.customer_alerts.alert_addresses import MOST_ADDRESS
from fly_billing.customer_alerts.rules.thresholds import MOST_PERCENT, MOST_SUBJECT

MonthText = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}$", description="A month in UTC.", examples=["2026-09"])]
Exact = Annotated[str, Field(description="An exact decimal number, without exponent.", examples=["2592000.5"])]


class Part(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Money(Part):
    """An amount with as many decimals as its currency has: `0.30` USD, `1200` JPY."""

    amount: Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?$")]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217.")]


class Answer(Part):
    """An answer about one organization. `as_of`: when it was read from the billing database."""

    as_of: AwareDatetime
    organization_id: str


class AmountLine(Part):
    """One line of a sum."""

    text: str
    amount: Money


class PaidBy(Part):
    """The organization that pays, if it is another one. The amounts are then this organization's share."""

    id: str
    name: str


class InvoiceSummary(Part):
    """An invoice without its items."""

    id: Annotated[str | None, Field(description="Null for a month that could not be billed yet.")]
    month: MonthText
    status: Annotated[str, Field(description="open, finalized, paid, void, uncollectible, or not computed.")]
    status_in_words: str
    number: Annotated[str | None, Field(description="Null until the invoice is final.")]
    total: Money | None
    due_on: date | None
    calculated_at: Annotated[datetime | None, Field(description="From which usage and terms: those known then.")]
    reminder: Annotated[str, Field(description="A sentence if it is past due; empty otherwise.")]
    trouble: Annotated[str | None, Field(description="A sentence if it can't be calculated, sent or paid.")]
    payer: PaidBy | None


class Item(Part):
    """One line of an invoice."""

    id: str
    kind: str
    organization_id: str
    product: str
    description: str
    quantity: Exact
    unit: str
    calculation: Annotated[str, Field(description="How the amount was calculated; empty if it was entered.")]
    reasons: Annotated[list[str], Field(description="Why an earlier month is adjusted.")]
    supplied: Annotated[str, Field(description="The days on which it was supplied; empty if that is not known.")]
    exact_amount: Exact
    amount: Annotated[Money, Field(description="Its share of the invoice's total. The items add up to the total.")]


class Tax(Part):
    """The tax of one rate on an invoice."""

    name: str
    percent: Exact
    is_inclusive: Annotated[bool, Field(description="The prices include it; it is not added to them.")]
    category: str
    legal_text: str | None
    taxable: Money
    tax: Money


class Customer(Part):
    """The customer on an invoice: of a final one as it was then."""

    name: str
    email: str | None
    address: list[str]
    tax_ids: list[str]
    purchase_order: str | None


class InvoiceWithItems(InvoiceSummary):
    """An invoice with its items."""

    items: list[Item]
    taxes: list[Tax]
    sums: Annotated[list[AmountLine], Field(description="Subtotal, taxes, total, and what was paid of it.")]


class CurrencyBalance(Part):
    """The amount owed in one currency. Amounts in different currencies are never added up.

    The ledger's sum is `total` = `owed` - `credit` + `carried_over`.
    """

    currency: str
    owed: Annotated[Money, Field(description="What the unpaid invoices ask for.")]
    unpaid_invoices: int
    credit: Annotated[Money, Field(description="Reduces the next invoice.")]
    carried_over: Annotated[Money, Field(description="Is added to the next invoice.")]
    total: Money
    waiting: Annotated[Money, Field(description="The part of `owed` for which payment has not been requested yet.")]
    disputed: Annotated[Money, Field(description="Paid, and disputed by the bank: no part of `owed`.")]
    refunded: Annotated[Money, Field(description="Of what was paid.")]
    paid: Money


class Owed(Part):
    """What an organization owes: in words, as a sum, and by currency."""

    in_words: str
    calculation: Annotated[
        list[AmountLine], Field(description="The sum, line by line; empty if there is nothing to add.")
    ]
    caveats: Annotated[list[str], Field(description="A sentence for each part that is not certain, or easy to miss.")]
    balances: list[CurrencyBalance]


class Share(Part):
    """One row of a breakdown. `label` is null for spend without one: fees, discounts, credits, taxes."""

    label: str | None
    cost: Money
    is_of_the_whole_invoice: bool


class DayCost(Part):
    """The cost of one day in UTC."""

    day: date
    cost: Money


class OtherShares(Part):
    """The number of apps or regions that are not listed, and their cost in all."""

    count: int
    cost: Money


class Cost(Part):
    """A month's cost, broken down in four ways. Each of them adds up to the total.

    The largest 100 apps and regions are listed; `other_apps` and `other_regions` add up the rest, null without one.
    `day_not_known` and `whole_invoice` belong to the days: usage from before days were recorded; and discounts,
    credits, taxes and rounding.
    """

    by_product: list[Share]
    by_app: list[Share]
    other_apps: OtherShares | None
    by_region: list[Share]
    other_regions: OtherShares | None
    by_day: list[DayCost]
    day_not_known: Money | None
    whole_invoice: Money | None


class CostChange(Part):
    """The cost of a product in two months; `label` is null for the total."""

    label: str | None
    before: Money
    now: Money
    difference: Money


class CostComparison(Part):
    """A month compared with the month before: while it is open, with the same days, as far as they are complete.

    Then discounts, minimums, credits and taxes are left out, which belong to whole months.
    """

    month: MonthText
    until_day: Annotated[
        int | None, Field(description="Both months are compared from the 1st to this day; null: as a whole.")
    ]
    total: CostChange
    by_product: list[CostChange]


class Credit(Part):
    """Prepaid or granted money that is not used up, rounded down."""

    description: str
    granted: Money
    remaining: Money
    expires_at: datetime | None
    also_pays_taxes: bool
    in_words: str


class ReceivedSource(Part):
    """A file that brings usage; a `#` in its name stands for each number."""

    name: str
    last_received_on: Annotated[date, Field(description="The last day on which it arrived.")]


class EarlierMonthCount(Part):
    """The months that are not listed: they are older, and nothing of them is due."""

    count: int
    first_month: MonthText


class StatementAnswer(Answer):
    """A month's statement: the amounts owed, the months in a line each, and the month's items and cost."""

    organization_name: str
    is_complete: Annotated[bool, Field(description="False: a record could not be read, and is left out.")]
    owed: Owed
    months: Annotated[
        list[InvoiceSummary],
        Field(
            description="The newest 13 months, each one that something may be due for, and `month` with its neighbours."
        ),
    ]
    earlier_months: Annotated[
        EarlierMonthCount | None, Field(description="The other months; null if `months` has all. See `months=all`.")
    ]
    month: MonthText | None
    invoice: InvoiceWithItems | None
    cost: Cost | None
    compared: CostComparison | None
    not_compared: Annotated[
        str,
        Field(
            description="The products that are left out of the comparison, or why there is none. Empty, too, without a"
            " month before, or if it was paid by another organization or in another currency."
        ),
    ]
    credits: list[Credit]
    usage_included_until: Annotated[date | None, Field(description="All usage that arrived by the end of this day.")]
    usage_as_of: Annotated[
        datetime | None,
        Field(description="All usage that arrived by this time of the day after; null if that day was not read yet."),
    ]
    usage_sources: Annotated[list[ReceivedSource], Field(description="The files that bring usage, by name.")]
    unread_usage: Annotated[str, Field(description="A sentence if some usage could not be read; empty otherwise.")]


class UpcomingAnswer(Answer):
    """The open months so far: two of them while the last month is in its grace period. They are not due yet."""

    is_complete: bool
    totals: Annotated[list[Money], Field(description="Of the invoices below that this organization pays itself.")]
    invoices: list[InvoiceWithItems]


class EstimateAnswer(Answer):
    """The current month's total at its end, estimated. It is not owed, and it is in no other amount.

    The amounts are null if there is no estimate; `in_words` then says why.
    """

    month: MonthText
    low: Money | None
    likely: Money | None
    high: Money | None
    in_words: str
    method: Annotated[list[str], Field(description="How it was made, in sentences.")]
    complete_days: Annotated[int | None, Field(description="Days of the month whose usage is complete.")]
    days: Annotated[int | None, Field(description="Days of the month.")]
    no_estimate: Annotated[str | None, Field(description="A stable name of the reason; null if there is an estimate.")]


class InvoicesAnswer(Answer):
    """A page of invoices, the newest month first."""

    invoices: list[InvoiceSummary]
    next_cursor: Annotated[str | None, Field(description="Pass it as `cursor` for the next page; null on the last.")]


class InvoiceAnswer(Answer):
    """One invoice with its items, its customer, and where to pay it."""

    is_complete: bool
    invoice: InvoiceWithItems
    customer: Customer | None
    seller: Annotated[list[str] | None, Field(description="As it was when the invoice became final; null before.")]
    payment_page: Annotated[str | None, Field(description="Stripe's page on which it can be viewed and paid.")]
    pdf: Annotated[str | None, Field(description="Stripe's PDF.")]


class SumLine(Part):
    """`quantity x unit_amount / per = amount`; the first three are null if the amount is not a product."""

    label: str
    quantity: Exact | None
    unit_amount: Exact | None
    per: Exact | None
    amount: Exact


class ExplainedSum(Part):
    """Lines that add up to `total`, in a unit of usage or a currency."""

    title: str
    unit: str
    lines: list[SumLine]
    total: Exact


class Fact(Part):
    """A fact that the amount depends on."""

    name: str
    text: str


class ExplanationAnswer(Answer):
    """How an item's amount was calculated, so that it can be checked on a calculator."""

    item_id: str
    month: MonthText
    kind: str
    product: str
    description: str
    quantity: Exact
    unit: str
    exact_amount: Exact
    amount: Money
    sums: list[ExplainedSum]
    rounding: str
    facts: list[Fact]
    is_reproduced: Annotated[bool, Field(description="Recalculating gives the billed amount.")]


class DayQuantity(Part):
    """The usage of one day; `day` is null for usage from before days were recorded."""

    day: date | None
    quantity: Exact


class PlaceQuantity(Part):
    """The usage of an app in a region; null if the meter has no such dimensions."""

    app: str | None
    region: str | None
    quantity: Exact


class OtherPlaces(Part):
    """The number of pairs of app and region that are not listed, and their quantity in all."""

    count: int
    quantity: Exact


class ItemUsage(Part):
    """The usage that an item bills.

    The 100 pairs of app and region with the largest quantity are listed; `other_places` adds up the rest, null if there
    is none.
    """

    item_id: str
    product: str
    description: str
    quantity: Exact
    unit: str
    cost: Money
    by_day: list[DayQuantity]
    by_place: list[PlaceQuantity]
    other_places: OtherPlaces | None


class UsageAnswer(Answer):
    """A month's usage and its cost. Costs are cents of the month's invoice, so each breakdown adds up to `total`."""

    month: MonthText
    is_complete: bool
    total: Money | None
    cost: Cost | None
    items: list[ItemUsage]
    next_cursor: Annotated[str | None, Field(description="Pass it as `cursor` for more items; null on the last page.")]


class BalanceAnswer(Answer):
    """The amounts owed, from the ledger: the same as on the statement."""

    is_complete: bool
    owed: Owed
    upcoming: Annotated[list[Money], Field(description="The open months so far, by currency; not due yet.")]


class CreditsAnswer(Answer):
    """Credits that are not used up."""

    is_complete: bool
    credits: list[Credit]


class SpendAlert(Part):
    """An alert when an open month reaches an amount, or a percentage of the last month."""

    id: str
    kind: Annotated[str, Field(description="amount, percent, app, product, forecast or cap.")]
    name: Annotated[str | None, Field(description="The app or product.")]
    amount: Annotated[Money | None, Field(description="Null: a percentage.")]
    percent: Annotated[int | None, Field(description="Of the last month's final invoice.")]
    is_first: Annotated[bool, Field(description="It was added because the organization was new.")]
    last_reached_in: MonthText | None
    no_effect: Annotated[
        str | None,
        Field(description="Why this month can't reach it, such as a cap in a currency that is no longer billed."),
    ]


class SpendCapCall(Part):
    """The newest call of the platform about the organization's own cap."""

    number: Annotated[int, Field(description="Counts the calls about this organization.")]
    state: Annotated[str, Field(description="reached: the platform should stop machines; lifted: it may run them.")]
    reason: str
    month: MonthText
    called_at: AwareDatetime
    acknowledged_at: Annotated[AwareDatetime | None, Field(description="Null: the call is repeated.")]


class AlertsAnswer(Answer):
    """The spend alerts of an organization, and its cap."""

    alerts: list[SpendAlert]
    cap_call: Annotated[SpendCapCall | None, Field(description="Null: the platform was never called.")]


class AlertAnswer(Answer):
    """An alert or the cap, as it is set now."""

    alert: SpendAlert


class LimitAmount(BaseModel):
    """An amount above zero, in the currency in which the organization is billed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    amount: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?$", max_length=30, examples=["250.00"])]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217.", examples=["USD"])]


class AlertRequest(BaseModel):
    """An alert to set: an amount of a kind, or a percentage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Annotated[
        Literal["amount", "percent", "app", "product", "forecast"],
        Field(description="amount and percent: of the month so far; app, product: a part of it; forecast: estimated."),
    ]
    amount: Annotated[LimitAmount | None, Field(description="Of every kind but percent.")] = None
    percent: Annotated[
        StrictInt | None, Field(ge=1, le=MOST_PERCENT, description="Of the last month's final invoice.", examples=[150])
    ] = None
    name: Annotated[
        str | None, Field(min_length=1, max_length=MOST_SUBJECT, description="The app or product.", examples=["web"])
    ] = None


class CapRequest(BaseModel):
    """A cap to set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    amount: LimitAmount


class AlertAddress(BaseModel):
    """The e-mail address for alerts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    email: Annotated[str, Field(min_length=3, max_length=MOST_ADDRESS, examples=["alerts@example.com"])]


class TokenRequest(BaseModel):
    """A token to issue for an organization."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    organization_id: Annotated[str, Field(min_length=1, max_length=200)]
    name: Annotated[str, Field(min_length=1, max_length=200, description="What it is for.")]
    scopes: Annotated[list[str], Field(min_length=1, max_length=20)]
    expires_in_days: Annotated[StrictInt, Field(ge=1, le=730)] = 365


class TokenAnswer(Part):
    """A token. It is shown once: only its digest is stored."""

    as_of: AwareDatetime
    id: str
    token: str
    organization_id: str
    name: str
    scopes: list[str]
    expires_at: AwareDatetime


class PageLinkRequest(BaseModel):
    """A link to make, to the customer page of an organization."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    organization_id: Annotated[str, Field(min_length=1, max_length=200)]
    expires_in_days: Annotated[StrictInt, Field(ge=1, le=MOST_LINK_DAYS)] = DEFAULT_LINK_DAYS


class PageLinkAnswer(Part):
    """A link to the customer page: whoever has it can read the page until it expires."""

    as_of: AwareDatetime
    id: Annotated[str, Field(description="Names the link, so that it can be revoked. It opens nothing.")]
    url: str
    organization_id: str
    expires_at: AwareDatetime


class ProblemDetails(BaseModel):
    """An error (RFC 9457)."""

    title: str
    status: int
    detail: str

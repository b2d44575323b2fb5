"""A month's usage by day and product, app or region adds up to the cent, in every direction and in every split."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from fly_billing.money import share_out_cents
from fly_billing.statements.rules.daily_costs import NO_LABEL, OTHER_LABEL, DailyCosts, UsageOfLabel, explore
from fly_billing.statements.rules.spend import SpendItem, SpendShare, UsagePart, split_by_dimension
from fly_billing.statements.rules.statement import StatementItem
from tests.support.builders import SEPTEMBER


def item(name: str, amount: str, cents: int, product: str = "Machines", kind: str = "usage") -> StatementItem:
    return StatementItem(product, name, "", amount, cents, kind=kind, organization_id="acme", id=name)


def usage(name: str, place: int = NO_LABEL, **by_day: str) -> UsageOfLabel:
    days = [int(day[1:]) for day in by_day]
    return UsageOfLabel(name, place, days, [Decimal(quantity) for quantity in by_day.values()])


def cents_of(costs: DailyCosts, day: int) -> dict[str | None, int]:
    """Return the cents of a day by label; `other` for the column of all others."""
    labels = ["other" if column.is_other else column.label for column in costs.columns]
    return dict(zip(labels, costs.days[day - 1].cents, strict=True))


def test_an_amount_is_split_by_the_quantity_of_each_day() -> None:
    """Machines cost $4.00: 3 of 4 hours on the 1st. Traffic of $1.00 was on the 30th."""
    items = [item("a", "4", 400), item("b", "1", 100, "Traffic")]
    costs = explore("product", items, [usage("a", d1="3", d2="1"), usage("b", d30="7")], (), SEPTEMBER, "USD")
    assert [(column.label, column.total_cents) for column in costs.columns] == [("Machines", 400), ("Traffic", 100)]
    assert [cents_of(costs, day) for day in (1, 2, 30)] == [
        {"Machines": 300, "Traffic": 0},
        {"Machines": 100, "Traffic": 0},
        {"Machines": 0, "Traffic": 100},
    ]
    assert (len(costs.days), costs.days[0].day, costs.outside) == (30, date(2026, 9, 1), ())


def test_the_eighth_product_and_all_smaller_ones_are_one_column() -> None:
    """Nine products of $9, $8, ... $1: seven have a column, and $2 + $1 are the others."""
    items = [item(str(n), str(n), n * 100, f"Product {n}") for n in range(1, 10)]
    costs = explore("product", items, [usage(str(n), d1="1") for n in range(1, 10)], (), SEPTEMBER, "USD")
    assert [column.label for column in costs.columns] == [f"Product {n}" for n in range(9, 2, -1)] + [None]
    assert (costs.columns[-1].is_other, costs.columns[-1].total_cents) == (True, 300)


def test_usage_by_app_has_a_column_for_usage_without_an_app() -> None:
    """$6.00 by 6 hours: 3 of web, 2 of another app, 1 without an app."""
    shares = [SpendShare("web", 300), SpendShare("tiny", 200), SpendShare(None, 100)]
    rows = [usage("a", 1, d1="3"), usage("a", 2, d1="1", d2="1"), usage("a", NO_LABEL, d2="1")]
    costs = explore("app", [item("a", "6", 600)], rows, shares, SEPTEMBER, "USD")
    assert [(column.label, column.is_other, column.total_cents) for column in costs.columns] == [
        ("web", False, 300), ("tiny", False, 200), (None, False, 100),
    ]  # fmt: skip
    assert [cents_of(costs, day) for day in (1, 2)] == [
        {"web": 300, "tiny": 100, None: 0}, {"web": 0, "tiny": 100, None: 100},
    ]  # fmt: skip


def test_what_has_no_day_is_listed_by_its_kind_and_a_refund_below_zero_lowers_the_total() -> None:
    items = [
        item("a", "6", 600), item("flat", "5", 500), item("plan", "29", 2_900, kind="subscription"),
        item("setup", "1000", 100_000, kind="one_off"), item("refund", "-10", -1_000, kind="one_off"),
        item("late", "0.5", 50, kind="adjustment"), item("off", "-1", -100, kind="discount"),
        item("vat", "2", 200, kind="tax"),
    ]  # fmt: skip
    costs = explore("product", items, [usage("a", d1="1")], (), SEPTEMBER, "USD")
    assert costs.outside == (
        ("Usage without a day", 500), ("Recurring fees", 2_900), ("One-off items", 99_000),
        ("Corrections of earlier months", 50), ("Discounts, minimums, credits and taxes", 100),
    )  # fmt: skip
    assert (costs.usage_cents, costs.total_cents) == (600, 600 + 500 + 2_900 + 99_000 + 50 + 100)


def test_usage_below_zero_is_an_amount_below_zero_on_its_day() -> None:
    """A correction of the platform took back 1 of 3 hours on the 2nd: $3.00 and -$1.00."""
    costs = explore("product", [item("a", "2", 200)], [usage("a", d1="3", d2="-1")], (), SEPTEMBER, "USD")
    assert [cents_of(costs, day)["Machines"] for day in (1, 2)] == [300, -100]


def test_days_that_no_month_has_are_usage_without_a_day() -> None:
    costs = explore("product", [item("a", "2", 200)], [usage("a", d1="1", d31="1")], (), SEPTEMBER, "USD")
    assert (costs.usage_cents, costs.outside) == (100, (("Usage without a day", 100),))


def test_a_cent_of_the_invoices_rounding_is_on_a_day_with_usage() -> None:
    """$3.00 on the 15th, to which the invoice's rounding gave a cent; and free usage that got one."""
    costs = explore("product", [item("a", "3", 301)], [usage("a", d15="1")], (), SEPTEMBER, "USD")
    assert [day.day.day for day in costs.days if day.total_cents] == [15]
    assert costs.total_cents == 301
    free = explore("product", [item("a", "0", 1)], [usage("a", d15="1")], (), SEPTEMBER, "USD")
    assert (free.usage_cents, free.outside) == (0, (("Usage without a day", 1),))


def test_usage_that_changed_since_the_statement_was_read_changes_no_total() -> None:
    """The statement gave web $1.00 of $6.00; by the usage now, all of it is web's."""
    shares = [SpendShare("web", 100), SpendShare(None, 500)]
    costs = explore("app", [item("a", "6", 600)], [usage("a", 1, d1="1")], shares, SEPTEMBER, "USD")
    assert costs.total_cents == 600


AMOUNTS = st.lists(st.decimals(0, 40, places=5), min_size=1, max_size=6)
PLACES = st.lists(
    st.tuples(st.integers(1, 30), st.sampled_from(["ams", "fra", "iad", None]), st.integers(1, 50)),
    min_size=1, max_size=25,
)  # fmt: skip


@given(AMOUNTS, st.data())
def test_days_and_columns_add_up_and_a_day_is_the_same_in_every_split(
    amounts: list[Decimal], data: st.DataObject
) -> None:
    # The invoice's rounding may give a cent more or less to an item than its own amount has.
    cents = [part + data.draw(st.integers(-1, 1)) for part in share_out_cents(amounts, "USD")]
    items = [
        item(str(n), str(amount), part, f"Product {n % 3}")
        for n, (amount, part) in enumerate(zip(amounts, cents, strict=True))
    ]
    used = {each.id: data.draw(PLACES) for each in items}
    spent = [
        SpendItem(
            "usage", each.product, "acme", Decimal(each.amount), each.amount_cents,
            [UsagePart({"region": region}, Decimal(quantity)) for _, region, quantity in used[each.id]],
        )
        for each in items
    ]  # fmt: skip
    shares = split_by_dimension(spent, "region", "USD")
    labels = [share.label for share in shares if share.label]
    by_region = [
        UsageOfLabel(name, labels.index(region) + 1 if region else NO_LABEL, [day], [Decimal(quantity)])
        for name, rows in used.items()
        for day, region, quantity in rows
    ]
    by_product = [UsageOfLabel(row.item_id, NO_LABEL, row.days, row.quantities) for row in by_region]
    one, two = (
        explore("region", items, by_region, shares, SEPTEMBER, "USD"),
        explore("product", items, by_product, (), SEPTEMBER, "USD"),
    )
    assert one.total_cents == two.total_cents == sum(cents)
    assert [day.total_cents for day in one.days] == [day.total_cents for day in two.days]
    for costs in (one, two):
        assert [column.total_cents for column in costs.columns] == [
            sum(day.cents[n] for day in costs.days) for n in range(len(costs.columns))
        ]
    known = {share.label: share.amount_cents for share in shares}
    # Regions that share no day can't exchange cents: they may miss the table "By region" by those of the rounding.
    for column in one.columns:
        assert abs(column.total_cents - known[column.label]) <= 1 + len(items)
    assert OTHER_LABEL not in {row.place for row in by_region}

"""A plan has the differences between files and database, and nothing else. Removing a line ends what has begun."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.pricing.rules.book_difference import FieldChange
from fly_billing.workspace.rules.planning import PlannedChange, judged, make_plan
from fly_billing.workspace.rules.records import KINDS, HeldRecord, Record, key_of

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
USE = "final invoice number 3 of acme for 2026-10"


def held(kind: str, key: str, /, *, is_owned: bool = True, **values: Any) -> HeldRecord:
    return HeldRecord(kind, key, key, values, is_owned)


def wanted(kind: str, key: str, /, **values: Any) -> Record:
    return Record(kind, key, values, key)


def plan_of(files: Sequence[Record], database: Sequence[HeldRecord]) -> list[PlannedChange]:
    return list(make_plan(files, database, NOW).changes)


def ending(record: HeldRecord, *others: HeldRecord, files: Sequence[Record] = ()) -> tuple[str, list[FieldChange]]:
    """Return what becomes of a record without a line."""
    (change,) = [change for change in plan_of(files, [record, *others]) if change.key == record.key]
    return change.action, list(change.fields)


def test_a_subscription_without_a_line_ends_now_and_one_that_has_not_begun_never_begins() -> None:
    running = held("subscription", "a", organization="acme", started_at="2026-01-01", ended_at=None)
    assert ending(running) == ("ended", [FieldChange("ended_at", None, "2026-11-30 12:00:00")])
    ends_later = replace(running, values={**running.values, "ended_at": "2027-01-01"})
    assert ending(ends_later) == ("ended", [FieldChange("ended_at", "2027-01-01", "2026-11-30 12:00:00")])
    future = replace(running, values={**running.values, "started_at": "2026-12-01"})
    assert ending(future) == ("removed", [])


def test_a_line_of_something_that_ended_can_go_without_any_effect() -> None:
    ended = held("subscription", "a", organization="acme", started_at="2026-01-01", ended_at="2026-11-30 12:00:00")
    assert ending(ended) == ("released", [])
    discount = held("discount", "d", organization="acme", first_month="2026-01", last_month="2026-11")
    assert ending(discount) == ("released", [])


@pytest.mark.parametrize(
    ("first", "others", "action", "is_refused"),
    [
        ("2026-11", [], "removed", False),  # in this month: it was a mistake
        ("2026-10", [], "removed", True),
        ("2026-01", ["2026-12"], "removed", True),  # November would have no location, and no tax
        ("2026-01", ["2026-11"], "released", False),
        ("2026-10", ["2026-01"], "removed", True),
    ],
)
def test_a_tax_status_can_go_when_a_later_one_has_begun(
    first: str, others: list[str], action: str, is_refused: bool
) -> None:
    """It has no end: without its row, invoices that are not final would have no taxes."""
    status = held("tax customer", "s", organization="acme", first_month=first, location="DE", kind=None)
    files = [wanted("tax customer", f"s{month}", **{**status.values, "first_month": month}) for month in others]
    of_labs = wanted("tax customer", "labs", **{**status.values, "organization": "labs", "first_month": "2026-11"})
    (change,) = [change for change in plan_of([*files, of_labs], [status]) if change.key == "s"]
    assert (change.action, change.refused is not None) == (action, is_refused)


@pytest.mark.parametrize("kind", ["discount", "commitment", "tax", "link"])
def test_a_monthly_term_without_a_line_ends_with_the_current_month(kind: str) -> None:
    record = held(kind, "d", organization="acme", first_month="2026-11", last_month=None)
    assert ending(record) == ("ended", [FieldChange("last_month", None, "2026-11")])
    assert ending(replace(record, values={**record.values, "first_month": "2026-12"})) == ("removed", [])


def test_prepaid_credit_is_not_lost_with_its_line() -> None:
    promotion = held("credit", "c", organization="acme", granted_at="2026-01-01", expires_at=None, pays="net")
    (change,) = plan_of([], [promotion])
    assert (change.action, change.refused) == ("ended", None)
    (change,) = plan_of([], [replace(promotion, values={**promotion.values, "pays": "gross"})])
    assert change.refused == "what is left of it was paid for and would be lost: give it an expires_at"


def test_what_somebody_else_added_is_never_ended() -> None:
    others = held("subscription", "a", is_owned=False, organization="acme", started_at="2026-01-01", ended_at=None)
    assert plan_of([], [others]) == []


def test_a_record_that_exists_is_taken_over_with_the_values_of_the_files() -> None:
    others = held("subscription", "a", is_owned=False, organization="acme", quantity="1", started_at="2026-01-01")
    same = wanted("subscription", "a", organization="acme", quantity="1", started_at="2026-01-01")
    assert [change.action for change in plan_of([same], [others])] == ["taken over"]
    (change,) = plan_of([replace(same, values={**same.values, "quantity": "2"})], [others])
    assert (change.action, change.fields) == ("changed", [FieldChange("quantity", "1", "2")])


def test_two_workspaces_never_have_one_record() -> None:
    theirs = HeldRecord("coupon", "TEN", "TEN", {"percent": "10"}, is_owned=False, other_owner="other")
    (change,) = plan_of([wanted("coupon", "TEN", percent="10")], [theirs])
    assert change.refused == "it belongs to other: name it in one of them"


def test_a_price_version_that_a_later_one_follows_ends_when_that_one_begins() -> None:
    old = held("price", "p/1", book="main", key="p", effective_from="2026-01-01", effective_until=None)
    later = wanted("price", "p/2", book="main", key="p", effective_from="2027-01-01", effective_until=None)
    begun = wanted("price", "p/2", book="main", key="p", effective_from="2026-06-01", effective_until=None)
    other = wanted("price", "q/1", book="main", key="q", effective_from="2027-01-01", effective_until=None)
    now = "2026-11-30 12:00:00"
    assert ending(old, files=[later]) == ("ended", [FieldChange("effective_until", None, "2027-01-01")])
    assert ending(old, files=[begun]) == ("ended", [FieldChange("effective_until", None, now)])
    assert ending(old, files=[other]) == ("ended", [FieldChange("effective_until", None, now)])


def test_a_tax_of_a_book_ends_in_the_month_before_the_next_version() -> None:
    old = held("book tax", "v/1", book="main", key="vat", first_month="2026-01", last_month=None)
    later = wanted("book tax", "v/2", book="main", key="vat", first_month="2027-02", last_month=None)
    assert ending(old, files=[later]) == ("ended", [FieldChange("last_month", None, "2027-01")])


def test_a_price_book_is_not_ended_while_an_organization_is_billed_by_it() -> None:
    price = held("price", "main/p/1", book="main", key="p", effective_from="2026-01-01", effective_until=None)
    acme = wanted("organization", "acme", name="Acme", price_book="main")
    changes = {change.key: change.refused for change in plan_of([acme], [price])}
    assert changes["main/p/1"] == "acme is billed by price book main, which is gone from price_book/"
    other = wanted("organization", "acme", name="Acme", price_book="other")
    assert {change.key: change.refused for change in plan_of([other], [price])}["main/p/1"] is None


def test_meters_stay_and_charges_without_a_line_are_removed() -> None:
    assert ending(held("meter", "requests")) == ("released", [])
    assert ending(held("charge", "c", organization="acme")) == ("removed", [])


def test_an_organization_without_a_line_closes_with_its_subscriptions_and_keeps_its_taxes() -> None:
    acme = held("organization", "acme", name="Acme", closed_at=None)
    fee = held("subscription", "a", organization="acme", started_at="2026-01-01", ended_at=None)
    tax = held("tax", "t", organization="acme", first_month="2026-01", last_month=None)
    least = held("commitment", "c", organization="acme", first_month="2026-01", last_month=None, months=12)
    changes = {change.key: change for change in plan_of([], [acme, fee, tax, least])}
    actions = {key: change.action for key, change in changes.items()}
    assert actions == {"acme": "ended", "a": "ended", "t": "released", "c": "ended"}
    assert changes["c"].fields == ()  # it ends with its period of months


def test_a_closed_organization_without_a_line_stays_closed_and_gets_no_term() -> None:
    acme = held("organization", "acme", name="Acme", closed_at="2026-10-01")
    assert ending(acme) == ("released", [])
    new = wanted("subscription", "a", organization="acme", started_at="2026-11-01")
    changes = plan_of([wanted("organization", "acme", name="Acme"), new], [acme])
    assert [change.refused for change in changes] == [
        "acme closed its account on 2026-10-01: remove its lines, or `fly-billing org reopen acme` first"
    ] * 2


def test_the_row_of_an_organization_that_a_command_closed_is_refused_and_not_unchanged() -> None:
    """The file says that it is a customer, and the database that it is none. It may close later, in January."""
    closed, closes = (held("organization", "acme", name="Acme", closed_at=day) for day in ("2026-10-01", "2027-01-01"))
    row = wanted("organization", "acme", name="Acme")
    (change,) = plan_of([row], [closed])
    assert (change.fields, bool(change.refused)) == ([FieldChange("closed_at", "2026-10-01", None)], True)
    (change,) = plan_of([row], [replace(closed, is_owned=False)])
    assert change.refused is not None
    assert plan_of([row], [closes]) == []


def test_an_organization_keeps_what_the_file_has_no_column_for() -> None:
    acme = held("organization", "acme", name="Acme", email="a@b.example", closed_at=None)
    assert plan_of([wanted("organization", "acme", name="Acme")], [acme]) == []


def test_a_used_record_can_end_and_other_changes_of_it_are_refused_with_what_to_do() -> None:
    more = PlannedChange("changed", "subscription", "a", "acme", [FieldChange("quantity", "1", "2")], "a")
    assert judged(more, None).refused is None
    assert judged(more, USE).refused == (
        f"quantity can't change, as {USE} used it: set its ended_at, and add another one from then on"
    )
    ended = replace(more, fields=[FieldChange("ended_at", None, "2026-11-30"), FieldChange("billed", "a", "b")])
    assert (judged(ended, USE).refused, judged(ended, USE).used_by) == (None, USE)


def test_a_charge_that_a_final_invoice_has_stays_although_its_line_is_gone() -> None:
    gone = PlannedChange("removed", "charge", "c", "acme", (), "c")
    assert judged(gone, USE).action == "released"
    assert judged(gone, None).action == "removed"


@pytest.mark.parametrize(
    ("lost", "of", "percent", "is_refused"),
    [(1, 3, 10, False), (2, 20, 10, False), (3, 20, 10, True), (2, 2, 100, False), (2, 3, 0, True)],
)
def test_closing_more_than_a_share_of_the_organizations_is_suspicious(
    lost: int, of: int, percent: int, is_refused: bool
) -> None:
    organizations = [held("organization", f"o{number}", name="O", closed_at=None) for number in range(of)]
    files = [wanted("organization", record.key, name="O") for record in organizations[lost:]]
    reason = make_plan(files, organizations, NOW).loss(percent)
    assert (reason is not None) == is_refused
    if lost == 3:
        assert reason == "it closes 3 of 20 organizations, more than 10 %"


@pytest.mark.parametrize(
    ("lost", "of", "percent", "is_refused"),
    [(5, 5, 10, False), (6, 60, 10, False), (6, 59, 10, True), (10, 10, 100, False)],
)
def test_ending_more_than_a_share_of_the_terms_is_suspicious(
    lost: int, of: int, percent: int, is_refused: bool
) -> None:
    """The rest of a file was lost, for example. Terms that ended before do not count."""
    fees = [
        held("subscription", f"s{number}", organization="acme", started_at="2026-01-01", ended_at=None)
        for number in range(of)
    ]
    files = [wanted("subscription", record.key, **record.values) for record in fees[lost:]]
    over = [
        replace(record, values={**record.values, "ended_at": "2026-02-01"}, id=f"old {record.id}") for record in fees
    ]
    reason = make_plan(files, [*fees, *over], NOW).loss(percent)
    assert reason == (f"it ends {lost} of {of} terms, more than {percent} %" if is_refused else None)


def test_the_subscriptions_of_an_organization_that_closes_are_not_suspicious_by_themselves() -> None:
    acme = held("organization", "acme", name="Acme", closed_at=None)
    fees = [
        held("subscription", f"s{number}", organization="acme", started_at="2026-01-01", ended_at=None)
        for number in range(9)
    ]
    assert make_plan([], [acme, *fees], NOW).loss(10) is None


NAMES = st.sampled_from(["acme", "labs", "finch"])
STARTS = st.sampled_from(["2026-01-01", "2026-11-30 11:59:59", "2026-11-30 12:00:00", "2027-01-01"])
MONTHS = st.sampled_from(["2026-01", "2026-10", "2026-11", "2026-12"])
AMOUNTS = st.sampled_from(["1", "2", "2.5"])


def _subscription(name: str, price: str, start: str, quantity: str) -> Record:
    values = {"organization": name, "price": price, "started_at": start, "ended_at": None, "quantity": quantity}
    return wanted("subscription", key_of(name, price, start), **values)


def _discount(name: str, coupon: str, first: str) -> Record:
    values = {"organization": name, "coupon": coupon, "first_month": first, "last_month": None}
    return wanted("discount", key_of(name, coupon, first), **values)


def _charge(name: str, text: str, amount: str) -> Record:
    return wanted("charge", key_of(name, text), organization=name, description=text, amount=amount)


def _coupon(code: str, percent: str) -> Record:
    return wanted("coupon", code, code=code, percent=percent, redeem_by=None)


def _price(key: str, start: str, amount: str) -> Record:
    values = {"book": "main", "key": key, "effective_from": start, "effective_until": None, "unit_amount": amount}
    return wanted("price", key_of("main", key, start), **values)


RECORDS = st.one_of(
    st.builds(_subscription, NAMES, st.sampled_from(["pro", "support"]), STARTS, AMOUNTS),
    st.builds(_discount, NAMES, st.sampled_from(["TEN", "FIVE"]), MONTHS),
    st.builds(_charge, NAMES, st.sampled_from(["setup", "training"]), AMOUNTS),
    st.builds(_coupon, st.sampled_from(["TEN", "FIVE"]), AMOUNTS),
    st.builds(_price, st.sampled_from(["pro", "requests"]), STARTS, AMOUNTS),
)
FILES = st.lists(RECORDS, max_size=12, unique_by=lambda record: (record.kind, record.key))


def applied(files: Sequence[Record], database: Sequence[HeldRecord]) -> list[HeldRecord]:
    """Return the database after an apply, as the plan says and no more."""
    rows = {(record.kind, record.id): record for record in database}
    values = {(record.kind, record.key): record for record in files}
    for change in plan_of(files, database):
        name = change.kind, change.id or change.key
        if change.action in ("added", "taken over", "changed"):
            record = values[change.kind, change.key]
            rows[name] = HeldRecord(record.kind, record.key, name[1], record.values, is_owned=True)
        elif change.action == "removed":
            del rows[name]
        else:
            after: Mapping[str, Any] = {field.field: field.after for field in change.fields}
            rows[name] = replace(rows[name], values={**rows[name].values, **after}, is_owned=False)
    return list(rows.values())


@given(FILES, FILES)
def test_applying_twice_changes_nothing(first: list[Record], second: list[Record]) -> None:
    database = applied(second, applied(first, []))
    assert plan_of(second, database) == []
    assert make_plan(second, database, NOW).unchanged == len(second)


@given(FILES, st.data())
def test_after_an_edit_the_plan_shows_exactly_that_edit(files: list[Record], data: st.DataObject) -> None:
    database = applied(files, [])
    new = data.draw(RECORDS)
    others = [record for record in files if (record.kind, record.key) != (new.kind, new.key)]
    before = next((record for record in files if record not in others), None)
    changes = plan_of([*others, new], database)
    if before == new:
        assert changes == []
    elif before is None:
        assert [(change.action, change.kind, change.key) for change in changes] == [("added", new.kind, new.key)]
        shown = {field.field: field.after for field in changes[0].fields}
        assert shown == {name: value for name, value in new.values.items() if value is not None}
    else:
        (field,) = (name for name, value in new.values.items() if value != before.values[name])
        assert [(change.action, change.key, change.fields) for change in changes] == [
            ("changed", new.key, [FieldChange(field, before.values[field], new.values[field])])
        ]


@given(FILES.filter(bool), st.data())
def test_a_removed_line_is_the_only_change_and_nothing_begun_is_deleted(
    files: list[Record], data: st.DataObject
) -> None:
    database = applied(files, [])
    gone = data.draw(st.sampled_from(files))
    (change,) = plan_of([record for record in files if record is not gone], database)
    assert (change.kind, change.key) == (gone.kind, gone.key)
    start = gone.values.get(KINDS[gone.kind].start or "", "")
    has_begun = start < "2026-11-30 12:00:00"
    assert change.action == ("removed" if gone.kind == "charge" or not has_begun else "ended")


@given(FILES, FILES)
def test_the_plan_does_not_depend_on_the_order_of_the_files(first: list[Record], second: list[Record]) -> None:
    database = applied(first, [])
    forward, backward = plan_of(second, database), plan_of(second[::-1], database[::-1])
    assert sorted(forward, key=str) == sorted(backward, key=str)

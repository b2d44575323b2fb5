"""Invoices and their lines: the life of an invoice, order, paging, limits, and the changes that a draft allows."""

from collections.abc import Callable
from typing import Any

import pytest
import stripe

from fly_billing.stripe_sandbox import SandboxControl

Draft = Callable[..., stripe.Invoice]


def line_count(invoice: Any) -> int:
    """Return `lines.total_count`, which Stripe sends and stripe-python's types leave out."""
    return int(invoice.lines.total_count)


def lines_of(count: int, start: int = 1) -> Any:
    return [{"amount": 1, "description": f"line {n}", "metadata": {"n": str(n)}} for n in range(start, start + count)]


def test_an_invoice_is_created_filled_twice_and_finalized(client: stripe.StripeClient) -> None:
    invoice = client.v1.invoices.create(
        {
            "customer": "cus_1234",
            "currency": "usd",
            "auto_advance": False,
            "pending_invoice_items_behavior": "exclude",
            "metadata": {"invoice_id": "our-1"},
        }
    )
    assert (invoice.status, invoice.total, invoice.number) == ("draft", 0, None)

    client.v1.invoices.add_lines(invoice.id, {"lines": [{"amount": 1200, "description": "VM usage"}]})
    filled = client.v1.invoices.add_lines(invoice.id, {"lines": [{"amount": 2345, "description": "VM Network usage"}]})
    assert (filled.total, filled.currency, line_count(filled)) == (3545, "usd", 2)

    final = client.v1.invoices.finalize_invoice(invoice.id)
    assert (final.status, final.total, final.amount_due, final.amount_remaining) == ("open", 3545, 3545, 3545)
    assert final.number is not None
    assert final.status_transitions.finalized_at is not None
    assert final.to_dict()["metadata"] == {"invoice_id": "our-1"}


def test_lines_keep_the_order_in_which_they_were_added(client: stripe.StripeClient, draft: Draft) -> None:
    invoice = draft()
    client.v1.invoices.add_lines(invoice.id, {"lines": lines_of(12)})
    client.v1.invoices.add_lines(invoice.id, {"lines": lines_of(12, start=13)})
    listed = client.v1.invoices.line_items.list(invoice.id, {"limit": 100})
    assert [line.to_dict()["metadata"]["n"] for line in listed.data] == [str(n) for n in range(1, 25)]


def test_added_lines_come_first_if_the_setting_says_so(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    control.settings(added_lines_come_first=True)
    assert [line.description for line in draft(1, 2, 3).lines.data] == ["line 3", "line 2", "line 1"]


def test_an_invoice_shows_its_first_ten_lines_and_has_more(client: stripe.StripeClient, draft: Draft) -> None:
    invoice = client.v1.invoices.add_lines(draft().id, {"lines": lines_of(11)})
    assert (len(invoice.lines.data), invoice.lines.has_more, line_count(invoice)) == (10, True, 11)
    assert len(list(invoice.lines.auto_paging_iter())) == 11


def test_lines_page_forwards_and_backwards(client: stripe.StripeClient, draft: Draft) -> None:
    invoice = client.v1.invoices.add_lines(draft().id, {"lines": lines_of(7)})
    lines = client.v1.invoices.line_items
    first = lines.list(invoice.id, {"limit": 3})
    second = lines.list(invoice.id, {"limit": 3, "starting_after": first.data[-1].id})
    assert [line.description for line in second.data] == ["line 4", "line 5", "line 6"]
    back = lines.list(invoice.id, {"limit": 2, "ending_before": second.data[0].id})
    assert [line.description for line in back.data] == ["line 2", "line 3"]
    assert (first.has_more, second.has_more, back.has_more) == (True, True, True)


def test_the_251st_line_is_refused_with_all_lines_of_its_call(client: stripe.StripeClient, draft: Draft) -> None:
    invoice = draft()
    for size in (100, 100, 49):
        client.v1.invoices.add_lines(invoice.id, {"lines": lines_of(size)})
    with pytest.raises(stripe.InvalidRequestError, match="250 line items"):
        client.v1.invoices.add_lines(invoice.id, {"lines": lines_of(2)})
    full = client.v1.invoices.add_lines(invoice.id, {"lines": lines_of(1)})
    assert (line_count(full), full.total) == (250, 250)


def test_one_call_accepts_no_more_lines_than_the_setting_allows(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="up to 100 lines"):
        client.v1.invoices.add_lines(draft().id, {"lines": lines_of(101)})
    control.settings(max_lines_per_call=101)
    assert client.v1.invoices.add_lines(draft().id, {"lines": lines_of(101)}).total == 101


def test_a_finalized_invoice_accepts_no_change_except_to_metadata(client: stripe.StripeClient, draft: Draft) -> None:
    invoice = client.v1.invoices.finalize_invoice(draft(500).id)
    with pytest.raises(stripe.InvalidRequestError, match="no longer editable") as refused:
        client.v1.invoices.add_lines(invoice.id, {"lines": lines_of(1)})
    assert (refused.value.code, refused.value.http_status) == ("invoice_not_editable", 400)
    with pytest.raises(stripe.InvalidRequestError, match="Finalized invoices can't be updated"):
        client.v1.invoices.update(invoice.id, {"description": "too late"})
    with pytest.raises(stripe.InvalidRequestError, match="re-finalize"):
        client.v1.invoices.finalize_invoice(invoice.id)
    with pytest.raises(stripe.InvalidRequestError, match="only delete draft"):
        client.v1.invoices.delete(invoice.id)
    noted = client.v1.invoices.update(invoice.id, {"metadata": {"seen": "yes"}})
    assert noted.to_dict()["metadata"] == {"seen": "yes"}


def test_lines_of_a_draft_can_be_changed_and_removed(client: stripe.StripeClient, draft: Draft) -> None:
    first, second, third = draft(100, 200, 300).lines.data
    assert first.invoice is not None
    changed = client.v1.invoices.update_lines(first.invoice, {"lines": [{"id": second.id, "amount": 250}]})
    assert changed.total == 650
    line = client.v1.invoices.line_items.update(first.invoice, first.id, {"amount": 110})
    assert (line.object, line.amount) == ("line_item", 110)
    left = client.v1.invoices.remove_lines(
        first.invoice, {"lines": [{"id": first.id, "behavior": "delete"}, {"id": third.id, "behavior": "unassign"}]}
    )
    assert (left.total, line_count(left)) == (250, 1)
    pending = client.v1.invoice_items.list({"customer": "cus_1234", "pending": True})
    assert [item.amount for item in pending.data] == [300]


def test_a_line_can_be_priced_by_quantity_and_unit_amount(client: stripe.StripeClient, draft: Draft) -> None:
    priced: Any = {"price_data": {"currency": "usd", "unit_amount_decimal": "1.5"}, "quantity": 3}
    invoice = client.v1.invoices.add_lines(draft().id, {"lines": [priced]})
    assert (invoice.total, invoice.lines.data[0].quantity) == (5, 3)
    with pytest.raises(stripe.InvalidRequestError, match="only specify one of these parameters: amount, quantity"):
        client.v1.invoices.add_lines(invoice.id, {"lines": [{"amount": 1, "quantity": 2}]})


def test_a_draft_can_be_updated_and_deleted(client: stripe.StripeClient, draft: Draft) -> None:
    invoice = draft(100, metadata={"a": "1", "b": "2"})
    client.v1.invoices.update(invoice.id, {"description": "August", "metadata": {"a": "", "c": "3"}, "number": "A-1"})
    again = client.v1.invoices.retrieve(invoice.id)
    assert (again.description, again.number, again.to_dict()["metadata"]) == ("August", "A-1", {"b": "2", "c": "3"})
    assert client.v1.invoices.delete(invoice.id).deleted is True
    with pytest.raises(stripe.InvalidRequestError, match="No such invoice") as missing:
        client.v1.invoices.retrieve(invoice.id)
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")


def test_invoices_are_listed_newest_first_by_customer_status_and_time(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    control.seed_customer("cus_other")
    client.v1.invoices.create({"customer": "cus_other"})
    first = draft(100)
    control.advance_clock(3600)
    later = [draft().id for _ in range(11)]
    client.v1.invoices.finalize_invoice(first.id)

    page = client.v1.invoices.list({"customer": "cus_1234"})
    assert ([invoice.id for invoice in page.data], page.has_more) == (later[::-1][:10], True)
    rest = client.v1.invoices.list({"customer": "cus_1234", "starting_after": page.data[-1].id})
    assert ([invoice.id for invoice in rest.data], rest.has_more) == ([later[0], first.id], False)
    back = client.v1.invoices.list({"customer": "cus_1234", "ending_before": rest.data[0].id, "limit": 2})
    assert [invoice.id for invoice in back.data] == [later[2], later[1]]
    assert [invoice.id for invoice in client.v1.invoices.list({"status": "open"}).data] == [first.id]
    since = client.v1.invoices.list({"customer": "cus_1234", "created": {"gt": first.created}, "limit": 100})
    assert len(since.data) == 11
    until = client.v1.invoices.list({"customer": "cus_1234", "created": {"lte": first.created}})
    assert [invoice.id for invoice in until.data] == [first.id]
    assert len(list(page.auto_paging_iter())) == 12


def test_no_page_is_longer_than_a_hundred(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="less than or equal to 100"):
        client.v1.invoices.list({"limit": 101})
    with pytest.raises(stripe.InvalidRequestError, match="No such invoice"):
        client.v1.invoices.list({"starting_after": "in_gone"})


def test_an_invoice_sent_to_the_customer_needs_a_due_date(client: stripe.StripeClient, draft: Draft) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="you must specify 'due_date' or 'days_until_due'"):
        draft(collection_method="send_invoice")
    invoice = draft(collection_method="send_invoice", days_until_due=30)
    assert invoice.due_date == invoice.created + 30 * 86_400


def test_an_automatic_draft_finalizes_itself_after_an_hour_half_filled_or_not(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    invoice = draft(900, auto_advance=True)
    assert invoice.automatically_finalizes_at == invoice.created + 3601
    assert control.advance_clock(3599)["finalized_drafts"] == 0
    assert control.advance_clock(10)["finalized_drafts"] == 1
    assert client.v1.invoices.retrieve(invoice.id).status == "open"

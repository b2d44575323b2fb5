"""An edited line whose record before still applies is refused: both would be billed. Other new lines are added."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from fly_billing.workspace.rules.edited_keys import refuse_edited_keys
from fly_billing.workspace.rules.planning import judged, make_plan
from fly_billing.workspace.rules.records import HeldRecord, Record

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
USE = "final invoice number 3 of acme for 2026-10"
FEE = {"organization": "acme", "price": "support", "started_at": "2026-01-01", "ended_at": None, "quantity": "1"}
TAX = {"organization": "acme", "name": "VAT", "percent": "19", "first_month": "2026-01", "last_month": None}
CHARGE = {"organization": "acme", "description": "Setup", "occurred_at": "2026-10-01", "amount": "7", "unit": "item"}


def refusal(kind: str, before: Mapping[str, Any], used_by: str | None = None, **edited: str) -> str | None:
    """Return why the edited line is refused; `used_by`: the final invoice of the record before."""
    held = [HeldRecord(kind, "before", "before", before, is_owned=True)]
    wanted = [Record(kind, "after", {**before, **edited}, "after")]
    changes = [judged(change, used_by) for change in make_plan(wanted, held, NOW).changes]
    (added,) = [each for each in refuse_edited_keys(changes, wanted, held) if each.action == "added"]
    return added.refused


@pytest.mark.parametrize(
    "edited", [{"price": "plus"}, {"price": "plus", "quantity": "2"}, {"price": "plus", "started_at": "2026-11-15"}]
)
def test_a_subscription_that_takes_the_place_of_another_begins_when_that_one_ends(edited: dict[str, str]) -> None:
    assert refusal("subscription", FEE, **edited) == (
        "it looks like an edit of before, and both would apply until 2026-11-30 12:00:00: begin it after that, or keep"
        " that line with another ended_at"
    )
    assert refusal("subscription", FEE, **edited | {"started_at": "2026-11-30 12:00:00"}) is None


def test_a_tax_that_takes_the_place_of_another_begins_in_the_month_after_it() -> None:
    assert refusal("tax", TAX, name="Sales tax", first_month="2026-11") is not None
    assert refusal("tax", TAX, name="Sales tax", first_month="2026-12") is None


def test_a_line_of_a_record_that_ended_can_be_replaced_only_by_a_later_one() -> None:
    ended = TAX | {"last_month": "2026-06"}
    assert refusal("tax", ended, name="Sales tax", first_month="2026-06") is not None
    assert refusal("tax", ended, name="Sales tax", first_month="2026-07") is None


def test_a_charge_can_be_edited_until_a_final_invoice_has_it() -> None:
    assert refusal("charge", CHARGE, description="Setup fee") is None
    assert refusal("charge", CHARGE, USE, description="Setup fee") == (
        f"it looks like an edit of before, which {USE} has: undo it, or keep both lines if both are meant"
    )


def test_an_organization_keeps_its_id() -> None:
    """Otherwise its charges would be on the last invoice of the one and on the first of the other."""
    acme = {"name": "Acme", "currency": "USD", "price_book": "main", "email": "a@acme.example", "closed_at": None}
    refused = refusal("organization", acme)
    assert refused is not None
    assert refused.startswith("it looks like before with another id, and the terms of both would be billed")
    assert refusal("organization", acme, name="Labs") is None
    assert refusal("organization", acme | {"closed_at": "2026-02-01"}) is None


def test_an_old_line_can_go_while_something_else_is_added() -> None:
    assert refusal("charge", CHARGE, USE, description="Consulting", amount="90") is None
    assert refusal("subscription", FEE, price="plus", quantity="2", billed="in_advance") is None
    assert refusal("subscription", FEE, organization="labs") is None


def test_a_version_of_a_price_follows_another_one_without_a_refusal() -> None:
    price = {"book": "main", "key": "support", "effective_from": "2026-01-01", "effective_until": None}
    assert refusal("price", price, effective_from="2026-06-01") is None
    assert refusal("price", price, key="help") is not None

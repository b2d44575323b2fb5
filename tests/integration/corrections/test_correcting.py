"""A month that is final never changes: late and corrected usage, prices and terms become adjustments, each once."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from fly_billing.corrections.correction import Actor, Correction
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.credit_notes import book_credit_note
from fly_billing.corrections.recalculation import find_corrections
from fly_billing.corrections.reissue import reissue
from fly_billing.corrections.rules.guard import OFF
from fly_billing.errors import ActionableError
from tests.support.builders import (
    CLOSED,
    DAY,
    NOW,
    OCTOBER,
    PRICES,
    SEPTEMBER,
    TERMS,
    Platform,
    at,
    event,
    id_of,
    price,
    write_jsonl,
)

LATER = CLOSED + timedelta(days=10)
ANN = Actor("ann", LATER, "the proxy was late")


@pytest.fixture
def platform(platform: Platform) -> Platform:
    """September is final for acme: 30 requests of 0.10, $3.00."""
    platform.use(event("e1", "30"))
    platform.close()
    return platform


def late(platform: Platform, name: str, quantity: str, **changes: Any) -> None:
    """Usage of September that lands on 13 October."""
    day = LATER.date()
    write_jsonl(platform.landing_dir, [event(name, quantity, **changes)], day, name)
    platform.land(day, now=LATER)
    platform.roll_up(now=LATER)


def corrections(platform: Platform) -> Correction:
    with platform.database.transaction() as connection:
        (found,) = find_corrections(connection, SEPTEMBER, platform.organizations(), platform.usage_table).found
    return found


def correct(platform: Platform) -> Decimal:
    (found,) = correct_month(
        platform.database, SEPTEMBER, platform.organizations(), platform.usage_table, ANN, guard=OFF, with_terms=True
    ).found
    return found.amount


def october(platform: Platform) -> list[tuple[str, str, Decimal]]:
    """Compute October, and list its items."""
    platform.roll_up(OCTOBER, LATER)
    platform.bill(OCTOBER, LATER)
    rows = platform.query(
        "select t.kind, t.description, t.amount from invoice_items as t join invoices as i on i.id = t.invoice_id"
        " where i.month = '2026-10-01' order by t.position"
    )
    return [(row["kind"], row["description"], row["amount"]) for row in rows]


def test_usage_three_weeks_late_is_on_the_next_invoice_once(platform: Platform) -> None:
    late(platform, "e2", "12.5")
    assert correct(platform) == Decimal("1.25")
    assert correct(platform) == 0
    text = "requests as used, 2026-09: 42.5 requests instead of 30 requests (late rows)"
    for _ in range(2):
        assert october(platform) == [("adjustment", text, Decimal("1.25"))]
    (september,) = platform.query("select total_cents, status from invoices where month = '2026-09-01'")
    assert september == {"total_cents": 300, "status": "finalized"}


def test_an_adjustment_is_on_one_invoice_whoever_adds_it(platform: Platform) -> None:
    late(platform, "e2", "12.5")
    assert correct(platform) == Decimal("1.25")
    october(platform)
    columns = "kind, organization_id, product, description, quantity, unit, amount, amount_cents, adjustment_id"
    with pytest.raises(IntegrityError, match="adjustments_are_billed_once"):
        platform.execute(
            f"insert into invoice_items (id, invoice_id, position, {columns})"  # noqa: S608
            f" select gen_random_uuid(), invoice_id, 2, {columns} from invoice_items where kind = 'adjustment'"
        )


def test_showing_the_difference_writes_nothing(platform: Platform) -> None:
    late(platform, "e2", "10")
    assert corrections(platform).amount == 1
    assert platform.query("select * from adjustments") == []
    assert corrections(platform).amount == 1


def test_a_corrected_row_returns_the_excess(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "20")], DAY, "usage")
    platform.land(DAY, now=LATER)
    platform.roll_up(now=LATER)
    (difference,) = corrections(platform).differences
    assert (difference.amount, difference.causes) == (Decimal("-1.0"), ("corrected rows",))
    assert correct(platform) == -1
    assert [amount for _, _, amount in october(platform)] == [Decimal(-1)]


def test_adjusting_twice_charges_the_same_as_adjusting_to_the_last_amount_at_once(platform: Platform) -> None:
    late(platform, "e2", "10")
    assert correct(platform) == 1
    late(platform, "e3", "5")
    assert correct(platform) == Decimal("0.5")
    assert sum(amount for _, _, amount in october(platform)) == Decimal("1.5")


def test_a_wrong_price_is_superseded_and_the_difference_names_the_price(platform: Platform) -> None:
    platform.load(*PRICES, price("requests", "0.08", "requests", unit="request", effective_from=at("2026-09-01")))
    platform.roll_up(now=LATER)
    (difference,) = corrections(platform).differences
    assert (difference.billed, difference.owed, difference.causes) == (Decimal(3), Decimal("2.4"), ("price version",))
    assert correct(platform) == Decimal("-0.6")
    assert correct(platform) == 0


def test_a_fee_that_was_forgotten_is_charged_with_its_cause(platform: Platform) -> None:
    platform.add_subscription("acme", "support", at("2026-09-16"))
    assert correct(platform) == Decimal("14.5")
    assert [(kind, amount) for kind, _, amount in october(platform)] == [
        ("subscription", Decimal(29)),
        ("adjustment", Decimal("14.5")),
    ]


def test_a_late_one_off_item_is_no_difference_because_the_next_invoice_has_it(platform: Platform) -> None:
    platform.add_one_off("acme", "setup", "5.00", at("2026-09-10"))
    assert correct(platform) == 0
    assert [kind for kind, _, _ in october(platform)] == ["one_off"]


def test_a_credit_note_returns_credit_that_the_next_invoice_draws(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "20")], DAY, "usage")
    platform.land(DAY, now=LATER)
    platform.roll_up(now=LATER)
    with platform.database.transaction() as connection:
        assert book_credit_note(connection, corrections(platform), ANN) == 100
    assert correct(platform) == 0
    platform.add_one_off("acme", "setup", "5.00", at("2026-10-10"))
    assert [(kind, amount) for kind, _, amount in october(platform)] == [
        ("one_off", Decimal(5)),
        ("credit", Decimal(-1)),
    ]
    assert platform.query("select number, amount_cents, made_by, why from credit_notes") == [
        {"number": 1, "amount_cents": 100, "made_by": "ann", "why": "the proxy was late"}
    ]


def test_a_credit_note_never_charges(platform: Platform) -> None:
    late(platform, "e2", "10")
    with (
        pytest.raises(ActionableError, match="a credit note can't charge"),
        platform.database.transaction() as connection,
    ):
        book_credit_note(connection, corrections(platform), ANN)


def test_once_adjusted_usage_is_no_longer_reported_as_not_billed(platform: Platform) -> None:
    late(platform, "e2", "10")
    check = {"month": SEPTEMBER.first_day, "groups": platform.organizations()}
    assert len(platform.database.rows("check_late_usage", **check)) == 1
    correct(platform)
    assert platform.database.rows("check_late_usage", **check) == []


def test_an_invoice_that_stripe_does_not_have_is_reissued_under_the_next_revision(platform: Platform) -> None:
    platform.add_one_off("acme", "setup", "5.00", at("2026-09-10"))
    late(platform, "e2", "10")
    done = reissue(platform.database, "acme", SEPTEMBER, TERMS, LATER, "ann", "typing error")
    assert [(invoice.revision, invoice.total_cents) for invoice in done.billed.invoices] == [(1, 900)]
    found = platform.query("select revision, status, total_cents, number from invoices order by revision")
    assert [tuple(row.values()) for row in found] == [(0, "void", 300, 1), (1, "finalized", 900, 2)]
    changes = platform.query("select to_status, changed_by, why from invoice_changes order by id")
    assert [tuple(row.values()) for row in changes] == [
        ("finalized", "manual", "2026-09 is closed"),
        ("void", "ann", "typing error"),
        ("finalized", "ann", "2026-09 is closed"),
    ]


def test_an_invoice_that_stripe_has_is_not_reissued(platform: Platform) -> None:
    platform.execute(
        "insert into stripe_invoices (invoice_id, state, stripe_invoice_id, updated_at, finalized_at)"
        " select id, 'finalized', 'in_1', now(), now() from invoices"
    )
    with pytest.raises(ActionableError, match="may be in Stripe"):
        reissue(platform.database, "acme", SEPTEMBER, TERMS, LATER, "ann")


def test_an_invoice_that_stripe_may_have_finalized_is_not_reissued(platform: Platform) -> None:
    platform.execute(
        "insert into stripe_invoices (invoice_id, state, stripe_invoice_id, updated_at)"
        " select id, 'verified', 'in_1', now() from invoices"
    )
    platform.execute(
        "insert into stripe_attempts (invoice_id, step, generation, idempotency_key, request_hash, sent_at)"
        " select id, 'finalize', 0, 'key', 'hash', now() from invoices"
    )
    with pytest.raises(ActionableError, match="may be in Stripe"):
        reissue(platform.database, "acme", SEPTEMBER, TERMS, LATER, "ann")


def test_an_adjustment_can_neither_be_changed_nor_deleted(platform: Platform) -> None:
    late(platform, "e2", "10")
    correct(platform)
    for statement in ("update adjustments set amount = 0.5", "delete from adjustments"):
        with pytest.raises(Exception, match="adjustments is kept as it was written"):
            platform.execute(statement)


def test_a_discount_is_adjusted_with_the_item_it_reduces(platform: Platform) -> None:
    platform.execute("insert into coupons (code, description, percent) values ('ten', '10 % off', 10)")
    platform.execute(
        "insert into discounts (id, organization_id, coupon_code, first_month, redeemed_at)"
        " values (:id, 'acme', 'ten', '2026-09-01', :now)",
        id=id_of("ten"), now=NOW,
    )  # fmt: skip
    assert correct(platform) == Decimal("-0.3")
    late(platform, "e2", "10")
    found = {
        difference.charge.kind: (difference.amount, difference.causes)
        for difference in corrections(platform).differences
    }
    assert found == {
        "usage": (Decimal("1.0"), ("late rows",)),
        "discount": (Decimal("-0.1"), ("follows from other items",)),
    }
    assert correct(platform) == Decimal("0.9")


def test_a_forgotten_fee_that_was_adjusted_by_mistake_is_returned(platform: Platform) -> None:
    """It is neither on the final invoice nor owed now: only an adjustment charged it."""
    platform.add_subscription("acme", "support", at("2026-09-16"))
    assert correct(platform) == Decimal("14.5")
    platform.execute("update subscriptions set ended_at = started_at")
    (difference,) = corrections(platform).differences
    assert (difference.amount, difference.causes) == (Decimal("-14.5"), ("subscription",))
    assert correct(platform) == Decimal("-14.5")
    assert correct(platform) == 0
    assert sum(amount for _, _, amount in october(platform)) == 0


def test_late_usage_that_was_adjusted_by_mistake_is_returned(platform: Platform) -> None:
    """150 GB of egress, a price that the final invoice does not have: 50 x 0.02."""
    late(platform, "e2", "150", type="egress_gb", region="ams")
    assert correct(platform) == 1
    write_jsonl(platform.landing_dir, [event("e3", "1", subject="beta")], LATER.date(), "e2")
    platform.land(LATER.date(), now=LATER)
    platform.roll_up(now=LATER)
    assert correct(platform) == -1
    assert correct(platform) == 0
    assert [text for _, text, _ in october(platform)] == [
        "egress as used, 2026-09: 0 GB instead of 150 GB (corrected rows)",
        "egress as used, 2026-09: 150 GB instead of 0 GB (late rows)",
    ]

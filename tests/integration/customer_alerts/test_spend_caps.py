"""A cap calls the platform until it acknowledges, and again when the cap is lifted. acme's cap is $100.00 a month."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from fly_billing.alerting.outbox import PostingReport
from fly_billing.alerting.signed_webhook import SignedWebhook
from fly_billing.customer_alerts.evaluation import AlertChannels, AlertTerms, queue_spend_alerts
from fly_billing.customer_alerts.messages import send_customer_messages
from fly_billing.customer_alerts.spend_caps import (
    NAME,
    acknowledge,
    queue_cap_calls,
    remove_cap,
    set_cap,
    spend_caps,
)
from fly_billing.customer_alerts.thresholds import NoSuchThreshold, thresholds
from fly_billing.statements.statement_reader import read_statement
from tests.support.builders import NOW, OCTOBER, SEPTEMBER, Platform, at
from tests.support.named_channels import NamedChannel
from tests.support.platform_endpoint import SECRET, PlatformEndpoint, platform_endpoint
from tests.support.unguarded import damage

OPERATORS = NamedChannel("operators")


@pytest.fixture
def endpoint() -> Iterator[PlatformEndpoint]:
    with platform_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def capped(platform: Platform) -> Platform:
    set_cap(platform.database, "acme", "100")
    return platform


def spend(platform: Platform, amount: str, on: str = "2026-09-10") -> None:
    """Charge acme once more and compute its upcoming invoice."""
    count = platform.query("select count(*) as n from one_off_items")[0]["n"]
    platform.add_one_off("acme", f"charge {count}", amount, at(on))
    platform.compute(OCTOBER if on >= "2026-10" else SEPTEMBER)


def check(platform: Platform, now: datetime = NOW) -> list[str]:
    """Compare the spend with the caps; return the new calls as `state reason`."""
    calls, failed = queue_cap_calls(platform.database, [OPERATORS], now)
    assert failed == []
    return [f"{call.state} {call.reason}" for call in calls]


def send(platform: Platform, endpoint: PlatformEndpoint, patience: float = 5) -> PostingReport:
    """Call the hook with what waits, as if every pause were over."""
    platform.execute("update alerts set next_try_at = now() where taken_at is null and given_up_at is null")
    hook = SignedWebhook(endpoint.url, SECRET, NAME, patience, needs_acknowledgement=True)
    return send_customer_messages(platform.database, AlertChannels([OPERATORS]), hook)


def state(platform: Platform) -> str:
    (cap,) = spend_caps(platform.database)
    return cap.in_words()


def told(endpoint: PlatformEndpoint) -> list[tuple[int, str, str]]:
    return [
        (message["data"]["number"], message["data"]["state"], message["data"]["reason"]) for message in endpoint.once()
    ]


def test_a_month_that_reaches_the_cap_calls_the_platform_once(capped: Platform, endpoint: PlatformEndpoint) -> None:
    spend(capped, "99.99")
    assert check(capped) == []
    spend(capped, "0.01")
    assert [check(capped) for _ in range(2)] == [["reached cap_reached"], []]
    assert send(capped, endpoint).taken == 1
    spend(capped, "50.00")
    assert check(capped) == []
    assert send(capped, endpoint).taken == 0
    ((_, message),) = endpoint.got
    assert message["type"] == "spend_cap.reached"
    assert message["data"] == {
        "organization_id": "acme", "number": 1, "state": "reached", "reason": "cap_reached", "month": "2026-09",
        "currency": "USD", "cap": "100.00", "spent": "100.00",
    }  # fmt: skip
    assert "acknowledged" in state(capped)


@pytest.mark.parametrize("behavior", [204, 500, "text", "other", "drop", "slow", "redirect"])
def test_a_call_is_repeated_with_one_id_until_it_is_acknowledged(
    capped: Platform, endpoint: PlatformEndpoint, behavior: int | str
) -> None:
    spend(capped, "100.00")
    check(capped)
    endpoint.behaviors = [behavior] * 3
    patience = 0.5 if behavior == "slow" else 5.0  # any other answer comes, however busy the machine is
    for _ in range(3):
        assert send(capped, endpoint, patience).taken == 0
        assert check(capped) == []
    assert "not acknowledged, 3 attempts" in state(capped)
    assert send(capped, endpoint).taken == 1
    assert len(set(endpoint.ids())) == 1
    assert len(endpoint.got) == 4


def test_the_pauses_between_calls_grow_to_an_hour_and_never_end(capped: Platform, endpoint: PlatformEndpoint) -> None:
    spend(capped, "100.00")
    check(capped)
    capped.execute("alter table alerts disable trigger refuse_other_change")
    capped.execute("update alerts set made_at = now() - interval '30 days'")
    pauses = []
    endpoint.behaviors = [500] * 9
    for _ in range(9):
        send(capped, endpoint)
        pauses += capped.query(
            "select cast(extract(epoch from next_try_at - now()) as integer) / 30 * 30 as s, given_up_at from alerts"
        )
    assert [round(row["s"] / 60 + 0.49) for row in pauses] == [1, 1, 2, 4, 8, 16, 32, 60, 60]
    assert all(row["given_up_at"] is None for row in pauses)


def test_a_raised_cap_lifts_the_call_and_replaces_one_that_waits(capped: Platform, endpoint: PlatformEndpoint) -> None:
    """The platform may have read the first call and not answered: it is called when the cap is lifted, in any case."""
    spend(capped, "100.00")
    check(capped)
    endpoint.behaviors = ["drop"]
    send(capped, endpoint)
    set_cap(capped.database, "acme", "200")
    assert check(capped) == ["lifted cap_raised"]
    assert send(capped, endpoint).taken == 1
    assert told(endpoint) == [(1, "reached", "cap_reached"), (2, "lifted", "cap_raised")]
    replaced = capped.query("select is_withdrawn from alerts where channel = 'cap hook' order by id")
    assert [row["is_withdrawn"] for row in replaced] == [True, False]
    spend(capped, "100.00")
    assert check(capped) == ["reached cap_reached"]


def test_a_removed_cap_is_lifted_and_one_set_again_is_reached_again(
    capped: Platform, endpoint: PlatformEndpoint
) -> None:
    spend(capped, "100.00")
    check(capped)
    remove_cap(capped.database, "acme")
    assert check(capped) == ["lifted cap_removed"]
    set_cap(capped.database, "acme", "100.00")
    assert check(capped) == ["reached cap_reached"]
    send(capped, endpoint)
    assert told(endpoint) == [(3, "reached", "cap_reached")]
    with pytest.raises(NoSuchThreshold, match="globex has no cap"):
        remove_cap(capped.database, "globex")


def test_a_new_month_lifts_the_cap(capped: Platform, endpoint: PlatformEndpoint) -> None:
    """In its first days, late usage of September still comes, and stops nothing in October."""
    spend(capped, "100.00")
    check(capped)
    assert check(capped, at("2026-09-30T23:59:59")) == []
    assert check(capped, at("2026-10-01")) == ["lifted new_month"]
    assert check(capped, at("2026-10-02")) == []
    spend(capped, "150.00", on="2026-10-02")
    assert check(capped, at("2026-10-20")) == ["reached cap_reached"]


def test_a_correction_below_the_cap_lifts_it(capped: Platform) -> None:
    spend(capped, "100.00")
    check(capped)
    spend(capped, "-10.00")
    assert check(capped) == ["lifted spend_fell"]


def test_an_organization_that_another_one_pays_for_is_not_lifted_before_that_invoice_is_calculated(
    capped: Platform,
) -> None:
    """acme has spent $120.00. From now on globex pays, whose invoice can't be calculated: a charge is in euros."""
    capped.add_organization("globex")
    spend(capped, "120.00")
    assert check(capped) == ["reached cap_reached"]
    capped.link("acme", "globex")
    capped.add_one_off("globex", "setup", "1.00", at("2026-09-10"), currency="EUR")
    capped.roll_up()
    capped.bill()
    assert capped.query("select id from invoices where organization_id = 'acme'") == []
    assert check(capped) == []


def test_operators_are_told_once_of_a_cap_in_a_currency_that_its_organization_no_longer_has(capped: Platform) -> None:
    capped.execute("update organizations set currency = 'EUR' where id = 'acme'")
    for _ in range(2):
        assert check(capped) == []
    (alert,) = capped.query("select subject, body from alerts where channel = 'operators'")
    assert alert["subject"] == "The spending cap of acme has no effect: it is in USD, and this month is billed in EUR"
    assert "fly-billing spend-cap set acme AMOUNT" in alert["body"]


def caveats(platform: Platform, now: datetime = NOW) -> list[str]:
    return read_statement(platform.database, "acme", now).caveats()


def test_a_customer_sees_that_a_cap_in_another_currency_has_no_effect(capped: Platform) -> None:
    assert (caveats(capped), [each.no_effect for each in thresholds(capped.database)]) == ([], [None])
    capped.execute("update organizations set currency = 'EUR' where id = 'acme'")
    assert caveats(capped) == [
        "Your spending cap of $100.00 has no effect: it is in USD, and this month is billed in EUR."
    ]
    assert [each.no_effect for each in thresholds(capped.database)] == [
        "It is in USD, and this month is billed in EUR."
    ]
    assert state(capped) == "below, no effect: this month is billed in EUR"
    set_cap(capped.database, "acme", "90")
    assert (caveats(capped), [each.no_effect for each in thresholds(capped.database)]) == ([], [None])


def test_a_cap_works_until_the_month_from_which_the_currency_changes(capped: Platform) -> None:
    """The change to euros was made in September and applies from October."""
    with capped.database.transaction() as connection:
        connection.exec_driver_sql("set local fly_billing.from_month = '2026-10-01'")
        connection.exec_driver_sql("update organizations set currency = 'EUR' where id = 'acme'")
    spend(capped, "100.00")
    assert check(capped) == ["reached cap_reached"]
    assert capped.query("select subject from alerts where channel = 'operators'") == []
    assert [len(caveats(capped, now)) for now in (at("2026-09-30T23:59:59"), at("2026-10-01"))] == [0, 1]
    assert check(capped, at("2026-10-01")) == ["lifted new_month"]
    assert len(capped.query("select subject from alerts where channel = 'operators'")) == 1


def test_a_receiver_can_put_off_a_call_by_an_hour_at_most(capped: Platform, endpoint: PlatformEndpoint) -> None:
    """A load balancer answers 503 and `Retry-After: 604800`, a week."""
    spend(capped, "100.00")
    check(capped)
    endpoint.behaviors, endpoint.headers = [503], {"Retry-After": "604800"}
    (refused,) = send(capped, endpoint).refused
    assert refused.retry_after == 3600


def test_calls_wait_while_no_hook_is_set_and_operators_are_alerted_after_an_hour(
    capped: Platform, endpoint: PlatformEndpoint
) -> None:
    spend(capped, "100.00")
    check(capped)
    assert send_customer_messages(capped.database, AlertChannels([OPERATORS]), None).taken == 0
    operators = "select subject, body from alerts where channel = 'operators'"
    check(capped, NOW + timedelta(minutes=59))
    assert capped.query(operators) == []
    for minutes in (61, 300):
        check(capped, NOW + timedelta(minutes=minutes))
    (alert,) = capped.query(operators)
    assert (
        alert["subject"] == "The platform has not acknowledged a call about a spending cap: acme 2026-09: cap reached"
    )
    assert send(capped, endpoint).taken == 1


def test_an_operator_acknowledges_in_place_of_the_platform(capped: Platform, endpoint: PlatformEndpoint) -> None:
    spend(capped, "100.00")
    check(capped)
    acknowledge(capped.database, "acme")
    assert send(capped, endpoint).taken == 0
    with pytest.raises(NoSuchThreshold, match="no call about the cap of acme waits"):
        acknowledge(capped.database, "acme")


def test_the_customer_is_told_about_the_cap_once_a_month(capped: Platform) -> None:
    spend(capped, "100.00")
    webhook = NamedChannel("customer webhook")
    terms = AlertTerms(timedelta(hours=72))
    for _ in range(2):
        queue_spend_alerts(capped.database, AlertChannels(webhook=webhook), terms, NOW, lambda text: None)
    (message,) = capped.query("select body from alerts where channel = 'customer webhook'")
    assert '"kind": "cap"' in message["body"]


def test_spend_that_cannot_be_read_holds_up_no_other_organization(capped: Platform) -> None:
    capped.add_organization("globex")
    set_cap(capped.database, "globex", "5")
    capped.add_one_off("globex", "setup", "6.00", at("2026-09-10"))
    spend(capped, "100.00")
    capped.execute("alter table invoices drop constraint total_cents_is_finite")
    damage(capped.database, "update invoices set total_cents = 9200000000000000000 where organization_id = 'acme'")
    calls, failed = queue_cap_calls(capped.database, [OPERATORS], NOW)
    assert [call.organization_id for call in calls] == ["globex"]
    assert [str(row) for row in failed] == ["acme: spent_cents is too large"]

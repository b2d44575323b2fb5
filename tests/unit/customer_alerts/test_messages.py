"""The e-mail and the webhook about reached thresholds name the organization, the amounts and their time."""

import json
from dataclasses import replace
from uuid import UUID

import pytest

from fly_billing.customer_alerts.rules.messages import Reached, mail_of, webhook_of
from fly_billing.customer_alerts.rules.thresholds import Kind
from tests.support.builders import NOW, at

EVIL = "Acme\r\nBcc: thief@example.com\x1b[2J\u202e"


def reached(kind: Kind = "amount", limit: int = 10000, number: int = 1, **others: object) -> Reached:
    whole = Reached(
        UUID(int=number), "acme", "Acme", kind, None, None, "2026-09", "USD", limit, 12345, 12345, NOW
    )  # fmt: skip
    return replace(whole, **others)  # type: ignore[arg-type]


def test_an_e_mail_says_what_was_spent_until_when_and_what_was_reached() -> None:
    mail = mail_of([reached()], NOW)
    assert mail.subject == "Acme: spend alert for 2026-09, $123.45 so far"
    assert mail.body == (
        "Acme (acme) has spent $123.45 in 2026-09 so far, as of 2026-09-20 12:00 UTC.\n"
        "\n"
        "It has reached:\n"
        "- $100.00\n"
        "\n"
        "Each of these is sent once a month."
    )
    assert mail.organization_id == "acme"


def test_thresholds_reached_at_once_are_lines_of_one_e_mail_the_cap_first_and_estimates_last() -> None:
    mail = mail_of(
        [
            reached("forecast", 50000, 1, reached_cents=51200),
            reached("app", 5000, 2, subject="web", reached_cents=5210),
            reached("percent", 12000, 3, percent=80),
            reached("amount", 10000, 4),
            reached("cap", 12000, 5),
        ],
        NOW,
    )
    assert [line for line in mail.body.splitlines() if line.startswith("- ")] == [
        "- your cap of $120.00: your platform may stop what costs money until you raise it or 2026-09 ends",
        "- $120.00, 80% of the invoice for 2026-08",
        "- $100.00",
        "- $50.00 for the app web, which has cost $52.10 so far",
        "- $500.00 by the end of 2026-09, by our estimate of $512.00 (not an amount that you owe)",
    ]


@pytest.mark.parametrize(
    ("now", "line"),
    [
        (
            "2026-09-30T23:59:59",
            "- your cap of $120.00: your platform may stop what costs money until you raise it or 2026-09 ends",
        ),
        ("2026-10-01", "- your cap of $120.00: 2026-09 is over, so nothing is stopped because of it"),
    ],
)
def test_a_cap_that_late_usage_of_the_month_before_reaches_stops_nothing(now: str, line: str) -> None:
    assert line in mail_of([reached("cap", 12000)], at(now)).body.splitlines()


def test_an_estimate_alone_is_called_an_estimate_in_the_subject() -> None:
    mail = mail_of([reached("forecast", 50000, reached_cents=51200)], NOW)
    assert mail.subject == "Acme: spend alert for 2026-09, $512.00 estimated"


def test_the_amounts_are_in_the_organizations_currency() -> None:
    mail = mail_of([reached(limit=5000, currency="JPY", total_cents=5200)], NOW)
    assert mail.subject == "Acme: spend alert for 2026-09, JPY 5,200 so far"
    assert "- JPY 5,000" in mail.body


def test_a_hostile_name_starts_no_line_and_no_header() -> None:
    mail = mail_of([reached("app", subject=EVIL, organization_name=EVIL)], NOW)
    assert all(character.isprintable() for character in mail.text.replace("\n", ""))
    assert not any(line.startswith("Bcc") for line in mail.text.splitlines())


def test_a_webhook_has_the_same_facts_as_strings_of_the_currency() -> None:
    body = json.loads(webhook_of([reached(), reached("percent", 12000, 2, percent=80)], NOW).body)
    assert (body["type"], body["timestamp"]) == ("spend_alert.reached", "2026-09-20T12:00:00Z")
    assert {name: body["data"][name] for name in ("organization_id", "month", "currency", "total", "as_of")} == {
        "organization_id": "acme",
        "month": "2026-09",
        "currency": "USD",
        "total": "123.45",
        "as_of": "2026-09-20T12:00:00Z",
    }
    assert body["data"]["thresholds"] == [
        {
            "id": "00000000-0000-0000-0000-000000000002", "kind": "percent", "name": None, "percent": 80,
            "threshold": "120.00", "reached": "123.45", "is_estimate": False,
        },
        {
            "id": "00000000-0000-0000-0000-000000000001", "kind": "amount", "name": None, "percent": None,
            "threshold": "100.00", "reached": "123.45", "is_estimate": False,
        },
    ]  # fmt: skip


def test_a_webhooks_body_is_ascii_whatever_the_name_of_an_app() -> None:
    body = webhook_of([reached("app", subject=EVIL)], NOW).body
    assert body.isascii()
    assert json.loads(body)["data"]["thresholds"][0]["name"] == EVIL

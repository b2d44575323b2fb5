"""`fly-billing group`: organizations join and leave price groups, and a list shows who is in which."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from typer.testing import CliRunner

from fly_billing.cli.main import app
from fly_billing.corrections.correction import Actor
from fly_billing.customers.price_overrides import write_price_overrides
from fly_billing.customers.writing import CustomerRefused, changing
from fly_billing.pricing.rules.negotiated_prices import NegotiatedPrice
from tests.integration.customers.test_customer_commands import complete, installed, refusal, run, run_json
from tests.support.builders import Platform, at, event

__all__ = ["installed"]
ANN = Actor("ann", datetime(2026, 9, 1, tzinfo=UTC), "an offer to early customers")


@pytest.fixture
def groups(installed: Platform) -> Platform:
    """The group early has 50 % off requests (0.10 each), and partners 20 % off, both from September 2026 on."""
    with changing(installed.database, is_dry_run=False) as connection:
        for group, percent in (("early", 50), ("partners", 20)):
            price = NegotiatedPrice("fly", "requests", at("2026-09-01"), group=group, percent_off=Decimal(percent))
            write_price_overrides(connection, ANN, [price])
    return installed


def members(*words: str) -> list[dict[str, Any]]:
    return list(json.loads(run("group", "list", *words, "--json")))


def test_a_member_pays_the_price_of_the_group_from_its_beginning_to_its_end(groups: Platform) -> None:
    """10 requests on the 15th as a member at 0.05, and 10 on the 25th at 0.10: 0.50 + 1.00."""
    run("group", "join", "acme", "early", "--from", "2026-09-10")
    run("group", "leave", "acme", "early", "--at", "2026-09-20")
    groups.use(event("e1", "10"), event("e2", "10", time="2026-09-25T12:00:00Z"), day=at("2026-09-25").date())
    groups.close()
    assert sorted(groups.amounts("usage")) == [Decimal("0.50"), Decimal("1.00")]


def test_the_list_shows_who_is_in_which_group_and_by_which_book_they_are_billed(groups: Platform) -> None:
    run("group", "join", "acme", "early", "--from", "2026-09-10")
    (member,) = members()
    assert member == {
        "price_group": "early", "organization_id": "acme", "name": "Acme", "price_book": "fly", "prices": 1,
        "effective_from": "2026-09-10T00:00:00+00:00", "effective_until": None,
    }  # fmt: skip
    assert members("early") == members("acme") == [member]
    assert members("partners") == []
    assert "early" in run("group", "list")


def test_past_memberships_are_listed_if_they_are_asked_for(groups: Platform) -> None:
    run("group", "join", "acme", "early", "--from", "2026-09-10", "--until", "2026-09-20")
    assert members("acme") == []
    (member,) = members("acme", "--past")
    assert member["effective_until"] == "2026-09-20T00:00:00+00:00"


def test_joining_twice_changes_nothing_and_a_dry_run_writes_nothing(groups: Platform) -> None:
    words = ("group", "join", "acme", "early", "--from", "2026-09-10")
    assert run_json(*words, "--dry-run")["changes"][0]["effect"] == "new"
    assert members() == []
    assert run_json(*words)["changes"][0]["effect"] == "new"
    assert run_json(*words)["changes"][0]["effect"] == "unchanged"
    run("group", "leave", "acme", "early", "--at", "2026-09-20", "--why", "the offer ended")
    kept = groups.query("select action, why from customer_changes where on_table = 'price_group_members' order by id")
    assert [(row["action"], row["why"]) for row in kept] == [("added", None), ("changed", "the offer ended")]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("group join acne early", "no organization 'acne' (did you mean acme?)"),
        ("group join acme earley", "no price group 'earley' (did you mean early?): a price book or terms.yaml has the"),
        ("group join acme early --from 2026-09-15", "it belongs to the group from 2026-09-10 on already"),
        ("group join acme early --from 2026-09-05", "it belongs to the group from 2026-09-10 on already"),
        ("group join acme early --from 2026-09-05 --until 2026-09-01", "is not after effective_from"),
        ("group join acme partners --from 2026-09-10", "acme is in two groups with a price for requests at the"),
        ("group leave acne early", "no organization 'acne' (did you mean acme?)"),
        ("group leave acme earley", "acme is not in group 'earley' (did you mean early?)"),
        ("group leave acme early --at 2026-09-10", "acme is in group early from 2026-09-10 on: give a later time"),
        ("group join acme early --from soon", "not a time: 'soon'"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_is_wrong(groups: Platform, words: str, expected: str) -> None:
    run("group", "join", "acme", "early", "--from", "2026-09-10")
    assert expected in refusal(*words.split())


def test_a_membership_that_ended_ends_only_once(groups: Platform) -> None:
    run("group", "join", "acme", "early", "--from", "2026-09-10", "--until", "2026-09-20")
    assert "acme left group early: it was in it from 2026-09-10 on until 2026-09-20" in refusal(
        *"group leave acme early --at 2026-10-01".split()
    )
    run("group", "join", "acme", "early", "--from", "2026-09-20")
    assert [one["effective_from"][:10] for one in members("acme", "--past")] == ["2026-09-10", "2026-09-20"]


def test_joining_in_a_month_with_a_final_invoice_names_it_and_leaves_it_as_it_is(groups: Platform) -> None:
    """10 requests at 0.10 are 1.00 on the final invoice."""
    groups.use(event("e1", "10"))
    groups.close()
    done = run_json("group", "join", "acme", "early", "--from", "2026-09-01")
    (notice,) = done["notices"]
    assert "final invoices from 2026-09 on stay as they are until somebody decides" in notice
    assert groups.totals() == [100]


def test_what_was_billed_at_the_group_s_price_can_only_end(groups: Platform) -> None:
    run("group", "join", "acme", "early", "--from", "2026-09-01")
    groups.use(event("e1", "10"))
    groups.close()
    done = CliRunner().invoke(app, ["group", "join", "acme", "early", "--from", "2026-08-01"])
    assert isinstance(done.exception, CustomerRefused)
    run("group", "leave", "acme", "early", "--at", "2026-10-01")
    assert groups.totals() == [50]


def test_a_shell_completes_the_names_of_groups(groups: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete(monkeypatch, "fly-billing group join acme e") == ["early"]
    assert complete(monkeypatch, "fly-billing group list p") == ["partners"]

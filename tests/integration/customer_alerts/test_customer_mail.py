"""E-mails to customers: each with a link that stops them, retried while the server is down, and none lost."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from sqlalchemy.exc import DBAPIError

from fly_billing.alerting import mail
from fly_billing.alerting.channels_from_settings import configured_channels
from fly_billing.alerting.outbox import PostingReport
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.customer_alerts.alert_addresses import (
    AddressRefused,
    remove_alert_address,
    set_alert_address,
)
from fly_billing.customer_alerts.channels import customer_mail
from fly_billing.customer_alerts.customer_mail import CustomerMail, subscribe_again, unsubscribe
from fly_billing.customer_alerts.evaluation import AlertChannels, AlertTerms, queue_spend_alerts
from fly_billing.customer_alerts.messages import customer_messages, replay, send_customer_messages
from fly_billing.customer_alerts.rules.unsubscribe_links import read_unsubscribe_token
from fly_billing.customer_alerts.thresholds import add_threshold
from fly_billing.embedded_postgres import PostgresServer
from fly_billing.settings import Settings, SettingsError
from tests.support.alert_servers import MailServer, dripping, serving, trusting_the_test_server
from tests.support.api import LINK_SECRET, ApiClient, reading, serving_api
from tests.support.builders import NOW, Platform, at
from tests.support.named_channels import NamedChannel

OPERATORS = NamedChannel("operators")
PAGE = "https://billing.example.com"
ADDRESS = "owner@acme.example"


@pytest.fixture
def mailbox() -> Iterator[MailServer]:
    server = MailServer()
    with serving(server.server):
        yield server


@pytest.fixture
def spending(platform: Platform) -> Platform:
    """Acme has spent $12.00 and has a threshold at $10.00."""
    platform.execute("insert into billing_details (organization_id, email) values ('acme', :address)", address=ADDRESS)
    add_threshold(platform.database, "acme", "10")
    platform.add_one_off("acme", "setup", "12.00", at("2026-09-10"))
    platform.compute()
    return platform


def channel(platform: Platform, port: int) -> CustomerMail:
    server = mail.MailServer("127.0.0.1", port, patience=5)
    return CustomerMail(platform.database, server, "billing@platform.example", PAGE, LINK_SECRET)


def queue(platform: Platform, port: int) -> None:
    channels = AlertChannels([OPERATORS], channel(platform, port))
    queue_spend_alerts(platform.database, channels, AlertTerms(timedelta(hours=72)), NOW, lambda text: None)


def send(platform: Platform, by: CustomerMail) -> PostingReport:
    """Send what waits, as if every pause were over."""
    platform.execute("update alerts set next_try_at = now() where taken_at is null and given_up_at is null")
    return send_customer_messages(platform.database, AlertChannels([OPERATORS], by), None)


def link_in(message: object) -> str:
    return str(message["List-Unsubscribe"]).strip("<>")  # type: ignore[index]


def test_an_e_mail_goes_to_the_billing_address_with_a_link_that_stops_the_next(
    spending: Platform, mailbox: MailServer
) -> None:
    queue(spending, mailbox.port)
    assert send(spending, channel(spending, mailbox.port)).taken == 1
    (got,) = mailbox.taken
    assert got.recipient == ADDRESS
    assert got.message["Subject"] == "Acme: spend alert for 2026-09, $12.00 so far"
    assert got.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = link_in(got.message)
    assert link.startswith(f"{PAGE}/unsubscribe/")
    assert f"Stop e-mails about the spend of acme:\n{link}\n" in got.message.get_content().replace("\r\n", "\n")
    wanted = read_unsubscribe_token([LINK_SECRET], link.rpartition("/")[2])
    assert wanted is not None

    unsubscribe(spending.database, wanted)
    add_threshold(spending.database, "acme", "11")
    queue(spending, mailbox.port)
    assert len(customer_messages(spending.database)) == 1
    assert subscribe_again(spending.database, "acme") == 1
    add_threshold(spending.database, "acme", "12")
    queue(spending, mailbox.port)
    assert send(spending, channel(spending, mailbox.port)).taken == 1


def test_an_address_for_alerts_gets_them_in_place_of_the_billing_address(
    spending: Platform, mailbox: MailServer
) -> None:
    """What waits goes there, too. It stops e-mails for itself, and the billing address gets none in its place."""
    database = spending.database
    queue(spending, mailbox.port)
    set_alert_address(database, "acme", "dev@acme.example", "ann")
    assert send(spending, channel(spending, mailbox.port)).taken == 1
    (got,) = mailbox.taken
    assert got.recipient == "dev@acme.example"
    wanted = read_unsubscribe_token([LINK_SECRET], link_in(got.message).rpartition("/")[2])
    assert wanted is not None

    unsubscribe(database, wanted)
    add_threshold(database, "acme", "11")
    queue(spending, mailbox.port)
    assert len(customer_messages(database)) == 1
    remove_alert_address(database, "acme")
    add_threshold(database, "acme", "12")
    queue(spending, mailbox.port)
    assert send(spending, channel(spending, mailbox.port)).taken == 1
    assert mailbox.taken[-1].recipient == ADDRESS
    with pytest.raises(AddressRefused, match="acme has no address of its own for alerts"):
        remove_alert_address(database, "acme")


def test_an_organization_without_a_billing_address_gets_alerts_at_its_address_for_them(
    spending: Platform, mailbox: MailServer
) -> None:
    spending.execute("delete from billing_details")
    set_alert_address(spending.database, "acme", "dev@acme.example", "ann")
    queue(spending, mailbox.port)
    assert send(spending, channel(spending, mailbox.port)).taken == 1
    assert [got.recipient for got in mailbox.taken] == ["dev@acme.example"]


def test_an_address_that_unsubscribes_meanwhile_gets_nothing_and_no_operator_is_told(
    spending: Platform, mailbox: MailServer
) -> None:
    queue(spending, mailbox.port)
    spending.execute("update billing_details set email = null")
    send(spending, channel(spending, mailbox.port))
    assert mailbox.taken == []
    (message,) = customer_messages(spending.database)
    assert message.last_refusal == "no address wants it: removed, or unsubscribed"
    assert message.state.startswith("withdrawn ")
    assert customer_messages(spending.database, only_given_up=True) == []
    assert spending.query("select * from alerts where channel = 'operators'") == []


def test_a_message_that_was_withdrawn_is_not_sent_again(spending: Platform, mailbox: MailServer) -> None:
    """The address was removed and is there again: replay sends what was given up, and not what nobody wanted."""
    queue(spending, mailbox.port)
    spending.execute("update billing_details set email = null")
    send(spending, channel(spending, mailbox.port))
    spending.execute("update billing_details set email = :address", address=ADDRESS)
    assert replay(spending.database, NOW - timedelta(days=1), "acme") == 0
    assert send(spending, channel(spending, mailbox.port)).taken == 0


def test_an_address_that_is_refused_for_good_is_given_up_and_operators_are_told(
    spending: Platform, mailbox: MailServer
) -> None:
    mailbox.refusals = {ADDRESS: "550 5.1.1 no such user"}
    queue(spending, mailbox.port)
    send(spending, channel(spending, mailbox.port))
    (message,) = customer_messages(spending.database, only_given_up=True)
    assert message.last_refusal == "550 5.1.1 no such user"
    (told,) = spending.query("select body from alerts where channel = 'operators'")
    assert told["body"].startswith("- acme: Acme: spend alert for 2026-09, $12.00 so far\n")


FOR_NOW = [
    "450 4.2.0 greylisted, try again",
    "421 too busy",
    "554 5.7.1 relay access denied",
    "550 5.7.1 blocked by a list",
    "550 5.4.5 daily quota exceeded",
    "552 5.2.2 mailbox full",
    "554 transaction failed",
    "550 5.1.8 bad sender",
    "550 relay denied",
    "551 user not local; we do not relay",
    "553 sorry, that domain isn't in my list of allowed rcpthosts",
]


@pytest.mark.parametrize("refusal", FOR_NOW)
def test_an_address_that_is_refused_for_now_is_tried_again(
    spending: Platform, mailbox: MailServer, refusal: str
) -> None:
    mailbox.refusals = {ADDRESS: refusal}
    queue(spending, mailbox.port)
    assert [len(send(spending, channel(spending, mailbox.port)).refused) for _ in range(3)] == [1, 1, 1]
    mailbox.refusals = {}
    assert send(spending, channel(spending, mailbox.port)).taken == 1
    assert len(mailbox.taken) == 1


@pytest.mark.parametrize(
    ("refusal", "is_given_up"),
    [("550 5.1.1 No such user", True), ("553 5.1.3 bad address", True), ("551 5.1.10 not here", True),
     ("554 5.7.1 relay access denied", False), ("550 No such user", False)],
)  # fmt: skip
def test_only_a_refusal_about_the_address_gives_the_message_up(
    spending: Platform, mailbox: MailServer, refusal: str, is_given_up: bool
) -> None:
    mailbox.refusals = {ADDRESS: refusal}
    queue(spending, mailbox.port)
    send(spending, channel(spending, mailbox.port))
    assert bool(customer_messages(spending.database, only_given_up=True)) is is_given_up


@pytest.mark.parametrize(
    ("verdict", "is_given_up"),
    [("554 5.6.0 bad content", True), ("554 5.7.1 blocked by a list", False), ("550 quota exceeded", False)],
)
def test_only_a_refusal_about_the_content_gives_the_message_up(
    spending: Platform, mailbox: MailServer, verdict: str, is_given_up: bool
) -> None:
    mailbox.verdict = verdict
    queue(spending, mailbox.port)
    (refused,) = send(spending, channel(spending, mailbox.port)).refused
    assert refused.reason == verdict
    assert bool(customer_messages(spending.database, only_given_up=True)) is is_given_up


def add_spending_organization(platform: Platform, organization_id: str, name: str = "Bolt") -> None:
    platform.add_organization(organization_id)
    platform.execute("update organizations set name = :name where id = :id", name=name, id=organization_id)
    platform.execute(
        "insert into billing_details (organization_id, email) values (:id, :address)",
        id=organization_id, address="owner@bolt.example",
    )  # fmt: skip
    add_threshold(platform.database, organization_id, "10")
    platform.add_one_off(organization_id, "setup-2", "12.00", at("2026-09-10"))
    platform.compute()


@pytest.mark.parametrize(
    "address", ["<owner@acme.example>", "a@x..com", "a@;.c", "a@[.com", "(a)b@acme.example", "a,b@acme.example"]
)
def test_an_odd_address_is_given_up_and_the_next_customer_gets_its_e_mail(
    spending: Platform, mailbox: MailServer, address: str
) -> None:
    spending.execute("update billing_details set email = :address where organization_id = 'acme'", address=address)
    add_spending_organization(spending, "bolt")
    queue(spending, mailbox.port)
    done = send(spending, channel(spending, mailbox.port))
    assert (done.taken, [got.recipient for got in mailbox.taken]) == (1, ["owner@bolt.example"])
    (message,) = customer_messages(spending.database, only_given_up=True)
    assert (message.organization_id, message.last_refusal) == (
        "acme", "the billing details have no valid e-mail address"
    )  # fmt: skip
    (told,) = spending.query("select body from alerts where channel = 'operators'")
    assert address not in told["body"]


def test_mailboxes_that_are_gone_do_not_hold_up_the_e_mail_of_others(spending: Platform, mailbox: MailServer) -> None:
    """A server without enhanced status says `550 No such user` six times before the good address is due."""
    mailbox.refusals = {ADDRESS: "550 No such user"}
    queue(spending, mailbox.port)
    spending.execute(
        "insert into alerts (channel, code, subject, body, organization_id)"
        " select channel, code, subject, body, organization_id from alerts cross join generate_series(1, 5)"
    )
    add_spending_organization(spending, "bolt")
    queue(spending, mailbox.port)
    done = send(spending, channel(spending, mailbox.port))
    assert (done.taken, [got.recipient for got in mailbox.taken]) == (1, ["owner@bolt.example"])
    assert len(done.refused) == 6


@dataclass(frozen=True)
class BrokenMail(CustomerMail):
    """Has a defect that one organization meets."""

    def post(self, alert: Alert) -> None:
        if alert.organization_id == "acme":
            raise LookupError(f"{ADDRESS} {self.secret}")
        super().post(alert)


def test_an_unexpected_error_of_one_message_does_not_stop_the_others(spending: Platform, mailbox: MailServer) -> None:
    add_spending_organization(spending, "bolt")
    queue(spending, mailbox.port)
    one = channel(spending, mailbox.port)
    done = send(spending, BrokenMail(one.database, one.server, one.sender, one.page_url, one.secret))
    assert (done.taken, [refused.reason for refused in done.refused]) == (1, ["LookupError"])
    assert customer_messages(spending.database, only_given_up=True) == []
    assert send(spending, one).taken == 1


def header_lines(raw: bytes, name: str) -> list[bytes]:
    """Return the lines of a header as they came, with those that continue it."""
    head = raw.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b"\n ")
    (found,) = (line for line in head.split(b"\r\n") if line.lower().startswith(name.lower().encode() + b":"))
    return found.split(b"\n")


def is_literal_link(lines: list[bytes]) -> bool:
    link = rb"List-Unsubscribe: <https://billing\.example\.com/unsubscribe/[\w.-]+>"
    return len(lines) == 1 and bool(re.fullmatch(link, lines[0]))


@pytest.mark.parametrize(("organization_id", "name"), [("bolt", "B\u00f6lt & S\u00f6hne"), ("b" * 63, "\u00c4" * 150)])
def test_the_link_is_one_line_and_a_foreign_name_is_encoded(
    spending: Platform, mailbox: MailServer, organization_id: str, name: str
) -> None:
    """Mailboxes look for the literal link (RFC 2369, RFC 8058)."""
    add_spending_organization(spending, organization_id, name)
    queue(spending, mailbox.port)
    assert send(spending, channel(spending, mailbox.port)).taken == 2
    for got in mailbox.taken:
        assert is_literal_link(header_lines(got.raw, "List-Unsubscribe"))
        assert header_lines(got.raw, "List-Unsubscribe-Post") == [
            b"List-Unsubscribe-Post: List-Unsubscribe=One-Click"
        ]  # fmt: skip
    (got,) = (got for got in mailbox.taken if got.recipient == "owner@bolt.example")
    subject = header_lines(got.raw, "Subject")
    assert all(line.isascii() and len(line) <= 78 for line in subject)
    assert b"=?utf-8?" in subject[0]
    assert str(got.message["Subject"]).startswith(name)


def test_a_link_that_is_longer_than_any_id_makes_it_is_one_line(spending: Platform, mailbox: MailServer) -> None:
    one = channel(spending, mailbox.port)
    alert = Alert("c", "s", "b", organization_id="b" * 200)
    mail.send_mail(one.name, alert, one.server, one.message(alert, ADDRESS))
    (got,) = mailbox.taken
    (line,) = lines = header_lines(got.raw, "List-Unsubscribe")
    assert is_literal_link(lines)
    assert len(line) > 400


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_server_that_is_slow_without_end_is_left_after_the_patience(
    spending: Platform, mailbox: MailServer, scheme: str
) -> None:
    queue(spending, mailbox.port)
    one = channel(spending, mailbox.port)
    with dripping(b"220-wait\r\n", is_encrypted=scheme == "smtps") as address:
        server = mail.MailServer.from_url(f"{scheme}://{address}")
        slow = replace(one, server=replace(server, patience=0.5, tls=trusting_the_test_server()))
        started = time.monotonic()
        (refused,) = send(spending, slow).refused
    assert refused.reason == "timed out after 0.5 seconds"
    assert time.monotonic() - started < 5
    assert send(spending, one).taken == 1


def test_a_server_that_is_down_loses_no_e_mail(spending: Platform, mailbox: MailServer) -> None:
    gone = MailServer()
    with serving(gone.server):
        pass
    queue(spending, gone.port)
    for _ in range(5):
        assert len(send(spending, channel(spending, gone.port)).refused) == 1
    assert send(spending, channel(spending, mailbox.port)).taken == 1


@dataclass(frozen=True)
class DyingMail(CustomerMail):
    """The mail of a process that dies after the server took the message and before that is recorded."""

    def post(self, alert: Alert) -> None:
        super().post(alert)
        raise KeyboardInterrupt


def test_an_e_mail_that_is_sent_twice_has_one_message_id(spending: Platform, mailbox: MailServer) -> None:
    """SMTP has no id by which a server would refuse the second one, so this is as good as it gets."""
    queue(spending, mailbox.port)
    one = channel(spending, mailbox.port)
    with pytest.raises(KeyboardInterrupt):
        send(spending, DyingMail(one.database, one.server, one.sender, one.page_url, one.secret))
    assert send(spending, one).taken == 1
    assert len(mailbox.taken) == 2
    assert len({got.message["Message-ID"] for got in mailbox.taken}) == 1


@pytest.mark.parametrize(
    "name", ["=?utf-8?q?=0D=0ABcc:thief@example.com?=", "Acme\u2028Bcc: x", "\u202eemcA", "x" * 5000]
)
def test_a_hostile_name_adds_no_header(spending: Platform, mailbox: MailServer, name: str) -> None:
    spending.execute("update organizations set name = :name", name=name)
    queue(spending, mailbox.port)
    assert send(spending, channel(spending, mailbox.port)).taken == 1
    (got,) = mailbox.taken
    assert {header.lower() for header in got.message} == {
        "subject", "from", "to", "date", "message-id", "auto-submitted", "list-unsubscribe", "list-unsubscribe-post",
        "content-type", "content-transfer-encoding", "mime-version",
    }  # fmt: skip
    assert got.recipient == ADDRESS
    assert len(str(got.message["Subject"])) <= 200


@pytest.fixture
def api(postgres: PostgresServer, spending: Platform) -> Iterator[ApiClient]:
    with serving_api(postgres, spending.database, lambda: NOW) as client:
        yield client


def stopped(platform: Platform) -> int:
    return int(platform.query("select count(*) as n from alert_unsubscriptions")[0]["n"])


def test_only_a_post_to_a_link_stops_e_mails(spending: Platform, mailbox: MailServer, api: ApiClient) -> None:
    """The API's role may not write; it may call the function that does."""
    link = link_in(channel(spending, mailbox.port).message(Alert("c", "s", "b", organization_id="acme"), ADDRESS))
    path = link.removeprefix(PAGE)
    shown = api.get(path)
    assert (shown.status, shown.headers["cache-control"]) == (200, "no-store")
    assert "Stop these e-mails" in shown.text
    assert stopped(spending) == 0
    for _ in range(2):
        done = api.send(
            "POST", path, {"Content-Type": "application/x-www-form-urlencoded"}, b"List-Unsubscribe=One-Click"
        )
        assert (done.status, stopped(spending)) == (200, 1)
    queue(spending, mailbox.port)
    assert customer_messages(spending.database) == []


@pytest.mark.parametrize("token", ["x", "YWNtZQ.AAAA", "%00", "a" * 2000])
def test_a_link_without_a_signature_stops_nothing(spending: Platform, api: ApiClient, token: str) -> None:
    assert api.get(f"/unsubscribe/{token}").status == 404
    assert api.send("POST", f"/unsubscribe/{token}", {}, b"List-Unsubscribe=One-Click").status == 404
    assert stopped(spending) == 0


def test_the_readers_role_cannot_write_unsubscriptions_itself(spending: Platform, postgres: PostgresServer) -> None:
    with reading(postgres, spending.database) as reader, pytest.raises(DBAPIError, match="permission denied"):
        reader.rows("subscribe_to_alerts", organization_id="acme")


COMPLETE = {
    "FLY_BILLING_CUSTOMER_EMAIL_FROM": "billing@platform.example",
    "SMTP_URL": "smtp://127.0.0.1:25",
    "FLY_BILLING_PAGE_URL": PAGE,
    "FLY_BILLING_LINK_SECRET": LINK_SECRET,
}


@pytest.mark.parametrize("missing", ["SMTP_URL", "FLY_BILLING_PAGE_URL", "FLY_BILLING_LINK_SECRET"])
def test_customer_mail_needs_all_its_settings(spending: Platform, missing: str) -> None:
    assert customer_mail(Settings.from_environment(COMPLETE), spending.database) is not None
    with pytest.raises(SettingsError, match=f"{missing} must be set"):
        customer_mail(Settings.from_environment(COMPLETE | {missing: ""}), spending.database)
    short = Settings.from_environment(COMPLETE | {"FLY_BILLING_LINK_SECRET": "short"})
    with pytest.raises(SettingsError, match="at least 32 characters"):
        customer_mail(short, spending.database)


def test_customers_may_get_e_mail_where_operators_do_not() -> None:
    settings = Settings.from_environment(COMPLETE)
    assert configured_channels(settings, lambda token, base: pytest.fail("no Slack is set")) == []

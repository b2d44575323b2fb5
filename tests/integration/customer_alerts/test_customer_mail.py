"""E-mails to customers: each with a link that stops them, retried while the server is down, and none lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy.exc import DBAPIError

from fly_billing.alerting import mail
from fly_billing.alerting.channels_from_settings import configured_channels
from fly_billing.alerting.outbox import PostingReport
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.customer_alerts.channels import customer_mail
from fly_billing.customer_alerts.customer_mail import CustomerMail, subscribe_again, unsubscribe
from fly_billing.customer_alerts.evaluation import AlertChannels, AlertTerms, queue_spend_alerts
from fly_billing.customer_alerts.messages import customer_messages, send_customer_messages
from fly_billing.customer_alerts.rules.unsubscribe_links import read_unsubscribe_token
from fly_billing.customer_alerts.thresholds import add_threshold
from fly_billing.embedded_postgres import PostgresServer
from fly_billing.settings import Settings, SettingsError
from tests.support.alert_servers import MailServer, serving
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


def test_an_address_that_unsubscribes_meanwhile_gets_nothing_and_no_operator_is_told(
    spending: Platform, mailbox: MailServer
) -> None:
    queue(spending, mailbox.port)
    spending.execute("update billing_details set email = null")
    send(spending, channel(spending, mailbox.port))
    assert mailbox.taken == []
    (message,) = customer_messages(spending.database, only_given_up=True)
    assert message.last_refusal == "no address wants it: removed, or unsubscribed"
    assert spending.query("select * from alerts where channel = 'operators'") == []


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


@pytest.mark.parametrize("refusal", ["450 4.2.0 greylisted, try again", "421 too busy"])
def test_an_address_that_is_refused_for_now_is_tried_again(
    spending: Platform, mailbox: MailServer, refusal: str
) -> None:
    mailbox.refusals = {ADDRESS: refusal}
    queue(spending, mailbox.port)
    assert [len(send(spending, channel(spending, mailbox.port)).refused) for _ in range(3)] == [1, 1, 1]
    mailbox.refusals = {}
    assert send(spending, channel(spending, mailbox.port)).taken == 1
    assert len(mailbox.taken) == 1


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

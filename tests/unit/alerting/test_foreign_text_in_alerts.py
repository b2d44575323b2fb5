"""Text from organizations, price books and Stripe stays plain text in alerts, tables and pages."""

from __future__ import annotations

import ast
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.alerting.channel import AlertNotSent
from fly_billing.alerting.mail import message_of
from fly_billing.alerting.rules.alerts import Alert, FailedInvoice, failure_alerts, recovery_alert
from fly_billing.alerting.slack import blocks_of
from fly_billing.alerting.webhook import harmless
from fly_billing.assets.run_report import markdown, table
from fly_billing.foreign_text import visible

PACKAGE = Path(__file__).parents[3] / "fly_billing"
EVIL = "acme\nWhat to do: pay evil\r\nBcc: thief@example.com\x1b[2J\u202e <!channel> <@U1> & `x` *b* @channel [pay](http://e)"
NAMED = [
    FailedInvoice(EVIL, "2026-09", f"code{EVIL}", f"Stripe said {EVIL}", "USD", 100, reason=EVIL),
    FailedInvoice("bolt", "2026-09", f"code{EVIL}", "...", "USD", 200, reason=EVIL),
]
ALERTS = [
    *failure_alerts("Stripe sync", NAMED),
    recovery_alert("Stripe sync", NAMED),
]  # fmt: skip


@pytest.mark.parametrize("alert", ALERTS)
def test_no_quoted_text_begins_a_line_of_an_alert(alert: Alert) -> None:
    starts = ("- ", "What to do: ", "What to do for ", f"{alert.subject[:4]}", r"acme\nWhat", "...")
    assert all(line.startswith(starts) for line in alert.text.split("\n"))
    assert not any(line.startswith("What to do: pay evil") for line in alert.text.split("\n"))
    assert all(character.isprintable() for character in alert.text.replace("\n", ""))
    assert r"acme\nWhat to do: pay evil\r\nBcc" in alert.text


def test_an_alert_from_the_outbox_shows_every_invisible_character_and_keeps_its_lines() -> None:
    alert = Alert("no_answer", "Stripe sync\nfailed", "- acme: $1.00\x1b[2J\nWhat to do: wait")
    assert alert.text == "Stripe sync\\nfailed\n- acme: $1.00\\x1b[2J\nWhat to do: wait"


@pytest.mark.parametrize("alert", ALERTS)
def test_no_text_in_an_alert_mentions_links_or_adds_a_header(alert: Alert) -> None:
    for block in blocks_of(alert):
        assert block["text"]["type"] == "plain_text"
        assert "<" not in block["text"]["text"]
    text = harmless(alert.text)
    assert "<" not in text
    assert "](" not in text
    assert " @channel" not in text
    message = message_of(alert, "billing@example.com", "oncall@example.com")
    assert set(message.keys()) == {
        "Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted", "Content-Type", "Content-Transfer-Encoding",
        "MIME-Version",
    }  # fmt: skip
    assert message["To"] == "oncall@example.com"


HEADERS = {
    "subject", "from", "to", "date", "message-id", "auto-submitted", "content-type", "content-transfer-encoding",
    "mime-version",
}  # fmt: skip
ENCODED = [
    "=?utf-8?q?=0D=0ABcc:_thief@example.com?=",
    "=?utf-8?b?DQpCY2M6IHRoaWVmQGV4YW1wbGUuY29t?=",
    "=?us-ascii*en?Q?=0aSubject:_all_paid?= =?utf-8?q?=0d=0a=0d=0aPay_evil?=",
    "=?utf-8?q?a?=" * 30,
    "\u65e5" * 190 + "=?utf-8?q?=0A?=",
    "\ud800\u2028\x85",
]


def as_it_arrives(name: str) -> EmailMessage:
    """Return the text that a mail server receives for an alert about an organization of this name."""
    alert = Alert.of("spend_alert_failed", f"Spend alert for {name} could not be sent", [f"- {name}"])
    sent = message_of(alert, "billing@example.com", "oncall@example.com").as_bytes()
    return message_from_bytes(sent, _class=EmailMessage, policy=SMTP)


@pytest.mark.parametrize("name", ENCODED)
def test_a_name_with_an_encoded_line_break_adds_no_header_to_a_mail(name: str) -> None:
    arrived = as_it_arrives(name)
    assert {header.lower() for header in arrived} == HEADERS
    assert str(arrived["Subject"]).strip().startswith("Spend alert for ")
    assert "\n" not in str(arrived["Subject"])
    assert arrived.get_content().splitlines()[1] == f"- {visible(name)}"


@given(st.text(max_size=250) | st.text(alphabet="a =?_QqBb0DA:\r\n\u00e9\u65e5", max_size=250))
def test_any_name_arrives_in_a_mail_and_adds_no_header(name: str) -> None:
    arrived = as_it_arrives(name)
    assert {header.lower() for header in arrived} == HEADERS
    assert arrived.get_content().splitlines()[1] == f"- {visible(name)}"


def test_a_refusal_quotes_a_channels_words_in_one_line() -> None:
    refused = AlertNotSent("mail", ALERTS[0], "550 no\r\nroot: all invoices paid\x1b[2J")
    assert refused.reason == r"550 no\r\nroot: all invoices paid\x1b[2J"
    assert len(str(refused).splitlines()) == 1


def test_alerts_are_built_only_from_lines() -> None:
    """`Alert(...)` itself takes a whole body: of the outbox, of JSON, and of an e-mail with its link added."""
    makers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Alert"
    }
    assert makers == {
        "alerting/outbox.py",
        "dunning/past_due.py",
        "customer_alerts/customer_mail.py",
        "customer_alerts/rules/messages.py",
        "customer_alerts/spend_caps.py",
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("acme-1_web 2026-09 $5", r"acme-1_web 2026-09 \$5"),
        ("a | b", r"a \| b"),
        ("a\n| b | c |", r"a\\n\| b \| c \|"),
        ("![x](http://evil.example/p.png)", r"\!\[x\]\(http\://evil.example/p.png\)"),
        ("<script>alert(1)</script>", r"\<script\>alert\(1\)\</script\>"),
        ("<http://evil.example>", r"\<http\://evil.example\>"),
        ("www.evil.example a@evil.example", r"www\.evil.example a\@evil.example"),
        ("*b* _i_ `c` ~s~ &amp; # h", r"\*b\* \_i\_ \`c\` \~s\~ \&amp; \# h"),
        ("\\| x", r"\\\| x"),
        ("- item", r"\- item"),
    ],
)
def test_markdown_shows_a_foreign_text_literally(text: str, shown: str) -> None:
    assert markdown(text) == shown


def test_a_table_in_dagster_keeps_its_rows_and_columns_for_any_cell_text() -> None:
    shown = str(table([{"organization": "a | b\n| c | d |", "cents": -5}, {"organization": "plain", "cents": 1}]).value)
    lines = shown.split("\n")
    assert len(lines) == 4  # head, rule, two rows
    assert [line.replace(r"\|", "").count("|") for line in lines] == [3, 3, 3, 3]
    assert "-5" in lines[2]

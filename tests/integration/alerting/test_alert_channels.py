"""Each channel formats an alert for its readers, reports refusals with their reason, and reveals no secret."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from fly_billing.alerting.channel import AlertNotSent, Channel
from fly_billing.alerting.mail import MailChannel, MailServer, message_of
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.alerting.slack import SlackChannel, blocks_of
from fly_billing.alerting.webhook import WebhookChannel
from fly_billing.cli.alerts import send_test_alert
from fly_billing.cli.terminal import Terminal
from fly_billing.resources.alerts import Alerts, SlackWorkspace
from fly_billing.settings import SettingsError
from tests.support import alert_servers
from tests.support.alert_servers import (
    BOT_TOKEN,
    WEBHOOK_SECRET,
    Slack,
    Webhook,
    black_hole,
    serving,
    trusting_the_test_server,
)

FAILED = Alert(
    "no_answer",
    "Stripe sync failed (no_answer): 2 invoices, $17.00",
    "- acme 2023-06: $12.00\n- bolt 2023-06: $5.00\nWhat to do: nothing.",
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


# Slack -------------------------------------------------------------------------------------------------------------


def channel_in(slack: Slack, token: str = BOT_TOKEN) -> SlackChannel:
    return SlackChannel(SlackWorkspace(token=token, base_url=slack.api_base).get_client(), "#billing")


def test_slack_shows_the_subject_as_a_header_and_the_invoices_as_a_list(slack: Slack) -> None:
    channel_in(slack).post(FAILED)
    assert slack.texts() == [
        "Stripe sync failed (no_answer): 2 invoices, $17.00\n"
        "• acme 2023-06: $12.00\n• bolt 2023-06: $5.00\nWhat to do: nothing."
    ]
    (message,) = slack.taken
    assert (message["channel"], message["text"]) == ("#billing", FAILED.text)


def test_slack_shows_stripes_message_literally_and_mentions_no_user(slack: Slack) -> None:
    channel_in(slack).post(Alert("code", "1 < 2 *& 3", "Stripe said: <!channel> & <https://example.com|here>"))
    assert slack.texts() == ["1 &lt; 2 *&amp; 3\nStripe said: &lt;!channel&gt; &amp; &lt;https://example.com|here&gt;"]
    (message,) = slack.taken
    assert {block["text"]["type"] for block in message["blocks"]} == {"plain_text"}
    assert (message["mrkdwn"], message["parse"], message["link_names"]) == (False, "none", False)


@pytest.mark.parametrize(
    "body",
    ["x" * 39_000, "<&>" * 12_000, "\n".join(["- acme 2023-06: $12.00"] * 3_000), "long line & more\n" * 2_200],
    ids=["one line", "only escapes", "a list", "lines"],
)
def test_slack_accepts_an_alert_of_any_length(slack: Slack, body: str) -> None:
    channel_in(slack).post(Alert("code", "s" * 4_000, body))
    shown = "".join(block["text"]["text"] for block in slack.taken[0]["blocks"][1:])
    assert shown.startswith(("x" * 100, "&lt;&amp;&gt;&lt;", "• acme", "long line &amp; more\n"))
    escapes = shown.count("&lt;") + shown.count("&gt;") + shown.count("&amp;")
    assert shown.count("&") == escapes, "no escape is cut in two"


def test_slack_links_only_to_stripes_dashboard() -> None:
    ours = "https://dashboard.stripe.com/test/invoices/in_1"
    foreign = (
        "https://dashboard.stripe.com.evil.example/x https://evil.example/ <https://evil.example|here> *b* _i_ `c`"
    )
    blocks = blocks_of(Alert("code", "Payment failed", f"{foreign} ({ours}) {ours}"))
    assert blocks[-1] == {"type": "section", "text": {"type": "mrkdwn", "text": f"<{ours}>", "verbatim": True}}
    assert [block["text"]["type"] for block in blocks[:-1]] == ["plain_text", "plain_text"]
    assert blocks[0] == {"type": "header", "text": {"type": "plain_text", "text": "Payment failed", "emoji": False}}


def test_slack_links_to_runs_at_the_address_that_is_set_and_at_no_other() -> None:
    run = "0fae4c9e-6f1e-4c53-9a0e-0d3e3f5f0a11"
    ours = f"https://dagster.example.com/runs/{run}"
    alert = Alert("code", "Billing failed", f"https://evil.example/runs/{run} {ours} https://dagster.example.com/other")
    links = {"type": "section", "text": {"type": "mrkdwn", "text": f"<{ours}>", "verbatim": True}}
    assert blocks_of(alert, "https://dagster.example.com")[-1] == links
    assert len(blocks_of(alert)) == 2


def test_slack_gets_every_line_that_fits() -> None:
    lines = [f"- org-{number:04d} 2023-06: $1.00" for number in range(1_000)]
    blocks = blocks_of(Alert("code", "Billing failed", "\n".join(lines)))
    assert len(blocks) == 10  # the subject, and 1,000 lines of 26 characters, of which 115 make a block
    shown = "".join(block["text"]["text"] for block in blocks[1:]).replace("• ", "- ")
    assert shown.splitlines() == lines


def test_an_alert_that_slack_refuses_is_reported_with_slacks_error(slack: Slack) -> None:
    slack.error = "channel_not_found"
    with pytest.raises(AlertNotSent) as refused:
        channel_in(slack).post(FAILED)
    assert str(refused.value) == f"slack refused {FAILED.subject!r}: 200 channel_not_found"


def test_a_slack_post_waits_as_long_as_slack_asks(slack: Slack) -> None:
    slack.status, slack.error, slack.headers = 429, "ratelimited", {"Retry-After": "120"}
    with pytest.raises(AlertNotSent) as refused:
        channel_in(slack).post(FAILED)
    assert (refused.value.reason, refused.value.retry_after) == ("429 ratelimited", 120.0)


def test_no_message_contains_the_bots_token(slack: Slack, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    wrong = channel_in(slack, "xoxb-wrong-secret")
    away = SlackChannel(SlackWorkspace(token=BOT_TOKEN, base_url=f"http://127.0.0.1:{free_port()}/").get_client(), "#b")
    for channel, reason in ((wrong, "200 invalid_auth"), (away, "[Errno 111] Connection refused")):
        with pytest.raises(AlertNotSent) as refused:
            channel.post(FAILED)
        assert refused.value.reason == reason
        assert refused.value.__suppress_context__
        assert "secret" not in f"{refused.value}{channel}{caplog.text}"


# E-mail ------------------------------------------------------------------------------------------------------------


def mail_to(server: alert_servers.MailServer, url: str, recipient: str = "oncall@example.com") -> MailChannel:
    reached = MailServer.from_url(url.replace("PORT", str(server.port)))
    return MailChannel(replace(reached, tls=trusting_the_test_server()), "billing@example.com", recipient)


def test_a_mail_has_the_alert_as_subject_and_text_and_suppresses_automatic_replies() -> None:
    server = alert_servers.MailServer()
    with serving(server.server):
        mail_to(server, "smtp://127.0.0.1:PORT").post(FAILED)
    (mail,) = server.taken
    assert mail.message["Subject"] == "Stripe sync failed (no_answer): 2 invoices, $17.00"
    assert (mail.message["From"], mail.message["To"]) == ("billing@example.com", "oncall@example.com")
    assert mail.message["Auto-Submitted"] == "auto-generated"
    assert mail.message["Date"].datetime.utcoffset().total_seconds() == 0
    assert mail.message.get_content().splitlines() == FAILED.text.splitlines()


@pytest.mark.parametrize("encryption", ["starttls", "smtps"])
def test_mail_is_encrypted_before_the_password_is_sent(encryption: str) -> None:
    server = alert_servers.MailServer(encryption, login=("billing", "pass/word"))
    scheme = "smtps" if encryption == "smtps" else "smtp"
    with serving(server.server):
        mail_to(server, f"{scheme}://billing:pass%2Fword@127.0.0.1:PORT").post(FAILED)
    (mail,) = server.taken
    assert (mail.is_encrypted, mail.login) == (True, ("billing", "pass/word"))
    if encryption == "starttls":
        assert server.commands == ["EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "QUIT"]


@pytest.mark.parametrize("encryption", ["starttls", "smtps"])
def test_a_mail_server_with_a_wrong_certificate_gets_neither_password_nor_mail(encryption: str) -> None:
    server = alert_servers.MailServer(encryption, login=("billing", "password"))
    scheme = "smtps" if encryption == "smtps" else "smtp"
    channel = MailChannel(
        MailServer.from_url(f"{scheme}://billing:password@127.0.0.1:{server.port}"), "a@example.com", "b@example.com"
    )
    with serving(server.server), pytest.raises(AlertNotSent, match="CERTIFICATE_VERIFY_FAILED"):
        channel.post(FAILED)
    assert (server.taken, "AUTH" in server.commands) == ([], False)


def test_a_password_does_not_leave_this_machine_unencrypted() -> None:
    server = alert_servers.MailServer(login=("billing", "password"))
    # 127.1 is 127.0.0.1 too, but not one of the names recognized as this machine.
    channel = mail_to(server, "smtp://billing:password@127.1:PORT")
    with serving(server.server), pytest.raises(AlertNotSent, match="no STARTTLS, and the password must not be sent"):
        channel.post(FAILED)
    assert server.commands == ["EHLO"]


def test_the_error_of_a_wrong_password_does_not_contain_it() -> None:
    server = alert_servers.MailServer(login=("billing", "password"))
    channel = mail_to(server, "smtp://billing:very-secret@127.0.0.1:PORT")
    with serving(server.server), pytest.raises(AlertNotSent) as refused:
        channel.post(FAILED)
    assert refused.value.reason == "535 5.7.8 Bad credentials"
    assert "secret" not in f"{refused.value}{channel}"


def test_a_password_that_can_not_be_sent_is_not_shown_in_parts() -> None:
    server = alert_servers.MailServer(login=("billing", "password"))
    with serving(server.server), pytest.raises(AlertNotSent) as refused:
        mail_to(server, "smtp://billing:%C3%A4@127.0.0.1:PORT").post(FAILED)
    assert refused.value.reason == "UnicodeEncodeError"


def test_a_refused_address_is_reported_and_the_others_get_their_mail() -> None:
    server = alert_servers.MailServer()
    server.refusals["gone@example.com"] = "550 No such user"
    with serving(server.server):
        with pytest.raises(AlertNotSent) as refused:
            mail_to(server, "smtp://127.0.0.1:PORT", "gone@example.com").post(FAILED)
        mail_to(server, "smtp://127.0.0.1:PORT").post(FAILED)
    assert str(refused.value) == f"mail to gone@example.com refused {FAILED.subject!r}: 550 No such user"
    assert server.subjects() == [("oncall@example.com", FAILED.subject)]


def test_an_accepted_mail_stays_accepted_if_closing_the_connection_fails() -> None:
    server = alert_servers.MailServer()
    server.farewell = "421 I am going down"
    with serving(server.server):
        mail_to(server, "smtp://127.0.0.1:PORT").post(FAILED)
    assert len(server.taken) == 1


def test_no_text_can_add_a_header_or_a_recipient_to_a_mail() -> None:
    server = alert_servers.MailServer()
    evil = Alert(
        "code", "Failed\r\nBcc: thief@example.com\n\nHello", "Stripe said:\r\n.\r\nRCPT TO:<thief@example.com>"
    )
    with serving(server.server):
        mail_to(server, "smtp://127.0.0.1:PORT").post(evil)
    (mail,) = server.taken
    assert mail.message["Subject"] == r"Failed\r\nBcc: thief@example.com\n\nHello"
    assert (mail.message["Bcc"], mail.recipient) == (None, "oncall@example.com")
    assert server.commands.count("RCPT") == 1
    assert mail.message.get_content().splitlines()[-3:] == [r"Stripe said:\r", r".\r", "RCPT TO:<thief@example.com>"]


def test_an_unreachable_mail_server_is_named_in_the_error() -> None:
    channel = MailChannel(MailServer.from_url(f"smtp://127.0.0.1:{free_port()}"), "a@example.com", "b@example.com")
    with pytest.raises(AlertNotSent, match="Connection refused"):
        channel.post(FAILED)


def test_a_long_subject_is_cut_and_the_text_has_all_of_it() -> None:
    message = message_of(Alert("code", "s" * 300, "body"), "a@example.com", "b@example.com")
    assert message["Subject"] == "s" * 199 + "…"
    assert message.get_content().splitlines()[0] == "s" * 300


def test_a_mail_server_is_read_from_its_url() -> None:
    assert MailServer.from_url("smtp://mail.example.com") == MailServer("mail.example.com", 587)
    assert MailServer.from_url("smtps://mail.example.com") == MailServer("mail.example.com", 465, is_smtps=True)
    assert MailServer.from_url("smtp://me%40here:a%3Ab@mail.example.com:25") == MailServer(
        "mail.example.com", 25, user="me@here", password="a:b"
    )


@pytest.mark.parametrize(
    "url",
    ["mail.example.com:secret", "http://me:secret@mail.example.com", "smtp://me:secret@", "smtp://me:secret@host:x",
     "smtp://secret@mail.example.com", "smtp://[me:secret"],
)  # fmt: skip
def test_the_error_of_an_invalid_smtp_url_shows_the_format_and_not_the_url(url: str) -> None:
    with pytest.raises(SettingsError, match="SMTP_URL must be smtp://host:port") as raised:
        MailServer.from_url(url)
    assert "secret" not in str(raised.value)


def test_a_login_is_tried_only_if_the_server_supports_it() -> None:
    server = alert_servers.MailServer()
    with serving(server.server), pytest.raises(AlertNotSent, match="AUTH extension not supported"):
        mail_to(server, "smtp://billing:password@127.0.0.1:PORT").post(FAILED)


# The webhook -------------------------------------------------------------------------------------------------------


def test_a_webhook_gets_the_alert_as_text(webhook: Webhook) -> None:
    WebhookChannel(webhook.url).post(FAILED)
    assert webhook.taken == [FAILED.text]


@pytest.mark.parametrize(
    "url",
    [
        f"http://127.0.0.1:9/services/{WEBHOOK_SECRET}",
        f"hooks.example.com/services/{WEBHOOK_SECRET}",
        f"http://127.0.0.1:9/services/{WEBHOOK_SECRET} ",
        f"http://127.0.0.1:9/ services/{WEBHOOK_SECRET}",
        f"http://127.0.0.1:not-a-port/services/{WEBHOOK_SECRET}",
        f"http://[127.0.0.1/services/{WEBHOOK_SECRET}",
        f"gopher://127.0.0.1/services/{WEBHOOK_SECRET}",
        f"http:///services/{WEBHOOK_SECRET}",
    ],
)
def test_no_message_contains_the_webhooks_address(url: str) -> None:
    with pytest.raises(AlertNotSent) as refused:
        WebhookChannel(url).post(FAILED)
    assert "secret" not in f"{refused.value}{WebhookChannel(url)}"
    assert refused.value.__suppress_context__


def test_a_webhook_on_this_machine_is_reached_past_the_proxy_of_the_environment(webhook: Webhook) -> None:
    """The proxy would see the secret address unencrypted. It is read from the environment when Python starts."""
    post = (
        "import sys; from fly_billing.alerting.rules.alerts import Alert;"
        " from fly_billing.alerting.webhook import WebhookChannel;"
        " WebhookChannel(sys.argv[1]).post(Alert('failed', 'Sync failed', ''))"
    )
    proxy = Webhook()
    with serving(proxy.server):
        environment = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
        environment |= dict.fromkeys(("http_proxy", "HTTP_PROXY"), proxy.address)
        subprocess.run([sys.executable, "-c", post, webhook.url], env=environment, check=True, timeout=600)
    assert (webhook.subjects(), proxy.taken) == (["Sync failed"], [])


def test_the_error_of_a_refusing_webhook_does_not_contain_its_address(webhook: Webhook) -> None:
    webhook.status = 403
    with pytest.raises(AlertNotSent) as refused:
        WebhookChannel(webhook.url).post(FAILED)
    assert str(refused.value) == f"webhook refused {FAILED.subject!r}: 403 Forbidden"


# The configured channels -------------------------------------------------------------------------------------------

MAIL = {
    "smtp_url": "smtp://127.0.0.1:2525",
    "alert_email_from": "billing@example.com",
    "alert_email_to": "oncall@example.com, finance@example.com,oncall@example.com,",
}
SLACK = {"slack_bot_token": BOT_TOKEN, "slack_channel": "#billing"}


def test_every_configured_channel_is_used_and_each_address_once() -> None:
    assert Alerts().channels() == []
    channels = Alerts(alert_webhook_url="http://127.0.0.1:9/", **SLACK, **MAIL).channels()
    assert [channel.name for channel in channels] == [
        "webhook",
        "slack",
        "mail to oncall@example.com",
        "mail to finance@example.com",
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"slack_channel": "#billing"}, "SLACK_BOT_TOKEN must be set if SLACK_CHANNEL is set"),
        ({"slack_bot_token": BOT_TOKEN}, "SLACK_CHANNEL must be set if SLACK_BOT_TOKEN is set"),
        ({"alert_email_to": "a@example.com"}, "ALERT_EMAIL_FROM and SMTP_URL must be set if ALERT_EMAIL_TO is set"),
        ({**MAIL, "alert_email_to": "oncall"}, "ALERT_EMAIL_TO: 'oncall' is not an e-mail address"),
        ({**MAIL, "alert_email_from": "a@b\r\nBcc: c@d"}, "ALERT_EMAIL_FROM: .* is not an e-mail address"),
    ],
)
def test_a_partly_configured_channel_is_an_error(given: Mapping[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Alerts(**given).channels()


def test_channels_are_read_from_the_environment_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    alerts = Alerts()
    for name, value in {**SLACK, **MAIL}.items():
        monkeypatch.setenv(name.upper(), value)
    assert [channel.name.partition(" ")[0] for channel in alerts.channels()] == ["slack", "mail", "mail"]


# Test alerts -------------------------------------------------------------------------------------------------------


def test_a_server_that_never_answers_times_out_and_is_named() -> None:
    with black_hole() as address:
        slack = SlackWorkspace(token=BOT_TOKEN, base_url=f"http://{address}/", patience=1).get_client()
        channels: list[Channel] = [
            SlackChannel(slack, "#billing"),
            WebhookChannel(f"http://{address}/{WEBHOOK_SECRET}", patience=0.2),
        ]
        for scheme in ("smtp", "smtps"):
            server = replace(MailServer.from_url(f"{scheme}://{address}"), patience=0.2)
            channels.append(MailChannel(server, "a@example.com", "b@example.com"))
        for channel in channels:
            with pytest.raises(AlertNotSent, match=r"timed out|TimeoutError"):
                channel.post(FAILED)


def test_a_test_alert_goes_to_every_channel_and_reports_each_result(
    tmp_path: Path, webhook: Webhook, slack: Slack
) -> None:
    server = alert_servers.MailServer()
    webhook.status = 500
    environment = {
        **os.environ,
        "FLY_BILLING_DATA_DIR": str(tmp_path),
        "COLUMNS": "200",
        "ALERT_WEBHOOK_URL": webhook.url,
        "SLACK_BOT_TOKEN": BOT_TOKEN,
        "SLACK_CHANNEL": "#billing",
        "SLACK_API_BASE": slack.api_base,
        "SMTP_URL": f"smtp://127.0.0.1:{server.port}",
        "ALERT_EMAIL_FROM": "billing@example.com",
        "ALERT_EMAIL_TO": "oncall@example.com",
    }
    command = [str(Path(sys.executable).with_name("fly-billing")), "alert-test"]
    with serving(server.server):
        ran = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=600, check=False, encoding="utf-8"
        )
    assert (ran.returncode, ran.stdout.splitlines()) == (
        1,
        ["webhook: refused: 500 Internal Server Error", "slack: accepted", "mail to oncall@example.com: accepted"],
    )
    assert slack.texts()[0].startswith("Test alert of fly_billing\n")
    assert server.subjects() == [("oncall@example.com", "Test alert of fly_billing")]


def test_a_test_alert_that_every_channel_accepts_succeeds(monkeypatch: pytest.MonkeyPatch, webhook: Webhook) -> None:
    monkeypatch.setenv("ALERT_WEBHOOK_URL", webhook.url)
    console = Terminal(file=io.StringIO())
    assert send_test_alert(console)
    assert webhook.subjects() == ["Test alert of fly_billing"]


def test_a_test_alert_without_a_channel_fails() -> None:
    with pytest.raises(SettingsError, match="no alert channel is configured, so alerts are only logged"):
        send_test_alert(Terminal(file=io.StringIO()))

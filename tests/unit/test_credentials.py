"""A live Stripe key works only in production, and no secret is sent unencrypted. Both are allow-lists."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from fly_billing.cli.local_sandbox import SANDBOX_KEY
from fly_billing.credentials import check_secret_address, check_stripe_key, is_this_machine
from fly_billing.postgres.database import BillingDatabase
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.clock import Clock
from fly_billing.resources.stripe_account import StripeAccount
from fly_billing.settings import SettingsError
from fly_billing.stripe_sync.client import make_stripe_client

PACKAGE = Path(__file__).parents[2] / "fly_billing"
SECRET = "51Hq3tSECRET"

# Texts that contain a live key, or look like a key, and are not a test key of the form that Stripe issues.
NO_TEST_KEYS = [
    f" sk_live_{SECRET}", f"sk_live_{SECRET} ", f"\tsk_live_{SECRET}", f"sk_live_{SECRET}\n", f"\nrk_live_{SECRET}",
    f"sk_live_{SECRET}\r", f"\ufeffsk_live_{SECRET}", f"\u200bsk_live_{SECRET}", f"'sk_live_{SECRET}'",
    f'"sk_live_{SECRET}"', f"`rk_live_{SECRET}`", f"SK_LIVE_{SECRET}", f"Sk_Live_{SECRET}",
    f"sk_org_live_{SECRET}", f"sk_org_test_{SECRET}", f"rk_org_live_{SECRET}", f"sk_live{SECRET}",
    f"Bearer sk_live_{SECRET}", f"pk_test_{SECRET}", f"pk_live_{SECRET}", f"whsec_{SECRET}", SECRET, " ", "sk_test_",
    f" sk_test_{SECRET}", f"sk_test_{SECRET} ", f"sk_test_{SECRET}\n", f'"sk_test_{SECRET}"', f"SK_TEST_{SECRET}",
    f"sk_test_{SECRET}\nsk_live_{SECRET}", f"sk_test_{SECRET};sk_live_{SECRET}", f"sk_test_{SECRET}-1",
    f"sk\uff3ftest\uff3f{SECRET}", f"sk_test_{SECRET}\u0661", f"\u0455k_test_{SECRET}", f"sk_test_{'1' * 251}",
    f"\x00sk_live_{SECRET}", f"sk_test_{SECRET}\x00",
]  # fmt: skip


@pytest.mark.parametrize("key", NO_TEST_KEYS)
@pytest.mark.parametrize("production", [False, True])
def test_a_text_that_is_not_a_valid_stripe_key_is_refused_and_never_repeated(key: str, production: bool) -> None:
    with pytest.raises(SettingsError, match="STRIPE_API_KEY") as refused:
        check_stripe_key(key, production=production)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("key", [f"sk_live_{SECRET}", f"rk_live_{SECRET}"])
def test_a_live_key_works_in_production_only(key: str) -> None:
    assert check_stripe_key(key, production=True) == key
    with pytest.raises(SettingsError, match="is a live key, but FLY_BILLING_ENV is not 'production'") as refused:
        check_stripe_key(key, production=False)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("key", [f"sk_test_{SECRET}", f"rk_test_{SECRET}", SANDBOX_KEY])
def test_a_test_key_works_outside_production_only(key: str) -> None:
    assert check_stripe_key(key, production=False) == key
    with pytest.raises(SettingsError, match="is not a live key") as refused:
        check_stripe_key(key, production=True)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("key", [None, ""])
def test_the_error_for_a_missing_key_names_the_fix(key: str | None) -> None:
    with pytest.raises(SettingsError, match="STRIPE_API_KEY is not set: use `make dev`"):
        check_stripe_key(key, production=False)


SAFE = [
    "https://api.example", "https://api.example/", "https://api.example:8443/proxy/", "HTTPS://api.example",
    "http://127.0.0.1:12111", "http://127.0.0.1", "http://127.8.9.10:1", "http://[::1]:12111/", "http://localhost:3000",
    "http://LOCALHOST:3000", "https://10.0.0.7:8443", "https://[2001:db8::1]/",
]  # fmt: skip
UNSAFE = [
    "http://api.example", "HTTP://api.example", "http://127.0.0.1.evil.example", "http://localhost.evil.example",
    "http://localhost@evil.example", "http://127.0.0.1:80@evil.example/", "http://evil.example#@127.0.0.1",
    "http://evil.example\\@127.0.0.1", "http://127.0.0.1\\@evil.example", "http://127.0.0.1\t.evil.example",
    "http://evil.example/?http://127.0.0.1", "http://127.1", "http://2130706433", "http://0x7f.0.0.1",
    "http://0177.0.0.1", "http://0.0.0.0", "http://[::]", "http://[::ffff:10.0.0.1]", "http://128.0.0.1",
    "http://10.0.0.1", "http://localhost.", "http://l\u043ecalhost", "http://127.0.0.1\u3002evil.example",
    "http://\u0661\u0662\u0667.0.0.1", "https://user:password@api.example", "https://user@api.example", "ftp://127.0.0.1",
    "file:///etc/passwd", "//127.0.0.1", "127.0.0.1:12111", "localhost:12111", "https://", "https:///path", "https:api",
    "http:/127.0.0.1", "https://api.example:0", "https://api.example:99999", "https://api.example:port", " https://a.example",
    "https://a.example\n", "https://a.example /", "https://[::1", "https://a_b%2e.example",
    "http://%31%32%37.0.0.1", "",
    "http://[::1%25eth0]", "http://[127.0.0.1]", "javascript:alert(1)",
]  # fmt: skip


@pytest.mark.parametrize("url", SAFE)
def test_a_secret_is_sent_to_https_or_to_this_machine(url: str) -> None:
    assert check_secret_address("STRIPE_API_BASE", url, is_base=True) == url


@pytest.mark.parametrize("url", UNSAFE)
@pytest.mark.parametrize("is_base", [True, False])
def test_a_secret_is_sent_to_no_other_address_and_the_address_is_not_repeated(url: str, is_base: bool) -> None:
    with pytest.raises(SettingsError, match=r"^STRIPE_API_BASE must be an address such as https://") as refused:
        check_secret_address("STRIPE_API_BASE", url, is_base=is_base)
    assert "evil" not in str(refused.value)
    assert "password@ " not in str(refused.value)


def test_an_address_that_paths_are_appended_to_has_no_query() -> None:
    assert check_secret_address("ALERT_WEBHOOK_URL", "https://chat.example/hook?token=1")
    with pytest.raises(SettingsError):
        check_secret_address("STRIPE_API_BASE", "https://api.example/?a=1", is_base=True)


@pytest.mark.parametrize(
    ("setting", "given"),
    [
        ("ALERT_WEBHOOK_URL", {"alert_webhook_url": "http://chat.example/hook-SECRET"}),
        (
            "SLACK_API_BASE",
            {"slack_bot_token": "xoxb-1", "slack_channel": "#b", "slack_api_base": "http://proxy.example"},
        ),
    ],
)
def test_an_alert_channel_that_would_send_its_secret_unencrypted_is_refused(
    setting: str, given: dict[str, str]
) -> None:
    with pytest.raises(SettingsError, match=f"^{setting} must be") as refused:
        Alerts(**given).channels()
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize("proxy", ["HTTP_PROXY", "https_proxy", "HTTPS_PROXY"])
def test_a_proxy_never_reads_slacks_token_in_the_clear(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    slack = {"slack_bot_token": "xoxb-1", "slack_channel": "#b"}
    monkeypatch.setenv(proxy, "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(SettingsError, match=r"^SLACK_API_BASE is http, so a proxy .* add 127.0.0.1 to NO_PROXY"):
        Alerts(**slack, slack_api_base="http://127.0.0.1:9/api/").channels()
    assert Alerts(**slack, slack_api_base="https://slack.example/api/").channels()
    assert Alerts(**slack).channels()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert Alerts(**slack, slack_api_base="http://127.0.0.1:9/api/").channels()


@pytest.mark.parametrize(
    ("host", "is_here"),
    [("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("mail.example", False),
     ("127.0.0.1.example", False), ("10.0.0.1", False), ("127.1", False), ("", False)],
)  # fmt: skip
def test_a_mail_password_is_sent_unencrypted_only_to_this_machine(host: str, is_here: bool) -> None:
    assert is_this_machine(host) is is_here


def test_a_client_refuses_unguarded_keys_and_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, base in [(f" sk_live_{SECRET}", None), ("sk_test_1", "http://stripe.example")]:
        with pytest.raises(SettingsError):
            make_stripe_client(key, base)
        with pytest.raises(SettingsError):
            StripeAccount(api_key=key, api_base=base).sync_tools(BillingDatabase("postgresql://x"), Clock(), "test")
    monkeypatch.setenv("FLY_BILLING_ENV", "production")
    with pytest.raises(SettingsError):
        StripeAccount(api_key="sk_test_1").sync_tools(BillingDatabase("postgresql://x"), Clock(), "test")


def test_stripe_clients_are_made_in_one_place() -> None:
    makers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("StripeClient")
    }
    assert makers == {"stripe_sync/client.py"}
    keys = [
        str(path)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assign) and any(ast.unparse(target) == "stripe.api_key" for target in node.targets)
    ]
    assert keys == []  # the module's own key would be used by every call past the client

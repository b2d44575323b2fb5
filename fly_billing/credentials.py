"""Decides which Stripe keys may be used, and to which addresses a secret may be sent. Both are allow-lists.

Add every rule here that decides if a key, token or password may leave this machine. `settings` reads them from the
environment.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from fly_billing.settings import SettingsError

# The form of Stripe's keys: kind, mode, then ASCII letters and digits. Organization keys (sk_org_...) match neither:
# they act on every account of an organization and need a Stripe-Context header, which this project never sends.
_TEST_KEY = re.compile(r"(?:sk|rk)_test_[0-9A-Za-z_]{1,250}")
_LIVE_KEY = re.compile(r"(?:sk|rk)_live_[0-9A-Za-z_]{1,250}")
_HOST_NAME = re.compile(r"[0-9a-z](?:[0-9a-z.-]*[0-9a-z])?")
_IPV6 = re.compile(r"[0-9a-f:.]+")


def check_stripe_key(key: str | None, *, production: bool) -> str:
    """Return the key if it may be used: a live key in production, a test key everywhere else.

    Raises:
        SettingsError: It may not. The message never repeats the key.
    """
    if not key:
        raise SettingsError("STRIPE_API_KEY is not set: use `make dev` for the local sandbox, or a key of your account")
    is_live = _LIVE_KEY.fullmatch(key) is not None
    if is_live and not production:
        raise SettingsError("STRIPE_API_KEY is a live key, but FLY_BILLING_ENV is not 'production': refusing to use it")
    if production and not is_live:
        raise SettingsError(
            "FLY_BILLING_ENV is 'production', but STRIPE_API_KEY is not a live key: refusing to use it."
            f" {_form('sk_live_ or rk_live_')}"
        )
    if not is_live and _TEST_KEY.fullmatch(key) is None:
        raise SettingsError(f"STRIPE_API_KEY is not a test key: refusing to use it. {_form('sk_test_ or rk_test_')}")
    return key


def check_stripe_access(key: str | None, base: str | None, *, production: bool) -> str:
    """Return the key if it may be used and sent to the address `base` (None: Stripe). Else raise SettingsError."""
    if base:
        check_secret_address("STRIPE_API_BASE", base, is_base=True)
    return check_stripe_key(key, production=production)


def _form(prefixes: str) -> str:
    return (
        f"It must begin with {prefixes}, followed by ASCII letters, digits and underscores only: no spaces, quotes or"
        " line breaks; keys of an organization (sk_org_) are not supported"
    )


def check_secret_address(setting: str, url: str, *, is_base: bool = False) -> str:
    """Return the URL if a secret may be sent to it: https, or http to this machine (127.0.0.0/8, ::1, localhost).

    Args:
        setting: The setting's name, for the message.
        url: The address.
        is_base: True if paths are appended to the URL, which then must not have a query.

    Raises:
        SettingsError: The URL may not be used. The message never repeats it, as it may be a secret itself.
    """
    if not _may_be_sent_a_secret(url, is_base=is_base):
        example = "https://host" if is_base else "https://host/path"
        raise SettingsError(
            f"{setting} must be an address such as {example}: https, because a secret is sent there (http only for"
            " 127.0.0.1, ::1 or localhost), without spaces, without user:password@"
            + (", without ? or #" if is_base else ", without #")
        )
    return url


def _may_be_sent_a_secret(url: str, *, is_base: bool) -> bool:
    # urlsplit drops tabs and line breaks, and clients read backslashes differently: refuse both before parsing.
    if not url.isascii() or not url.isprintable() or any(character in url for character in " \\#"):
        return False
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or port == 0 or "@" in parts.netloc or (is_base and "?" in url):
        return False
    if not (_HOST_NAME.fullmatch(host) or ("[" in parts.netloc and _IPV6.fullmatch(host))):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_this_machine(host))


def is_this_machine(host: str) -> bool:
    """Return True if the host is localhost, ::1 or an address of 127.0.0.0/8, written in full."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

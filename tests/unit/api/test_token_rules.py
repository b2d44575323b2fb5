"""Tokens: their form, what they read, and until when."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from fly_billing.api.rules.access import ApiToken, check_scopes, read_scopes
from fly_billing.api.rules.tokens import CUSTOMER, OPERATOR, digest_token, is_token, token_of
from tests.support.builders import at

SECRET = bytes(range(32))
TOKEN = ApiToken(
    UUID(int=1), "acme", None, ("usage",), "site", "ann", None, at("2026-09-01"), at("2026-10-01"), None, None
)


def test_a_token_has_a_prefix_256_bits_and_a_checksum() -> None:
    token = token_of(SECRET, CUSTOMER)
    assert token == "fbc_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8" + token[-8:]
    assert len(token) == 4 + 43 + 8
    assert is_token(token)
    assert is_token(token_of(SECRET, OPERATOR))
    assert digest_token("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4


@pytest.mark.parametrize("wrong", ["", "fbc_", "fbu_" + "A" * 51, "x" * 55])
def test_other_text_is_no_token(wrong: str) -> None:
    assert not is_token(wrong)


def test_a_token_with_one_wrong_character_is_known_by_its_checksum() -> None:
    token = token_of(SECRET, CUSTOMER)
    changed = [token[:n] + ("B" if token[n] != "B" else "C") + token[n + 1 :] for n in range(4, len(token))]
    assert not any(map(is_token, changed))


def test_a_token_works_until_it_expires_or_is_revoked() -> None:
    end = TOKEN.expires_at
    assert TOKEN.works(end - timedelta(microseconds=1))
    assert not TOKEN.works(end)
    revoked = replace(TOKEN, revoked_at=at("2026-09-10"), revoked_by="ann")
    states = [revoked.state(at(day)) for day in ("2026-09-09", "2026-09-10", "2026-10-02")]
    assert states == ["ends soon", "revoked", "revoked"]
    assert [TOKEN.state(at(day)) for day in ("2026-09-30", "2026-10-01")] == ["works", "expired"]


def test_an_organizations_token_reads_its_own_organization_and_its_scopes_only() -> None:
    assert (TOKEN.is_about("acme"), TOKEN.is_about("labs"), TOKEN.may_issue) == (True, False, False)
    assert [scope for scope in ("statement", "usage") if TOKEN.has_scope(scope)] == ["usage"]
    support = replace(TOKEN, organization_id=None, role="support", scopes=())
    assert (support.is_about("labs"), support.has_scope("statement"), support.has_scope("invoices")) == (
        True,
        True,
        False,
    )
    assert replace(support, role="issuer").may_issue


def test_scopes_are_read_in_any_order_and_unknown_ones_are_named() -> None:
    assert read_scopes("usage, statement,usage") == ("statement", "usage")
    with pytest.raises(ValueError, match="'all' is not a scope: choose from statement, invoices"):
        check_scopes(["all"])
    with pytest.raises(ValueError, match="without a scope may do nothing"):
        read_scopes(" , ")

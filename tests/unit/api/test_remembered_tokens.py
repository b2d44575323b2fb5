"""A token is looked up once in two seconds, so a revocation takes effect within two seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from fly_billing.api.rules import remembered_tokens
from fly_billing.api.rules.access import ApiToken
from fly_billing.api.rules.remembered_tokens import RememberedTokens

SINCE, UNTIL = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
TOKEN = ApiToken(UUID(int=1), "acme", None, ("usage",), "site", "ann", None, SINCE, UNTIL, None, None)


def test_a_token_is_remembered_for_two_seconds_from_when_the_database_was_asked() -> None:
    tokens = RememberedTokens()
    tokens.remember("digest", TOKEN, asked=10.0)
    assert tokens.find("digest", 11.9) is TOKEN
    assert tokens.find("digest", 12.0) is None
    assert tokens.find("another", 11.9) is None


def test_being_asked_for_does_not_make_a_token_remembered_for_longer() -> None:
    tokens = RememberedTokens()
    tokens.remember("digest", TOKEN, asked=0.0)
    assert [tokens.find("digest", tenth / 10) is TOKEN for tenth in (5, 10, 15, 19, 20, 25)] == [True] * 4 + [False] * 2


def test_only_so_many_tokens_are_remembered_and_old_ones_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered_tokens, "MOST_TOKENS", 2)
    tokens = RememberedTokens()
    for name in ("first", "second", "third"):
        tokens.remember(name, TOKEN, asked=0.0)
    assert [tokens.find(name, 1.0) is TOKEN for name in ("first", "second", "third")] == [True, True, False]
    tokens.remember("third", TOKEN, asked=2.0)
    assert tokens.find("third", 3.0) is TOKEN

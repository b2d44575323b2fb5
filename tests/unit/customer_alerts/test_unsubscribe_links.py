"""A link stops e-mails about one organization to one address, and can't be made without the secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.customer_alerts.rules.unsubscribe_links import (
    Unsubscription,
    digest_address,
    read_unsubscribe_token,
    unsubscribe_token,
)

SECRET = "0123456789abcdef" * 2
TOKEN = unsubscribe_token(SECRET, "acme", "Billing@Acme.example")


def test_a_link_names_its_organization_and_the_digest_of_its_address() -> None:
    assert read_unsubscribe_token([SECRET], TOKEN) == Unsubscription("acme", digest_address("billing@acme.example"))
    assert TOKEN.replace(".", "").replace("-", "").replace("_", "").isalnum()
    assert "acme" not in TOKEN


@pytest.mark.parametrize("token", ["", ".", "x", "é.é", TOKEN[:-1], TOKEN + "A", TOKEN.replace(".", ""), "A" * 1000])
def test_any_other_text_is_no_link(token: str) -> None:
    assert read_unsubscribe_token([SECRET], token) is None


def test_a_link_of_the_secret_before_a_rotation_still_works() -> None:
    assert read_unsubscribe_token(["f" * 32, SECRET], TOKEN) is not None


def test_another_secret_signs_no_link() -> None:
    assert read_unsubscribe_token(["f" * 32, "e" * 32], TOKEN) is None


@given(st.integers(0, len(TOKEN) - 1), st.characters(codec="ascii"))
def test_no_character_of_a_link_can_be_changed(position: int, character: str) -> None:
    changed = TOKEN[:position] + character + TOKEN[position + 1 :]
    assert (read_unsubscribe_token([SECRET], changed) is not None) == (changed == TOKEN)


@given(st.text())
def test_no_text_raises_an_error(token: str) -> None:
    assert read_unsubscribe_token([SECRET], token) is None

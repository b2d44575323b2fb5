"""A link shows one organization until it expires; nobody without a secret makes, changes or extends one."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.api.page_links import PageLinks
from fly_billing.api.rules.links import PageLink, read_link, write_link
from fly_billing.settings import Settings, SettingsError

NOW = datetime(2026, 10, 5, 12, tzinfo=UTC)
OLD, NEW = "o" * 32, "n" * 32
WEEK = timedelta(days=7)
ACME = PageLink("acme", NOW + WEEK)


def test_a_link_is_read_with_the_secret_that_signed_it_until_it_expires() -> None:
    text = write_link(ACME, OLD)
    assert read_link(text, [OLD], NOW) == ACME
    assert read_link(text, [OLD], NOW + WEEK - timedelta(seconds=1)) == ACME
    assert read_link(text, [OLD], NOW + WEEK) is None
    assert read_link(text, [NEW], NOW) is None
    assert read_link(text, [], NOW) is None


def test_links_of_the_secret_before_work_during_a_rotation_and_new_ones_are_signed_with_the_first() -> None:
    before = write_link(ACME, OLD)
    links = PageLinks((NEW, OLD), "https://billing.example.com")
    assert links.read(before, NOW) == ACME
    made = links.make("acme", 7, NOW)
    assert made.url.startswith("https://billing.example.com/statement/")
    text = made.url.rpartition("/")[2]
    assert PageLinks((NEW,)).read(text, NOW) == made.shown == ACME
    assert PageLinks((NEW,)).read(before, NOW) is None  # the rotation is over


def test_a_link_that_would_work_longer_than_any_that_we_make_does_not_work() -> None:
    text = write_link(PageLink("acme", NOW + timedelta(days=91)), OLD)
    assert read_link(text, [OLD], NOW) is None
    assert read_link(text, [OLD], NOW + timedelta(days=1)) is not None


@given(
    organization=st.text(min_size=1, max_size=200).filter(lambda text: text.encode("utf-8", "ignore").decode() == text),
    position=st.integers(0, 10_000),
    letter=st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/. %é"),
)
def test_no_letter_of_a_link_can_be_changed_added_or_left_out(organization: str, position: int, letter: str) -> None:
    link = PageLink(organization, NOW + WEEK)
    text = write_link(link, OLD)
    assert read_link(text, [OLD], NOW) == link
    at = position % len(text)
    others = {text[:at] + letter + text[at + 1 :], text[:at] + letter + text[at:], text[:at] + text[at + 1 :]} - {text}
    assert {read_link(other, [OLD], NOW) for other in (*others, text + "\n", text + "=", " " + text)} == {None}


def test_no_signature_made_for_another_organization_or_expiry_is_one_for_this() -> None:
    acme, labs = (
        base64.urlsafe_b64decode(pad(write_link(PageLink(name, NOW + WEEK), OLD))) for name in ("acme", "labs")
    )
    mixed = base64.urlsafe_b64encode(labs[:-32] + acme[-32:]).decode().rstrip("=")
    later = base64.urlsafe_b64encode(acme[:5] + bytes([acme[5] ^ 1]) + acme[6:]).decode().rstrip("=")
    assert [read_link(text, [OLD], NOW) for text in (mixed, later)] == [None, None]


def pad(text: str) -> str:
    return text + "=" * (-len(text) % 4)


@pytest.mark.parametrize("text", ["", "A", "AQ", "AQ" * 700, "é", "\x00", "=" * 8, "A" * 64])
def test_any_other_text_is_no_link(text: str) -> None:
    assert read_link(text, [OLD], NOW) is None


def test_a_secret_is_long_there_are_at_most_two_and_no_message_has_it() -> None:
    def secrets(text: str) -> tuple[str, ...]:
        return Settings.from_environment({"FLY_BILLING_LINK_SECRET": text}).link_secrets

    assert Settings.from_environment({}).link_secrets == ()
    assert secrets(f"{NEW}, {OLD}") == (NEW, OLD)
    for wrong in ("hunter2", f"{NEW},hunter2", f"{NEW},", f"{NEW},{OLD},{'x' * 32}"):
        with pytest.raises(SettingsError, match="at least 32 characters") as refused:
            secrets(wrong)
        assert not [secret for secret in ("hunter2", NEW) if secret in str(refused.value)]
    assert NEW not in repr(PageLinks((NEW,)))


def test_without_a_secret_no_link_is_made() -> None:
    with pytest.raises(SettingsError, match="FLY_BILLING_LINK_SECRET is not set"):
        PageLinks().make("acme", 7, NOW)

"""A link shows one organization until it expires; nobody without a secret makes, changes or extends one."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.api.page_links import NotALink, PageLinks, link_id_of
from fly_billing.api.rules.links import PageLink, read_link, read_link_id, write_link
from fly_billing.settings import Settings, SettingsError

NOW = datetime(2026, 10, 5, 12, tzinfo=UTC)
OLD, NEW = "o" * 32, "n" * 32
WEEK = timedelta(days=7)
ID = UUID("5a2f9c1e-3b7d-4c48-9f0a-6d1e2b3c4f50")
ACME = PageLink("acme", NOW + WEEK, ID)
# ACME, as it was before links had ids.
WITHOUT_ID = "AQBqzMvAYWNtZa21wzLGH0eHJ20SxMVK50Zl5ubYBdbFH1oYK5w6f9GH"


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
    assert PageLinks((NEW,)).read(text, NOW) == made.shown
    assert (made.shown.organization_id, made.shown.expires_at) == ("acme", NOW + WEEK)
    assert PageLinks((NEW,)).read(before, NOW) is None  # the rotation is over


def test_a_link_that_would_work_longer_than_any_that_we_make_does_not_work() -> None:
    text = write_link(PageLink("acme", NOW + timedelta(days=91), ID), OLD)
    assert read_link(text, [OLD], NOW) is None
    assert read_link(text, [OLD], NOW + timedelta(days=1)) is not None


@given(
    organization=st.text(min_size=1, max_size=200).filter(lambda text: text.encode("utf-8", "ignore").decode() == text),
    position=st.integers(0, 10_000),
    letter=st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/. %é"),
)
def test_no_letter_of_a_link_can_be_changed_added_or_left_out(organization: str, position: int, letter: str) -> None:
    link = PageLink(organization, NOW + WEEK, ID)
    text = write_link(link, OLD)
    assert read_link(text, [OLD], NOW) == link
    at = position % len(text)
    others = {text[:at] + letter + text[at + 1 :], text[:at] + letter + text[at:], text[:at] + text[at + 1 :]} - {text}
    assert {read_link(other, [OLD], NOW) for other in (*others, text + "\n", text + "=", " " + text)} == {None}


def test_no_signature_made_for_another_organization_or_expiry_is_one_for_this() -> None:
    acme, labs = (
        base64.urlsafe_b64decode(pad(write_link(PageLink(name, NOW + WEEK, ID), OLD))) for name in ("acme", "labs")
    )
    mixed = base64.urlsafe_b64encode(labs[:-32] + acme[-32:]).decode().rstrip("=")
    later = base64.urlsafe_b64encode(acme[:5] + bytes([acme[5] ^ 1]) + acme[6:]).decode().rstrip("=")
    assert [read_link(text, [OLD], NOW) for text in (mixed, later)] == [None, None]


def pad(text: str) -> str:
    return text + "=" * (-len(text) % 4)


def test_a_link_that_was_made_before_links_had_ids_works_until_it_expires() -> None:
    assert read_link(WITHOUT_ID, [OLD], NOW) == PageLink("acme", NOW + WEEK, None)
    assert read_link(WITHOUT_ID, [OLD], NOW + WEEK) is None
    as_if_it_had_one = base64.urlsafe_b64encode(b"\x02" + base64.urlsafe_b64decode(WITHOUT_ID)[1:]).decode()
    assert read_link(as_if_it_had_one, [OLD], NOW) is None
    with pytest.raises(ValueError, match="every new link has an id"):
        write_link(PageLink("acme", NOW + WEEK, None), OLD)


def test_each_link_has_its_own_id_which_its_address_or_the_id_itself_names() -> None:
    first, second = (PageLinks((NEW,)).make("acme", 7, NOW) for _ in range(2))
    assert first.shown.id != second.shown.id
    for text in (first.url, f" {first.url}?month=2026-09\n", f"{first.url}/#apps", str(first.shown.id)):
        assert link_id_of(text) == first.shown.id
    for text in (WITHOUT_ID, f"https://billing.example.com/statement/{WITHOUT_ID}", "acme", "", first.url[:40]):
        with pytest.raises(NotALink, match="is neither a link to a page nor the id of one"):
            link_id_of(text)


@given(st.binary(max_size=120))
def test_the_id_of_any_text_is_read_or_is_none(content: bytes) -> None:
    for version in (b"", b"\x01", b"\x02"):
        text = base64.urlsafe_b64encode(version + content).decode().rstrip("=")
        found = read_link_id(text)
        assert found is None or found.bytes == (version + content)[6:22]


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

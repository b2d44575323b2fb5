"""Organizations get ids from their names, and a permanent billing group."""

import pytest

from fly_billing.invoicing.rules.billing_groups import billing_group_of, slug


def test_the_first_organizations_each_have_their_own_group() -> None:
    assert billing_group_of("acme", 0, max_own=2, shared=16) == "acme"
    assert billing_group_of("acme", 1, max_own=2, shared=16) == "acme"


def test_later_organizations_share_groups() -> None:
    assert billing_group_of("acme", 2, max_own=2, shared=16) == "tail-00"
    assert billing_group_of("globex", 3, max_own=2, shared=16) == "tail-07"


@pytest.mark.parametrize(
    ("shared", "groups"),
    [
        (1, ["tail-00", "tail-00"]),
        (100, ["tail-72", "tail-99"]),
        (101, ["tail-085", "tail-001"]),
        (1001, ["tail-0870", "tail-0107"]),
    ],
)
def test_an_organization_s_group_is_the_same_on_any_machine(shared: int, groups: list[str]) -> None:
    """The first 8 bytes of `printf acme | sha256sum` are 822b33ad87c148a0: 72 after whole hundreds."""
    assert [billing_group_of(name, 9, max_own=0, shared=shared) for name in ("acme", "globex")] == groups


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Acme, Inc.", "acme-inc"),
        ("Foo_Bar  2", "foo-bar-2"),
        ("  XYZ  ", "xyz"),
        ("-x-", "x"),
        ("ÄÖ", "x"),
        ("", "x"),
    ],
)
def test_an_id_is_written_with_letters_digits_and_single_hyphens(name: str, written: str) -> None:
    assert slug(name) == written

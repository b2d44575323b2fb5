"""Billing groups are split over the processes of a run, and over locks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fly_billing.group_parts import LOCKS, lock_of, split_groups, split_in_order

SHARED = [f"tail-{number:02}" for number in range(64)]
OWN = [f"org-{number}" for number in range(200)]
GROUPS = [*OWN, *SHARED]


def test_shared_groups_have_a_lock_each_and_groups_of_one_organization_have_others() -> None:
    assert [lock_of(name) for name in SHARED] == list(range(64))
    assert all(LOCKS <= lock_of(name) < 2 * LOCKS for name in (*OWN, "tail-", "tail-x", "tail-1-2"))
    assert len({lock_of(name) for name in OWN}) > 150
    assert lock_of("acme") == 1598  # the same in every process and release: two versions may run beside each other


def test_there_are_never_more_locks_than_postgres_has_room_for() -> None:
    many = [f"tail-{number:05}" for number in range(5000)] + [f"org-{number}" for number in range(5000)]
    assert {lock_of(name) for name in many} <= set(range(2 * LOCKS))


def test_groups_are_split_by_the_number_of_their_organizations() -> None:
    assert split_groups({"tail-00": 50, "tail-01": 30, "tail-02": 25, "acme": 1}, 2) == [
        ["acme", "tail-00"], ["tail-01", "tail-02"]
    ]  # fmt: skip
    assert split_groups({"tail-00": 2, "tail-01": 1}, 5) == [["tail-00"], ["tail-01"]]
    assert split_groups({}, 3) == []


def test_ranges_of_neighbors_have_about_the_same_number_of_organizations() -> None:
    assert split_in_order({"acme": 1, "tail-00": 50, "beta": 1, "tail-01": 30, "tail-02": 22}, 2) == [
        ["acme", "tail-00", "beta"], ["tail-01", "tail-02"]
    ]  # fmt: skip
    assert split_in_order({"acme": 1, "beta": 1}, 5) == [["acme"], ["beta"]]
    assert split_in_order({"tail-00": 100, "acme": 1, "beta": 1}, 3) == [["tail-00"], ["acme", "beta"]]


@given(st.dictionaries(st.sampled_from(GROUPS), st.integers(1, 100), min_size=1), st.integers(1, 8))
def test_each_group_is_in_one_range_in_its_order(sizes: dict[str, int], most: int) -> None:
    found = split_in_order(sizes, most)
    assert [group for some in found for group in some] == list(sizes)
    assert all(found) and len(found) <= most


def test_linked_groups_are_in_one_part_also_by_way_of_a_group_that_is_not_billed() -> None:
    sizes = dict.fromkeys(["tail-00", "tail-01", "tail-02"], 10)
    links = [("tail-00", "globex"), ("globex", "tail-02")]
    assert split_groups(sizes, 2, links) == [["tail-00", "tail-02"], ["tail-01"]]


def test_a_payer_of_organizations_in_many_groups_leaves_the_parts_about_equal() -> None:
    """20 groups are bound together; the other 44 fill all parts up."""
    links = [("tail-44", name) for name in SHARED[45:]]
    assert [len(part) for part in split_groups(dict.fromkeys(SHARED, 1), 3, links)] == [22, 21, 21]


@given(
    st.dictionaries(st.sampled_from(GROUPS), st.integers(0, 100)),
    st.lists(st.tuples(st.sampled_from(GROUPS), st.sampled_from(GROUPS)), max_size=80),
    st.integers(1, 8),
)
def test_each_group_is_in_one_part_and_no_two_parts_share_a_lock(
    sizes: dict[str, int], links: list[tuple[str, str]], parts: int
) -> None:
    found = split_groups(sizes, parts, links)
    assert len(found) <= parts
    assert sorted(group for part in found for group in part) == sorted(sizes)
    locks = [{lock_of(group) for group in part} for part in found]
    assert len(set().union(*locks)) == sum(map(len, locks))
    for first, second in links:
        if first in sizes and second in sizes:
            assert any({first, second} <= set(part) for part in found)

"""Organizations are spread over shards, and the shards over the processes of a run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fly_billing.invoicing.rules.shards import SHARDS, shard_of, split_shards

NAMES = [f"org-{number}" for number in range(1000)]


def test_organizations_are_spread_over_all_shards() -> None:
    assert {shard_of(name) for name in NAMES} == set(range(SHARDS))
    assert shard_of("acme") == 62  # the same in every process and release: two versions may run beside each other


def test_shards_without_links_are_split_evenly() -> None:
    assert [len(part) for part in split_shards([], 3)] == [22, 21, 21]
    assert [len(part) for part in split_shards([], 100)] == [1] * SHARDS


def test_a_payer_of_organizations_in_many_shards_leaves_the_parts_about_equal() -> None:
    """20 shards are bound together; the other 44 fill all parts up."""
    of_shard = {shard_of(name): name for name in NAMES}
    links = [(of_shard[44], of_shard[shard]) for shard in range(45, SHARDS)]
    assert [len(part) for part in split_shards(links, 3)] == [22, 21, 21]


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=80), st.integers(1, 8))
def test_each_shard_is_in_one_part_and_a_payer_is_with_those_that_it_pays_for(
    links: list[tuple[str, str]], parts: int
) -> None:
    found = split_shards(links, parts)
    assert sorted(shard for part in found for shard in part) == list(range(SHARDS))
    assert all(any({shard_of(payer), shard_of(name)} <= part for part in found) for payer, name in links)

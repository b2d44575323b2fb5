"""A later export of a month adds new rows, keeps known rows, replaces changed rows and takes back missing rows."""

from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from fly_billing.focus.imports.identity import (
    ExportComparison,
    Identities,
    ImportedCharge,
    ImportScope,
    compare,
    covered_days,
)

SEPTEMBER, OCTOBER = date(2026, 9, 1), date(2026, 10, 1)
ACME = ImportScope("Prov", "", SEPTEMBER, "acme")
# A row: its owner, the day in September, its resource, its cost.
Row = tuple[ImportScope, int, str, str]


def charges(*rows: Row) -> list[ImportedCharge]:
    identities = Identities()
    return [
        ImportedCharge(identities.next_id(scope, [subject, str(day)], [cost]), scope.key, SEPTEMBER.replace(day=day))
        for scope, day, subject, cost in rows
    ]


def overlap(before: list[Row], now: list[Row], *, is_whole: bool = True) -> ExportComparison:
    covered = covered_days((scope, SEPTEMBER.replace(day=day)) for scope, day, _, _ in now)
    return compare(charges(*now), charges(*before), covered, is_whole=is_whole)


def counts(found: ExportComparison) -> tuple[int, int, int, int]:
    return len(found.new), len(found.known), len(found.changed), len(found.vanished)


def test_a_later_export_with_more_days_adds_only_their_rows() -> None:
    before: list[Row] = [(ACME, 18, "vm", "2"), (ACME, 18, "db", "4")]
    assert counts(overlap(before, [*before, (ACME, 19, "vm", "6")])) == (1, 2, 0, 0)


def test_equal_rows_differ_only_by_their_number() -> None:
    row: Row = (ACME, 18, "vm", "2")
    assert counts(overlap([row, row], [row, row, row])) == (1, 2, 0, 0)
    assert counts(overlap([row, row, row], [row])) == (0, 1, 0, 2)


def test_another_cost_of_the_same_resource_replaces_it() -> None:
    found = overlap([(ACME, 18, "vm", "2"), (ACME, 18, "vm", "3")], [(ACME, 18, "vm", "3"), (ACME, 18, "vm", "5")])
    assert counts(found) == (0, 1, 1, 0)
    assert found.taken_back == {charges((ACME, 18, "vm", "2"))[0].id}


def test_rows_missing_from_a_corrected_export_are_taken_back() -> None:
    found = overlap([(ACME, 17, "vm", "2"), (ACME, 18, "vm", "2")], [(ACME, 17, "vm", "2"), (ACME, 18, "db", "1")])
    assert (counts(found), len(found.taken_back)) == ((1, 1, 0, 1), 1)


def test_days_before_and_after_an_export_do_not_change() -> None:
    before: list[Row] = [(ACME, day, "vm", "2") for day in (1, 17, 18, 19, 30)]
    assert counts(overlap(before, [(ACME, 18, "vm", "2")])) == (0, 1, 0, 0)


def test_a_sub_account_that_an_export_does_not_name_does_not_change() -> None:
    beta = ImportScope("Prov", "", SEPTEMBER, "beta")
    assert counts(overlap([(beta, 18, "vm", "2")], [(ACME, 18, "vm", "2")])) == (1, 0, 0, 0)


def test_an_export_of_another_provider_or_billing_account_is_separate() -> None:
    for other in (ImportScope("Other", "", SEPTEMBER, "acme"), ImportScope("Prov", "payer", SEPTEMBER, "acme")):
        assert counts(overlap([(other, 18, "vm", "2")], [(ACME, 18, "vm", "2"), (ACME, 18, "db", "1")])) == (2, 0, 0, 0)


def test_a_correction_of_september_billed_in_october_takes_back_nothing_of_september() -> None:
    late = ImportScope("Prov", "", OCTOBER, "acme")
    assert counts(overlap([(ACME, 20, "vm", "2")], [(late, 20, "vm", "1"), (late, 30, "db", "1")])) == (2, 0, 0, 0)


def test_the_days_of_an_export_are_those_of_all_its_sub_accounts() -> None:
    """acme's charge of the 19th is gone; beta's shows that the export reaches as far."""
    beta = ImportScope("Prov", "", SEPTEMBER, "beta")
    before: list[Row] = [(ACME, 18, "vm", "2"), (ACME, 19, "vm", "2"), (beta, 19, "vm", "2")]
    assert counts(overlap(before, [before[0], before[2]])) == (0, 2, 0, 1)


def test_an_export_with_unreadable_rows_takes_nothing_back() -> None:
    found = overlap([(ACME, 18, "vm", "2"), (ACME, 18, "db", "2")], [(ACME, 18, "vm", "3")], is_whole=False)
    assert (counts(found), len(found.kept), len(found.taken_back)) == ((0, 0, 1, 1), 1, 1)


ROWS = st.lists(
    st.tuples(st.just(ACME), st.integers(1, 3), st.sampled_from(["vm", "db"]), st.sampled_from("123")), max_size=8
)


@given(ROWS, ROWS)
def test_the_charges_after_an_export_are_its_rows_and_those_of_the_days_around_it(
    before: list[Row], now: list[Row]
) -> None:
    found = overlap(before, now)
    assert len(found.new) + len(found.known) + len(found.changed) == len(now)
    assert len(found.replaced) == len(found.changed)
    days = [row[1] for row in now] or [0]
    outside = [row for row in before if not min(days) <= row[1] <= max(days)]
    left = ({charge.id for charge in charges(*before)} - found.taken_back) | found.new | found.changed
    assert left == {charge.id for charge in charges(*now)} | {charge.id for charge in charges(*outside)}

"""Ids begin with their month, are always the same, and differ for other names, namespaces and months."""

from uuid import UUID

from fly_billing.monthly_ids import month_number, monthly_id
from fly_billing.periods import LAST_MONTH, BillingMonth
from tests.support.builders import OCTOBER, SEPTEMBER, id_of

ACME = id_of("acme")


def test_an_id_begins_with_the_months_since_the_year_0() -> None:
    assert month_number(SEPTEMBER) == 2026 * 12 + 8 == 0x5F00
    assert str(monthly_id(SEPTEMBER, UUID(int=0), "price|1")) == "5f00ab2c-96cc-85c6-9db6-54108c5ec22a"
    assert [str(monthly_id(month, ACME, "a"))[:4] for month in (SEPTEMBER, OCTOBER)] == ["5f00", "5f01"]


def test_ids_of_a_month_follow_those_of_every_earlier_month() -> None:
    months = [BillingMonth(1970, 1), BillingMonth(2026, 12), BillingMonth(2027, 1), LAST_MONTH]
    earlier = [max(monthly_id(month, ACME, str(name)) for name in range(100)) for month in months]
    later = [min(monthly_id(month, ACME, str(name)) for name in range(100)) for month in months]
    assert all(first < second for first, second in zip(earlier, later[1:], strict=False))


def test_an_id_is_a_uuid_of_version_8_and_depends_on_all_that_it_names() -> None:
    ids = {
        monthly_id(month, namespace, name)
        for month in (SEPTEMBER, OCTOBER) for namespace in (ACME, id_of("labs")) for name in ("a", "b", "é")
    }  # fmt: skip
    assert len(ids) == 12
    assert {(one.version, one.variant) for one in ids} == {(8, "specified in RFC 4122")}
    assert monthly_id(SEPTEMBER, ACME, "a") == monthly_id(SEPTEMBER, ACME, "a")

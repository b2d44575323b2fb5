"""Over any sequence of amounts, corrections and restarts, each threshold is sent once a month, and none is left out."""

from __future__ import annotations

import json
from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fly_billing.customer_alerts.channels import WEBHOOK
from fly_billing.customer_alerts.evaluation import AlertChannels, AlertTerms, queue_spend_alerts
from fly_billing.customer_alerts.thresholds import add_threshold, remove_threshold
from fly_billing.periods import BillingMonth
from tests.support.builders import Platform, at
from tests.support.named_channels import NamedChannel
from tests.support.unguarded import damage

CHANNELS = AlertChannels(webhook=NamedChannel(WEBHOOK))
TERMS = AlertTerms(timedelta(hours=72))
THRESHOLDS = (10, 20, 30)
MONTHS = {"2026-09": at("2026-09-20"), "2026-10": at("2026-10-20")}
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("spend"), st.integers(-5, 40)),
        st.tuples(st.just("remove"), st.sampled_from(THRESHOLDS)),
        st.tuples(st.just("add"), st.sampled_from(THRESHOLDS)),
    ),
    max_size=12,
)


def set_spend(platform: Platform, month: str, dollars: int) -> None:
    """Let the month's upcoming invoice have this total."""
    platform.execute(
        "update invoices set total_cents = :cents where month = to_date(:month, 'YYYY-MM')",
        cents=dollars * 100, month=month,
    )  # fmt: skip


def sent(platform: Platform) -> list[tuple[str, str]]:
    """Return month and threshold of all messages."""
    bodies = [json.loads(row["body"])["data"] for row in platform.query("select body from alerts")]
    return [(data["month"], each["threshold"]) for data in bodies for each in data["thresholds"]]


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries(dict.fromkeys(MONTHS, STEPS)))
def test_each_threshold_is_sent_once_a_month_over_any_history(
    platform: Platform, history: dict[str, list[tuple[str, int]]]
) -> None:
    tables = ("alerts", "spend_alerts", "first_alerts", "spend_threshold_changes", "spend_thresholds")
    damage(platform.database, *(f"delete from {table}" for table in tables))  # noqa: S608 our names
    if not platform.query("select 1 from invoices"):
        for month, day in MONTHS.items():
            platform.add_one_off("acme", month, "1.00", day)
            platform.compute(BillingMonth.parse(month))
    for dollars in THRESHOLDS:
        add_threshold(platform.database, "acme", str(dollars))
    active, expected = set(THRESHOLDS), set()
    for month, now in MONTHS.items():
        spent = 0
        set_spend(platform, month, 0)
        for what, number in history[month]:
            if what == "spend":
                set_spend(platform, month, spent := number)
            elif what == "add":
                add_threshold(platform.database, "acme", str(number))
                active.add(number)
            elif number in active:
                remove_threshold(platform.database, "acme", str(number))
                active.discard(number)
            queue_spend_alerts(platform.database, CHANNELS, TERMS, now, lambda text: None)
            expected |= {(month, f"{dollars}.00") for dollars in active if dollars <= spent}
    assert sorted(sent(platform)) == sorted(expected)

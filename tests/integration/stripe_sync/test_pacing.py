"""All processes together call Stripe near its limits, never above them, and slow down when it refuses."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.client import make_stripe_client
from fly_billing.stripe_sync.rate_limiter import RateLimiter
from fly_billing.stripe_sync.reader import ReadingFailed, StripeReader
from fly_billing.stripe_sync.rules.retries import RetryPolicy
from fly_billing.stripe_sync.sender import StripeSender
from tests.support.stripe_builders import API_KEY, eventually, execute, query

ROOT = Path(__file__).resolve().parents[3]
# A process that waits for far more requests than it lives to send.
DOOMED = """
import sys, threading
from fly_billing.stripe_sync.rate_limiter import RateLimiter
from fly_billing.postgres.database import BillingDatabase
limiter = RateLimiter(BillingDatabase(sys.argv[1]), 100, 10)
for _ in range(15):
    threading.Thread(target=lambda: [limiter.wait("create") for _ in range(1000)]).start()
limiter.wait("create")
print("under way", flush=True)
"""


def started(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a process and return once it prints its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        encoding="utf-8",
    )
    assert process.stdout
    assert process.stdout.readline()
    return process


def url(database: BillingDatabase) -> str:
    return database.engine.url.render_as_string(hide_password=False)


def seconds(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def arrivals(sandbox: SandboxServer, endpoint: str) -> list[float]:
    """List when calls reached Stripe, in seconds, in order."""
    return sorted(datetime.fromisoformat(call["at"]).timestamp() for call in sandbox.control.calls(endpoint=endpoint))


def per_second(moments: Sequence[float]) -> float:
    return (len(moments) - 1) / (moments[-1] - moments[0])


def most_in_a_second(moments: Iterable[float]) -> int:
    """Count the busiest second, wherever it begins; a millisecond is left for the clocks."""
    all_of_them = sorted(moments)
    return max(sum(1 for moment in all_of_them if start <= moment < start + 0.999) for start in all_of_them)


def due(database: BillingDatabase, endpoints: Sequence[str], *, endpoint: float, account: float) -> list[float]:
    """Book a request to each of the endpoints, without waiting; return their exact times, in seconds.

    No endpoint is free before the year 2100, so the duration of the booking doesn't matter.
    """
    busy = "insert into stripe_pace (bucket, next_at) values (:name, '2100-01-01Z') on conflict do nothing"
    for name in set(endpoints):
        execute(database, busy, name=name)
    moments, known = [], booked(database)
    for name in endpoints:
        query(
            database,
            "select take_stripe_slot(:name, :endpoint, :account, 30)",
            name=name,
            endpoint=endpoint,
            account=account,
        )
        (moment,) = booked(database) - known
        known.add(moment)
        moments.append(moment)
    return moments


def booked(database: BillingDatabase) -> set[float]:
    """Return the moments at which the account's requests are due, in seconds."""
    wanted = "select extract(epoch from t)::float8 as due from stripe_pace, unnest(taken) as t where bucket = 'account'"
    return {row["due"] for row in query(database, wanted)}


def slowed(database: BillingDatabase) -> dict[str, float]:
    """Return the remaining pace after 429s, by bucket, in requests per second."""
    found = query(database, "select bucket, slowed_to from stripe_pace where slowed_to is not null")
    return {row["bucket"]: row["slowed_to"] for row in found}


def come_back(since: float) -> float:
    """Return the part of a pace of 24 per second that may have recovered since then (of time.monotonic)."""
    return 24 / 30 * (time.monotonic() - since)


def let_pass(database: BillingDatabase, time: str) -> None:
    """Move the last 429s further into the past."""
    execute(database, "update stripe_pace set slowed_at = slowed_at - cast(:time as interval)", time=time)


def test_a_limit_lower_than_expected_slows_requests_down_until_it_is_lifted(
    billing_database: BillingDatabase, sandbox: SandboxServer
) -> None:
    sandbox.control.seed_customer("cus_1234")
    # A second lasts an hour until the first refusal, so that even a slow machine reaches the limit.
    sandbox.control.settings(endpoint_per_second=10, global_per_second=100, rate_window_seconds=3600)

    def pause(seconds: float) -> None:
        sandbox.control.settings(rate_window_seconds=1)
        time.sleep(seconds)

    reader = StripeReader(
        make_stripe_client(API_KEY, sandbox.url), StripeSender(RateLimiter(billing_database, 100, 25), sleep=pause)
    )

    def read(times: int) -> list[bool]:
        with ThreadPoolExecutor(12) as pool:
            return list(pool.map(lambda _: reader.has_customer("cus_1234"), range(times)))

    assert read(80) == [True] * 80
    refused = len(sandbox.control.calls(status=429))
    assert refused > 0
    assert slowed(billing_database)["retrieve_customer"] <= 19.2  # four fifths of 24

    sandbox.control.settings(endpoint_per_second=25)
    let_pass(billing_database, "1 minute")
    assert read(60) == [True] * 60


def test_bookings_of_a_killed_process_delay_others_only_until_their_times(
    billing_database: BillingDatabase,
) -> None:
    process = started(DOOMED, url(billing_database))
    process.kill()
    process.communicate(timeout=600)
    limiter = RateLimiter(billing_database, 100, 10)
    # Its 15 threads had booked one each, due within two seconds; all 15,000 would take 27 minutes.
    assert seconds(lambda: limiter.wait("create")) < 300


def test_asking_for_two_limits_at_once_never_ends_in_a_deadlock(billing_database: BillingDatabase) -> None:
    paces = [RateLimiter(billing_database, 100_000, 100_000) for _ in range(6)]
    endpoints = ("aaa", "zzz")  # sorted before and after "account"

    def ask_on(number: int) -> None:
        for asked in range(30):
            paces[number % 6].wait(endpoints[asked % 2])
            paces[number % 6].slow_down(endpoints[number % 2], "global-rate" if asked % 2 else "endpoint-rate")

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(ask_on, range(12)))  # Postgres ends a deadlock with an error, which is raised here


@pytest.mark.parametrize(("endpoint", "account"), [(25, 100), (25, 25), (25, 40), (7, 61)])
def test_no_second_has_more_requests_than_the_limits_in_any_order_of_endpoints(
    billing_database: BillingDatabase, endpoint: int, account: int
) -> None:
    order = ["create"] * 40 + ["add_lines", "finalize", "create", "create_customer", "list"] * 15 + ["finalize"] * 40
    moments = due(billing_database, order, endpoint=endpoint, account=account)
    assert most_in_a_second(moments) <= account + 1
    for name in set(order):
        assert most_in_a_second(at for at, asked in zip(moments, order, strict=True) if asked == name) <= endpoint + 1


def test_requests_use_the_accounts_full_limit(billing_database: BillingDatabase) -> None:
    moments = due(billing_database, ["create", "add_lines", "finalize", "list"] * 50, endpoint=25, account=50)
    assert per_second(sorted(moments)) == pytest.approx(50, rel=0.02)


def test_requests_to_an_endpoint_are_due_one_after_the_other_and_not_in_bursts(
    billing_database: BillingDatabase,
) -> None:
    moments = due(billing_database, ["create"] * 50, endpoint=25, account=100)
    assert min(later - sooner for sooner, later in pairwise(moments[1:])) > 0.035


def test_a_long_queue_at_one_endpoint_delays_no_other_endpoint(billing_database: BillingDatabase) -> None:
    queue = due(billing_database, ["create"] * 50, endpoint=25, account=100)
    (other,) = due(billing_database, ["finalize"], endpoint=25, account=100)
    assert queue[-1] - queue[0] > 1.9
    assert other < queue[-1]


def test_a_429_slows_its_endpoint_down_for_every_process(billing_database: BillingDatabase) -> None:
    ours, theirs = RateLimiter(billing_database, 100, 10), RateLimiter(billing_database, 100, 10)
    for _ in range(10):
        slowed_at = time.monotonic()
        ours.slow_down("create", "endpoint-rate")
        let_pass(billing_database, "0.6 seconds")
    # About one a second, and the recovery since: the second request is due more than half of that after the first.
    started = time.monotonic()
    theirs.wait("create")
    theirs.wait("create")
    ended = time.monotonic()
    assert ended - started > 0.5 / (1.2 + 9.6 / 30 * (ended - slowed_at))
    assert list(slowed(billing_database)) == ["create"]


@pytest.mark.parametrize(
    ("reason", "bucket"),
    [
        ("global-rate", "account"),
        ("global-concurrency", "account"),
        ("endpoint-rate", "create"),
        ("endpoint-concurrency", "create"),
        ("resource-specific", "create"),
        (None, "create"),
    ],
)
def test_a_429_slows_the_limit_that_stripe_names(
    billing_database: BillingDatabase, reason: str | None, bucket: str
) -> None:
    RateLimiter(billing_database, 100, 25).slow_down("create", reason)
    assert list(slowed(billing_database)) == [bucket]


def test_refusals_that_come_together_slow_down_once(billing_database: BillingDatabase) -> None:
    limiter = RateLimiter(billing_database, 100, 25)  # 24 per second, a little below the limit
    started = time.monotonic()
    assert limiter.slow_down("create", "endpoint-rate") == pytest.approx(19.2)
    # In one statement, so that no half second passes between two of them on a slow machine.
    together = ", ".join(f"slow_stripe_pace('create', 24, 0.8, 1, 30, 0.5) as answer_{n}" for n in range(5))
    let_pass(billing_database, "0.6 seconds")
    (answers,) = query(billing_database, f"select {together}")
    # 0.48 had recovered after 0.6 seconds, and a little more on a slow machine.
    assert answers["answer_0"] == pytest.approx(15.74, abs=0.1 + come_back(started))
    assert list(answers.values()) == pytest.approx([answers["answer_0"]] * 5, abs=0.5)
    let_pass(billing_database, "0.6 seconds")
    assert limiter.slow_down("create", "endpoint-rate") == pytest.approx(12.98, abs=0.1 + come_back(started))


def test_the_pace_falls_to_one_a_second_at_worst_and_never_rises_above_its_limit(
    billing_database: BillingDatabase,
) -> None:
    limiter = RateLimiter(billing_database, 100, 2)
    for _ in range(10):
        limiter.slow_down("create", "endpoint-rate")
        let_pass(billing_database, "0.6 seconds")
    assert slowed(billing_database) == {"create": 1.0}
    let_pass(billing_database, "1 day")
    assert limiter.slow_down("create", "endpoint-rate") == pytest.approx(1.536)  # four fifths of 96 % of 2


def test_the_pace_recovers_linearly_within_half_a_minute(billing_database: BillingDatabase) -> None:
    limiter = RateLimiter(billing_database, 100, 25)
    limiter.slow_down("create", "endpoint-rate")
    started = time.monotonic()
    execute(billing_database, "update stripe_pace set slowed_to = 2, slowed_at = clock_timestamp()")
    let_pass(billing_database, "15 seconds")
    # 2 and half of 24 are 14; a refusal leaves four fifths of that.
    assert limiter.slow_down("create", "endpoint-rate") == pytest.approx(11.2, abs=0.1 + come_back(started))


@pytest.mark.parametrize(("seconds", "pace"), [(3, 21.6), (4.75, 23), (129.75, 23.5), (254.75, 24), (1000, 24)])
def test_the_last_request_a_second_comes_back_over_four_minutes(
    billing_database: BillingDatabase, seconds: float, pace: float
) -> None:
    """24 a second, refused: 19.2. In 4.75 s it gains 0.8 each, up to 23. Then it gains 1 in 250 s, up to 24."""
    refused = "(null, null, null, 19.2, now() - make_interval(secs => :seconds))"
    (found,) = query(billing_database, f"select stripe_pace_at(now(), {refused}, 24, 30) as pace", seconds=seconds)
    assert found["pace"] == pytest.approx(pace)


def test_a_refused_read_slows_the_pace(billing_database: BillingDatabase, sandbox: SandboxServer) -> None:
    sandbox.control.seed_customer("cus_1234")
    sandbox.control.settings(endpoint_per_second=1, rate_window_seconds=3600)
    limiter = RateLimiter(billing_database, 1000, 1000)
    reader = StripeReader(make_stripe_client(API_KEY, sandbox.url), StripeSender(limiter, sleep=lambda _: None))
    assert reader.has_customer("cus_1234")
    with pytest.raises(ReadingFailed):
        reader.has_customer("cus_1234")
    assert list(slowed(billing_database)) == ["retrieve_customer"]


def test_a_429_about_an_object_in_use_slows_nothing_down(
    billing_database: BillingDatabase, sandbox: SandboxServer
) -> None:
    sandbox.control.seed_customer("cus_1234")
    sandbox.control.settings(object_locks=True)
    # It is applied, and its answer is delayed for ten seconds, during which the customer is locked.
    sandbox.control.add_fault("slow", "customers.update", nth=1, seconds=10, after_apply=True)
    client = make_stripe_client(API_KEY, sandbox.url)
    limiter = RateLimiter(billing_database, 1000, 1000)
    first = threading.Thread(target=lambda: client.v1.customers.update("cus_1234", {"name": "first"}))
    first.start()
    eventually(lambda: sandbox.control.objects("customer")[0]["name"] == "first")
    sender = StripeSender(limiter, RetryPolicy(tries=1))
    answer = sender.read("update", lambda: client.v1.customers.update("cus_1234", {"name": "second"}))
    first.join()
    assert (answer.http_status, answer.code) == (429, "lock_timeout")
    assert slowed(billing_database) == {}


def test_the_rate_limit_starts_again_after_a_crash_of_postgres_lost_it(billing_database: BillingDatabase) -> None:
    limiter = RateLimiter(billing_database, 100, 25)
    limiter.wait("create")
    execute(billing_database, "truncate stripe_pace")
    limiter.wait("create")
    assert [row["bucket"] for row in query(billing_database, "select bucket from stripe_pace order by 1")] == [
        "account",
        "create",
    ]

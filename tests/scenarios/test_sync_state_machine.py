"""Orders of syncs, faults, crashes, webhooks and hand edits that nobody thought of: all is billed once, to the cent.

`make test` plays the same runs each time. HYPOTHESIS_PROFILE=explore plays many new ones; what they find is kept below
as a test of its own.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from fly_billing.embedded_postgres import PostgresServer, drop_database
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.client import StripeResponse
from fly_billing.stripe_sync.journal import StripeJournal
from fly_billing.stripe_sync.rules.requests import StripeRequest
from tests.scenarios.sync_machine import SyncMachine, make_template
from tests.scenarios.watched_process import WatchedHttp

# A run makes a database and talks to servers: it is slow, and meant to be.
SLOW = [HealthCheck.too_slow]
settings.register_profile(
    "play", max_examples=12, stateful_step_count=16, deadline=None, derandomize=True, suppress_health_check=SLOW
)
settings.register_profile(
    "explore", max_examples=1000, stateful_step_count=24, deadline=None, print_blob=True, suppress_health_check=SLOW
)
PROFILE = settings.get_profile(os.environ.get("HYPOTHESIS_PROFILE", "play"))
Playing = Callable[[type[SyncMachine]], SyncMachine]
# That there is something to find is all that counts, not the shortest way to it.
SEARCH = settings(settings.get_profile("play"), phases=[Phase.generate], report_multiple_bugs=False)


@pytest.fixture(scope="module")
def template(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a database with six organizations and two closed months, nothing finalized; copied for each run."""
    name = f"machine_{os.getpid()}"
    make_template(postgres, name, tmp_path_factory.mktemp("machine"))
    yield name
    drop_database(postgres, name)


@pytest.fixture
def playing(postgres: PostgresServer, sandbox_server: SandboxServer, template: str) -> Iterator[Playing]:
    """Return what makes a machine whose steps a test takes itself."""
    machines: list[SyncMachine] = []

    def play(kind: type[SyncMachine]) -> SyncMachine:
        machines.append(kind(postgres, sandbox_server, template))
        return machines[-1]

    yield play
    for machine in machines:
        machine.drop()


def explore(machine: Callable[[], SyncMachine], how: settings) -> None:
    """Play runs until one fails, each with a machine of its own."""
    run_state_machine_as_test(machine, settings=how)  # type: ignore[arg-type]  # a function does, says its docstring


def test_whatever_happens_everything_is_billed_once_and_to_the_cent(
    postgres: PostgresServer, sandbox_server: SandboxServer, template: str
) -> None:
    explore(lambda: SyncMachine(postgres, sandbox_server, template), PROFILE)


# The machine does find what is wrong ---------------------------------------------------------------------------------


class RandomKeys(WatchedHttp):
    """Sends each request under a key that nobody knows."""

    def request(self, method: str, url: str, headers: Mapping[str, str] | None, *rest: Any, **more: Any) -> Any:
        return super().request(method, url, {**(headers or {}), "Idempotency-Key": str(uuid4())}, *rest, **more)


class LateJournal(StripeJournal):
    """Writes a request down once it was answered."""

    def begin_attempt(self, invoice: UUID, request: StripeRequest, generation: int, key: str, now: datetime) -> int:
        object.__setattr__(self, "_begun", (invoice, request, generation, key, now))
        return 0

    def end_attempt(self, attempt: int, answer: StripeResponse, now: datetime) -> None:
        super().end_attempt(super().begin_attempt(*getattr(self, "_begun")), answer, now)  # noqa: B009 - no field: it is broken


NOTHING_FOUND = b'{"object": "list", "data": [], "has_more": false, "url": "/v1/invoices"}'


class BlindHttp(WatchedHttp):
    """Finds no invoice in Stripe, whatever is there: neither by its id nor in a list."""

    def request(self, method: str, url: str, headers: Mapping[str, str] | None, *rest: Any, **more: Any) -> Any:
        is_reading_one = method == "get" and "/v1/invoices/in_" in url
        answer = super().request(method, f"{url}-gone" if is_reading_one else url, headers, *rest, **more)
        is_list = method == "get" and "/v1/invoices?" in url
        return (NOTHING_FOUND, *answer[1:]) if is_list else answer


class WithRandomKeys(SyncMachine):
    http = RandomKeys


class WithLateJournal(SyncMachine):
    journal = LateJournal


class WithoutSight(SyncMachine):
    http = BlindHttp


def test_a_sync_under_random_keys_is_found(
    postgres: PostgresServer, sandbox_server: SandboxServer, template: str
) -> None:
    with pytest.raises(AssertionError, match="0 of them in the journal"):
        explore(lambda: WithRandomKeys(postgres, sandbox_server, template), SEARCH)


def test_a_sync_that_journals_late_is_found_where_it_dies(playing: Playing) -> None:
    machine = playing(WithLateJournal)
    machine.first_invoice("one line")
    with pytest.raises(AssertionError, match=r"1 calls under .*, 0 of them in the journal"):
        for moment in range(1, 60):
            machine.sync_and_die("nothing", 1, moment)
            machine.what_must_hold()


def test_a_sync_that_does_not_see_what_it_has_made_is_found(playing: Playing) -> None:
    machine = playing(WithoutSight)
    machine.first_invoice("one line")
    with pytest.raises(AssertionError, match="was finalized twice"):
        for _ in range(2):
            machine.sync_in_bad_weather("nothing", 1, "invoices.finalize", "applied_500", "the first")
            machine.what_must_hold()


# What was found ------------------------------------------------------------------------------------------------------


def sync_as_of_the_backup(machine: SyncMachine) -> None:
    """Restore the backup when Stripe has forgotten all keys, and sync from there."""
    machine.the_backup_is_restored()
    machine.time_passes(25)
    machine.sync(workers=1)
    machine.what_must_hold()
    machine.end_well()


def test_a_create_that_was_refused_before_the_backup_is_not_sent_again_after_it_was_restored(playing: Playing) -> None:
    machine = playing(SyncMachine)
    machine.first_invoice("one line")
    machine.sync_in_bad_weather("nothing", 1, "invoices.create", "error, 400", "the first")
    machine.a_backup_is_made()
    machine.sync(workers=1)
    sync_as_of_the_backup(machine)


def test_a_draft_begun_anew_before_the_backup_is_not_made_again_after_it_was_restored(playing: Playing) -> None:
    machine = playing(SyncMachine)
    machine.first_invoice("one line")
    machine.sync_in_bad_weather("nothing", 1, "invoices.add_lines", "error, 400", "the first")
    machine.somebody_is_at_the_dashboard("delete a draft", 0)
    machine.sync_in_bad_weather("nothing", 1, "invoices.create", "error, 400", "the first")
    machine.a_backup_is_made()
    machine.sync(workers=1)
    sync_as_of_the_backup(machine)


def test_a_draft_deleted_since_the_backup_and_made_anew_is_not_made_a_third_time(playing: Playing) -> None:
    machine = playing(SyncMachine)
    machine.first_invoice("one line")
    machine.sync_in_bad_weather("nothing", 1, "invoices.add_lines", "error, 400", "the first")
    machine.a_backup_is_made()
    machine.somebody_is_at_the_dashboard("delete a draft", 0)
    machine.sync(workers=1)
    sync_as_of_the_backup(machine)


def test_a_draft_that_is_too_much_is_removed_also_where_a_human_has_to_decide_between_others(playing: Playing) -> None:
    machine = playing(SyncMachine)
    machine.first_invoice("one line")
    machine.sync(workers=1)
    machine.somebody_is_at_the_dashboard("copy", 0)
    # The first of the two is paid, and so is the second: neither can be voided.
    machine.somebody_is_at_the_dashboard("pay", 0)
    machine.somebody_is_at_the_dashboard("pay", 0)
    machine.somebody_is_at_the_dashboard("copy as a draft", 0)
    machine.repair(is_permitted=False)
    assert machine.statuses_in_stripe() == ["paid", "paid"]

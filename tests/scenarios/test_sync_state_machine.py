"""Random orders of syncs, faults, crashes, webhooks and manual edits: every invoice is billed once, to the cent.

`make test` plays the same runs each time. HYPOTHESIS_PROFILE=explore plays many new ones; what they find is kept below
as a separate test.
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

# A run makes a database and talks to servers, so it is slow by design.
SLOW = [HealthCheck.too_slow]
settings.register_profile(
    "play", max_examples=12, stateful_step_count=16, deadline=None, derandomize=True, suppress_health_check=SLOW
)
settings.register_profile(
    "explore", max_examples=1000, stateful_step_count=24, deadline=None, print_blob=True, suppress_health_check=SLOW
)
PROFILE = settings.get_profile(os.environ.get("HYPOTHESIS_PROFILE", "play"))
Playing = Callable[[type[SyncMachine]], SyncMachine]
# These tests need any failure, not the shortest run that leads to it.
SEARCH = settings(settings.get_profile("play"), phases=[Phase.generate], report_multiple_bugs=False)


@pytest.fixture(scope="module")
def template(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database with six organizations and two closed months without final invoices, copied for each run; its name."""
    name = f"machine_{os.getpid()}"
    make_template(postgres, name, tmp_path_factory.mktemp("machine"))
    yield name
    drop_database(postgres, name)


@pytest.fixture
def playing(postgres: PostgresServer, sandbox_server: SandboxServer, template: str) -> Iterator[Playing]:
    """Return a function that makes a machine whose steps the test runs itself."""
    machines: list[SyncMachine] = []

    def play(kind: type[SyncMachine]) -> SyncMachine:
        machines.append(kind(postgres, sandbox_server, template))
        return machines[-1]

    yield play
    for machine in machines:
        machine.drop()


def explore(machine: Callable[[], SyncMachine], how: settings) -> None:
    """Play runs until one fails, each with a new machine."""
    run_state_machine_as_test(machine, settings=how)  # type: ignore[arg-type]  # a function does, says its docstring


def test_every_invoice_is_billed_once_and_to_the_cent_after_any_events(
    postgres: PostgresServer, sandbox_server: SandboxServer, template: str
) -> None:
    explore(lambda: SyncMachine(postgres, sandbox_server, template), PROFILE)


# The machine detects broken syncs ------------------------------------------------------------------------------------


class RandomKeys(WatchedHttp):
    """Sends each request under a random key."""

    def request(self, method: str, url: str, headers: Mapping[str, str] | None, *rest: Any, **more: Any) -> Any:
        return super().request(method, url, {**(headers or {}), "Idempotency-Key": str(uuid4())}, *rest, **more)


class LateJournal(StripeJournal):
    """Records a request only after its response."""

    def begin_attempt(self, invoice: UUID, request: StripeRequest, generation: int, key: str, now: datetime) -> int:
        object.__setattr__(self, "_begun", (invoice, request, generation, key, now))
        return 0

    def end_attempt(self, attempt: int, answer: StripeResponse, now: datetime) -> None:
        super().end_attempt(super().begin_attempt(*getattr(self, "_begun")), answer, now)  # noqa: B009 - no field: it is broken


NOTHING_FOUND = b'{"object": "list", "data": [], "has_more": false, "url": "/v1/invoices"}'


class BlindHttp(WatchedHttp):
    """Finds no invoice in Stripe, neither by its id nor in a list."""

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


def test_a_sync_that_journals_late_is_found_when_it_dies(playing: Playing) -> None:
    machine = playing(WithLateJournal)
    machine.first_invoice("one line")
    with pytest.raises(AssertionError, match=r"1 calls under .*, 0 of them in the journal"):
        for moment in range(1, 60):
            machine.sync_and_die("nothing", 1, moment)
            machine.run_audit()


def test_a_sync_that_does_not_see_its_own_invoices_is_found(playing: Playing) -> None:
    machine = playing(WithoutSight)
    machine.first_invoice("one line")
    with pytest.raises(AssertionError, match="was finalized twice"):
        for _ in range(2):
            machine.sync_during_faults("nothing", 1, "invoices.finalize", "applied_500", "the first")
            machine.run_audit()


# Found failures ------------------------------------------------------------------------------------------------------


def sync_as_of_the_backup(machine: SyncMachine) -> None:
    """Restore the backup when Stripe has forgotten all keys, and sync from there."""
    machine.the_backup_is_restored()
    machine.time_passes(25)
    machine.sync(workers=1)
    machine.run_audit()
    machine.resolve_everything()


def test_a_create_that_was_refused_before_the_backup_is_not_sent_again_after_the_restore(playing: Playing) -> None:
    machine = playing(SyncMachine)
    machine.first_invoice("one line")
    machine.sync_during_faults("nothing", 1, "invoices.create", "error, 400", "the first")
    machine.a_backup_is_made()
    machine.sync(workers=1)
    sync_as_of_the_backup(machine)


def test_a_draft_created_again_before_the_backup_is_not_created_a_third_time_after_the_restore(
    playing: Playing,
) -> None:
    machine = playing(SyncMachine)
    machine.first_invoice("one line")
    machine.sync_during_faults("nothing", 1, "invoices.add_lines", "error, 400", "the first")
    machine.simulate_a_manual_change("delete a draft", 0)
    machine.sync_during_faults("nothing", 1, "invoices.create", "error, 400", "the first")
    machine.a_backup_is_made()
    machine.sync(workers=1)
    sync_as_of_the_backup(machine)


def test_a_draft_deleted_since_the_backup_and_created_again_is_not_created_a_third_time(playing: Playing) -> None:
    machine = playing(SyncMachine)
    machine.first_invoice("one line")
    machine.sync_during_faults("nothing", 1, "invoices.add_lines", "error, 400", "the first")
    machine.a_backup_is_made()
    machine.simulate_a_manual_change("delete a draft", 0)
    machine.sync(workers=1)
    sync_as_of_the_backup(machine)


def test_an_extra_draft_is_removed_even_if_a_person_has_to_decide_between_others(playing: Playing) -> None:
    machine = playing(SyncMachine)
    machine.first_invoice("one line")
    machine.sync(workers=1)
    machine.simulate_a_manual_change("copy", 0)
    # The first of the two is paid, and so is the second: neither can be voided.
    machine.simulate_a_manual_change("pay", 0)
    machine.simulate_a_manual_change("pay", 0)
    machine.simulate_a_manual_change("copy as a draft", 0)
    machine.repair(is_permitted=False)
    assert machine.statuses_in_stripe() == ["paid", "paid"]

"""The control API and the server process: clock, call log, manual edits, restarts, the command line."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stripe

from fly_billing.stripe_sandbox import (
    SandboxControl,
    SandboxError,
    SandboxServer,
    credit_note_lines,
    credit_notes,
    dashboard,
    expanding,
    lines,
    payments,
    spawn,
    totals,
)
from fly_billing.stripe_sandbox.store import Store

CREATE: Any = {"customer": "cus_1234", "currency": "usd"}


def line_count(invoice: Any) -> int:
    """Return `lines.total_count`, which Stripe sends and stripe-python's types leave out."""
    return int(invoice.lines.total_count)


def test_objects_are_created_at_the_time_of_the_movable_clock(
    client: stripe.StripeClient, control: SandboxControl
) -> None:
    begun = int(time.time())
    now = client.v1.invoices.create(CREATE).created
    control.advance_clock(30 * 86_400)
    later = client.v1.invoices.create(CREATE).created
    assert begun <= now <= time.time()
    assert now <= later - 30 * 86_400 <= time.time()


def test_every_call_is_logged_and_counted(client: stripe.StripeClient, control: SandboxControl) -> None:
    for _ in range(2):
        client.v1.invoices.create(CREATE, {"idempotency_key": "k"})
    client.v1.customers.retrieve("cus_1234")
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.customers.retrieve("cus_nobody")
    assert control.call_counts() == {"invoices.create": 2, "customers.retrieve": 2}
    made, again = control.calls(idempotency_key="k")
    assert (made["status"], made["applied"], made["replayed"]) == (200, 1, 0)
    assert (again["status"], again["applied"], again["replayed"]) == (200, 0, 1)
    assert [call["code"] for call in control.calls(status=404)] == ["resource_missing"]
    assert control.call_counts(replayed=True) == {"invoices.create": 1}
    control.clear_calls()
    assert control.calls() == []


def test_a_manual_edit_through_the_control_api_ignores_stripes_rules(
    client: stripe.StripeClient, control: SandboxControl, draft: Callable[..., stripe.Invoice]
) -> None:
    invoice = client.v1.invoices.finalize_invoice(draft(900, 100).id)
    control.edit_object(invoice.id, total=1, status="void", metadata={})
    seen = client.v1.invoices.retrieve(invoice.id)
    assert (seen.total, seen.status, seen.to_dict()["metadata"]) == (1, "void", {})
    line = invoice.lines.data[0].id
    control.delete_object(line)
    assert line_count(client.v1.invoices.retrieve(invoice.id)) == 1
    control.delete_object(invoice.id)
    assert control.objects("invoiceitem") == []
    with pytest.raises(stripe.InvalidRequestError, match="No such invoice"):
        client.v1.invoices.retrieve(invoice.id)
    with pytest.raises(SandboxError, match="not found"):
        control.edit_object("in_gone", total=1)


def test_the_store_shows_every_invoice_with_all_its_lines(
    control: SandboxControl, draft: Callable[..., stripe.Invoice]
) -> None:
    draft(*range(1, 13))
    [held] = control.invoices(customer="cus_1234")
    assert (held["total"], len(held["lines"])) == (78, 12)
    assert control.object(held["id"])["lines"] == held["lines"]


def test_a_seeded_customer_keeps_its_id_and_is_seeded_once(
    client: stripe.StripeClient, control: SandboxControl
) -> None:
    control.seed_customer("cus_1234", name="somebody else")
    assert client.v1.customers.retrieve("cus_1234").name == "Fly"
    with pytest.raises(SandboxError, match="has no colour"):
        control.seed_customer("cus_5678", colour="red")


def test_a_reset_deletes_everything(client: stripe.StripeClient, control: SandboxControl) -> None:
    client.v1.invoices.create(CREATE)
    control.add_fault("stored_500")
    control.settings(latency_seconds=5)
    control.advance_clock(1000)
    control.reset()
    assert (control.objects(), control.faults(), control.calls()) == ([], [], [])
    assert control.settings()["latency_seconds"] == 0
    assert abs(control.now() - time.time()) < 500


def test_the_store_can_be_read_while_the_server_runs(
    server: SandboxServer, client: stripe.StripeClient, draft: Callable[..., stripe.Invoice]
) -> None:
    client.v1.invoices.finalize_invoice(draft(900, 100).id)
    with sqlite3.connect(f"file:{server.store_path}?mode=ro", uri=True) as audit:
        assert audit.execute("select status, total, amount_due from invoices").fetchall() == [("open", 1000, 1000)]
        assert audit.execute("select sum(amount) from invoice_lines").fetchone() == (1000,)
        assert audit.execute("select id, deleted from customers").fetchall() == [("cus_1234", 0)]
    audit.close()


def test_state_clock_and_settings_survive_a_restart(
    own_server: SandboxServer, connect: Callable[..., stripe.StripeClient]
) -> None:
    own_server.control.seed_customer("cus_1234")
    own_server.control.advance_clock(86_400)
    own_server.control.settings(max_lines_per_call=7)
    invoice = connect(own_server.url).v1.invoices.create(CREATE)
    own_server.stop()
    with spawn(own_server.store_path) as restarted:
        assert connect(restarted.url).v1.invoices.retrieve(invoice.id).created == invoice.created
        assert restarted.control.now() - time.time() > 86_000
        assert restarted.control.settings()["max_lines_per_call"] == 7


def test_the_command_prints_one_line_and_ends_cleanly_on_a_signal(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fly_billing.stripe_sandbox", "--port", "0", "--store", str(tmp_path / "s.sqlite")]
    root = Path(__file__).parents[3]
    for number in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root, encoding="utf-8"
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.split()[3]
        assert SandboxControl(url).health()["status"] == "ok"
        process.send_signal(number)
        rest, errors = process.communicate(timeout=600)
        assert (process.returncode, rest, errors) == (0, "", "")


def test_a_spawned_sandbox_ends_with_its_parent(tmp_path: Path) -> None:
    program = (
        "import json, os, sys; from fly_billing.stripe_sandbox import spawn\n"
        f"s = spawn({str(tmp_path / 's.sqlite')!r}); print(json.dumps([s.url, s.pid]), flush=True); os._exit(1)"
    )
    root = Path(__file__).parents[3]
    output = subprocess.run(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        timeout=600,
        check=False,
        encoding="utf-8",
    )
    url, _ = json.loads(output.stdout.splitlines()[0])
    deadline = time.monotonic() + 120
    while answers(url):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        SandboxControl(url, timeout_seconds=60).health()
    except OSError:
        return False
    return True


def test_the_sandbox_is_called_without_the_proxy_of_the_environment(sandbox: SandboxServer) -> None:
    ask = "import sys; from fly_billing.stripe_sandbox import SandboxControl; SandboxControl(sys.argv[1]).health()"
    environment = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    environment |= dict.fromkeys(("http_proxy", "HTTP_PROXY"), "http://127.0.0.1:9")
    subprocess.run([sys.executable, "-c", ask, sandbox.url], env=environment, check=True, timeout=600)


@pytest.mark.parametrize(
    "statement",
    [
        totals.SUM,
        lines.COUNT,
        lines.FIRST,
        lines.AFTER,
        lines.BEFORE,
        payments.OF_INVOICE,
        payments.PAID_WITH,
        credit_notes.SO_FAR,
        credit_note_lines.CREDITED,
        expanding.OF_INVOICE,
        dashboard.NOTE,
    ],
)
def test_what_belongs_to_an_invoice_is_read_without_walking_all_objects(tmp_path: Path, statement: str) -> None:
    store = Store(tmp_path / "plan.sqlite")
    plan = store.db.execute(f"explain query plan {statement}", [None] * statement.count("?")).fetchall()
    store.close()
    assert any("objects_of_invoice" in step["detail"] for step in plan), [step["detail"] for step in plan]

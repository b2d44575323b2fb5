"""Idempotency keys: replayed for 24 hours, 500s too; refused for anything but the same request."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import stripe

from fly_billing.stripe_sandbox import SandboxControl, SandboxServer, spawn

CREATE: Any = {"customer": "cus_1234", "currency": "usd"}
KEY: Any = {"idempotency_key": "invoice-1-create-g0"}


def header(answer: stripe.StripeObject, name: str) -> str | None:
    assert answer.last_response is not None
    value: str | None = answer.last_response.headers.get(name)
    return value


def test_a_repeated_key_gets_the_first_answer_and_makes_nothing_new(
    client: stripe.StripeClient, control: SandboxControl
) -> None:
    first = client.v1.invoices.create(CREATE, KEY)
    second = client.v1.invoices.create(CREATE, KEY)
    assert second.id == first.id
    assert (header(first, "Idempotent-Replayed"), header(second, "Idempotent-Replayed")) == (None, "true")
    assert header(second, "Original-Request") == header(first, "Request-Id") != header(second, "Request-Id")
    assert len(control.invoices()) == 1


def test_replaying_add_lines_adds_the_lines_once(client: stripe.StripeClient, control: SandboxControl) -> None:
    invoice = client.v1.invoices.create(CREATE)
    for _ in range(3):
        client.v1.invoices.add_lines(invoice.id, {"lines": [{"amount": 100}]}, {"idempotency_key": "lines-0"})
    assert control.invoices()[0]["total"] == 100


def test_a_key_with_other_parameters_is_an_idempotency_error(client: stripe.StripeClient) -> None:
    client.v1.invoices.create(CREATE, KEY)
    changed: Any = {**CREATE, "metadata": {"sent_at": "now"}}
    with pytest.raises(stripe.IdempotencyError, match="same parameters") as refused:
        client.v1.invoices.create(changed, KEY)
    assert refused.value.http_status == 400


def test_a_key_on_another_endpoint_is_an_idempotency_error(client: stripe.StripeClient) -> None:
    client.v1.invoices.create(CREATE, KEY)
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        client.v1.customers.create({}, KEY)


def test_a_key_expires_after_24_hours_and_then_makes_a_second_invoice(
    client: stripe.StripeClient, control: SandboxControl
) -> None:
    first = client.v1.invoices.create(CREATE, KEY)
    control.advance_clock(23 * 3600)
    assert client.v1.invoices.create(CREATE, KEY).id == first.id
    control.advance_clock(3600)
    assert client.v1.invoices.create(CREATE, KEY).id != first.id
    assert len(control.invoices()) == 2


def test_a_key_survives_a_restart_and_even_a_kill(
    own_server: SandboxServer, connect: Callable[..., stripe.StripeClient], server: SandboxServer
) -> None:
    own_server.control.seed_customer("cus_1234")
    first = connect(own_server.url).v1.invoices.create(CREATE, KEY)
    own_server.kill()
    with spawn(own_server.store_path) as restarted:
        again = connect(restarted.url).v1.invoices.create(CREATE, KEY)
        assert (again.id, header(again, "Idempotent-Replayed")) == (first.id, "true")


@pytest.mark.parametrize("after_apply", [False, True])
def test_a_second_request_while_the_first_is_running_gets_a_409(
    client: stripe.StripeClient,
    control: SandboxControl,
    connect: Callable[..., stripe.StripeClient],
    after_apply: bool,
) -> None:
    control.add_fault("slow", "invoices.create", seconds=0.6, nth=1, after_apply=after_apply)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(connect().v1.invoices.create, CREATE, KEY)
        while not (control.faults()[0]["fired"] or first.done()):
            pass
        with pytest.raises(stripe.APIError) as refused:
            client.v1.invoices.create(CREATE, KEY)
        assert refused.value.http_status == 409
        assert refused.value.error is not None
        assert refused.value.error.code == "idempotency_key_in_use"
        made = first.result()
    assert client.v1.invoices.create(CREATE, KEY).id == made.id


def test_a_validation_failure_is_not_stored(client: stripe.StripeClient) -> None:
    wrong: Any = {**CREATE, "colour": "red"}
    with pytest.raises(stripe.InvalidRequestError, match="unknown parameter: colour"):
        client.v1.invoices.create(wrong, KEY)
    assert header(client.v1.invoices.create(CREATE, KEY), "Idempotent-Replayed") is None


def test_a_refusal_by_the_endpoint_itself_is_stored_and_so_is_a_deleted_draft(
    client: stripe.StripeClient, control: SandboxControl
) -> None:
    unknown_customer: Any = {"customer": "cus_new"}
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        client.v1.invoices.create(unknown_customer, KEY)
    control.seed_customer("cus_new")
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        client.v1.invoices.create(unknown_customer, KEY)

    made = client.v1.invoices.create(CREATE, {"idempotency_key": "other"})
    client.v1.invoices.delete(made.id)
    assert client.v1.invoices.create(CREATE, {"idempotency_key": "other"}).id == made.id
    assert control.invoices() == []


def test_reads_ignore_a_key(client: stripe.StripeClient) -> None:
    client.v1.invoices.create(CREATE, KEY)
    assert header(client.v1.customers.retrieve("cus_1234", {}, KEY), "Idempotent-Replayed") is None

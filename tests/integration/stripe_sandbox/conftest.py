"""A real sandbox process on 127.0.0.1 and the real stripe-python in front of it; one server, wiped between tests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stripe

from fly_billing.stripe_sandbox import SandboxControl, SandboxServer, spawn

Json = dict[str, Any]
PAYS_BY_CARD: Json = {
    "payment_method": "pm_card_visa",
    "invoice_settings": {"default_payment_method": "pm_card_visa"},
}


@pytest.fixture(scope="session", autouse=True)
def no_telemetry() -> None:
    """Keep stripe-python from writing into the home folder."""
    stripe.enable_telemetry = False


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    """The sandbox process that all tests share, stopped by its pid."""
    with spawn(tmp_path_factory.mktemp("sandbox") / "state.sqlite") as started:
        yield started


@pytest.fixture
def control(server: SandboxServer) -> SandboxControl:
    """The control API of a sandbox wiped clean, holding only the seed's customer, who pays by card."""
    server.control.reset()
    server.control.seed_customer("cus_1234", name="Fly", metadata={"org": "fly"}, **PAYS_BY_CARD)
    return server.control


@pytest.fixture
def connect(server: SandboxServer) -> Callable[..., stripe.StripeClient]:
    """Make a client: of the shared sandbox, or of the one at `url`."""

    def connected(url: str = server.url, key: str = "sk_test_fly") -> stripe.StripeClient:
        http = stripe.RequestsClient(timeout=20)
        return stripe.StripeClient(key, base_addresses={"api": url}, max_network_retries=0, http_client=http)

    return connected


@pytest.fixture
def client(control: SandboxControl, connect: Callable[..., stripe.StripeClient]) -> stripe.StripeClient:
    """A stripe-python client of the wiped sandbox."""
    return connect()


@pytest.fixture
def draft(client: stripe.StripeClient) -> Callable[..., stripe.Invoice]:
    """Make a draft for cus_1234 with a line for each amount."""

    def made(*amounts: int, **fields: Any) -> stripe.Invoice:
        params: Any = {"customer": "cus_1234", "currency": "usd", **fields}
        invoice = client.v1.invoices.create(params)
        if not amounts:
            return invoice
        lines: Any = [{"amount": amount, "description": f"line {n}"} for n, amount in enumerate(amounts, start=1)]
        return client.v1.invoices.add_lines(invoice.id, {"lines": lines})

    return made


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[SandboxServer]:
    """A separate sandbox process that the test may stop and kill."""
    with spawn(tmp_path / "own.sqlite") as started:
        yield started

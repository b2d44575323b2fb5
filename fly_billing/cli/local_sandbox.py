"""Runs the local Stripe sandbox on the data folder's store, or finds the one that another process runs there.

Not here: Postgres and the environment (`local_platform`), and the sandbox itself (`stripe_sandbox`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fly_billing.cli.data_folder import SANDBOX_ADDRESS, SANDBOX_LOCK, SANDBOX_STORE, make_data_folder
from fly_billing.cli.ports import refuse_unusable_port
from fly_billing.embedded_postgres.locks import Lock
from fly_billing.errors import ActionableError
from fly_billing.output_files import make_folder, output_file
from fly_billing.settings import Settings
from fly_billing.stripe_sandbox import SandboxControl, spawn
from fly_billing.stripe_sandbox import run as serve_sandbox

# The sandbox accepts any key but a live one.
SANDBOX_KEY = "sk_test_local_sandbox"
# Stripe's limits for live keys.
SANDBOX_RATES = {"STRIPE_REQUESTS_PER_SECOND": "100", "STRIPE_REQUESTS_PER_ENDPOINT": "25"}
SEEDED_CUSTOMER = "cus_1234"


class SandboxBusy(ActionableError):
    """Another process runs the Stripe sandbox of this data folder."""


@contextmanager
def sandbox(data_dir: Path, *, owned: bool = False) -> Iterator[str]:
    """Run the sandbox on the data folder's store, or use the one that another process runs. Yields its address."""
    address = data_dir / SANDBOX_ADDRESS
    try:
        lock = Lock(data_dir / SANDBOX_LOCK, wait=False)
    except BlockingIOError:
        if owned:
            raise SandboxBusy("another fly-billing process runs the Stripe sandbox: wait for it to end") from None
        yield _address_of_running(address)
        return
    try:
        with spawn(data_dir / SANDBOX_STORE) as server:
            with output_file(address, overwrite=True) as file:
                file.write(json.dumps({"url": server.url}).encode())
            server.control.settings(new_customers_have_a_card=True)
            seed_customer(server.control)
            yield server.url
    finally:
        address.unlink(missing_ok=True)
        lock.release()


def run_sandbox(port: int, store: Path | None) -> None:
    """Run only the sandbox until a signal. `store`: its SQLite file; None: the data folder's.

    Raises PortNotUsable, StoreNotUsable, FolderNotMade.
    """
    refuse_unusable_port("127.0.0.1", port)
    data_dir = Settings.from_environment().data_dir
    if store is None:
        make_data_folder(data_dir)
    path = store or data_dir / SANDBOX_STORE
    make_folder(path.parent)
    serve_sandbox(port=port, store_path=path)


def _address_of_running(address: Path) -> str:
    try:
        url = str(json.loads(address.read_text(encoding="utf-8"))["url"])
        SandboxControl(url).health()
    except OSError as problem:
        raise SandboxBusy(
            "another fly-billing process is starting or stopping the Stripe sandbox: try again"
        ) from problem
    return url


def seed_customer(control: SandboxControl) -> None:
    """Add the customer that the organization Fly already has in Stripe, if the sandbox is new."""
    if not any(customer["id"] == SEEDED_CUSTOMER for customer in control.objects("customer")):
        control.seed_customer(SEEDED_CUSTOMER, name="Fly")

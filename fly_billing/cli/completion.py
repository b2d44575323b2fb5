"""Completes ids of organizations, price keys and price groups in a shell.

Completion shows no error and makes no data folder. It starts the folder's Postgres if nothing runs it, and stops it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fly_billing.postgres.database import BillingDatabase


@contextmanager
def _database() -> Iterator[BillingDatabase | None]:
    """Yield the billing database; None if there is none: pressing Tab makes no data folder."""
    from fly_billing.cli.local_platform import local_platform
    from fly_billing.postgres.database import BillingDatabase
    from fly_billing.settings import Settings

    settings = Settings.from_environment()
    if settings.database_url is None and not settings.data_dir.is_dir():
        yield None
        return
    with local_platform() as platform:
        yield BillingDatabase(platform.database_url)


def _complete(read: Callable[[BillingDatabase], list[str]]) -> list[str]:
    with suppress(Exception), _database() as database:  # a shell that completes shows no error
        return read(database) if database else []
    return []


def complete_organization(incomplete: str) -> list[str]:
    """Return ids of organizations that begin so."""
    from fly_billing.customers.overview import organizations_beginning

    return _complete(lambda database: organizations_beginning(database, incomplete))


def complete_fee(incomplete: str) -> list[str]:
    """Return keys of fees that begin so."""
    from fly_billing.customers.overview import price_keys_beginning

    return _complete(lambda database: price_keys_beginning(database, incomplete, fees=True))


def complete_price(incomplete: str) -> list[str]:
    """Return price keys that begin so."""
    from fly_billing.customers.overview import price_keys_beginning

    return _complete(lambda database: price_keys_beginning(database, incomplete, fees=False))


def complete_group(incomplete: str) -> list[str]:
    """Return price groups that begin so."""
    from fly_billing.customers.price_groups import price_groups_beginning

    return _complete(lambda database: price_groups_beginning(database, incomplete))

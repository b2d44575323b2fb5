"""Lists corrections that wait, and approves them: `fly-billing corrections` and `approve-corrections`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from rich.table import Table

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal
from fly_billing.corrections.approvals import approve
from fly_billing.corrections.changed_terms import UndecidedChange, undecided_changes
from fly_billing.corrections.held_corrections import HeldCorrection, held_totals, list_held_corrections
from fly_billing.errors import ActionableError
from fly_billing.money import format_cents, from_cents, parse_typed_amount, plain, to_cents
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase


def show_waiting(console: Terminal, month: BillingMonth | None, *, as_json: bool) -> None:
    """Print the corrections that wait, why, and how to approve them; and changed terms of closed months."""
    with local_platform() as settings:
        database = BillingDatabase(settings.database_url)
        held, changed = list_held_corrections(database, month), undecided_changes(database, month)
    if as_json:
        print(json.dumps([*(_as_data(row) for row in held), *(_changed_data(row) for row in changed)], indent=2))
        return
    if not held and not changed:
        console.print("No correction waits for approval.")
        return
    if held:
        _show_held(console, held)
    if changed:
        _show_changed(console, changed)


def _show_changed(console: Terminal, changed: Sequence[UndecidedChange]) -> None:
    table = Table(title="Changed terms of closed months (nothing is booked)", title_justify="left")
    for name in ("Month", "Organization", "What changed", "When", "By"):
        table.add_column(name)
    invoices: dict[tuple[str, str], list[UndecidedChange]] = {}
    for row in changed:
        invoices.setdefault((_month(row), row.organization_id), []).append(row)
    for (month, organization), rows in sorted(invoices.items()):
        newest = rows[-1]
        more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
        table.add_row(month, organization, newest.what + more, f"{newest.changed_at:%Y-%m-%d %H:%M}", newest.changed_by)
    console.print(table)
    console.print(
        "`fly-billing rebill ORG MONTH --dry-run` shows the difference. Without --dry-run it books the difference; with"
        " `--keep --why REASON` it keeps the invoice as billed.",
        soft_wrap=True,
    )


def _changed_data(row: UndecidedChange) -> dict[str, object]:
    return {
        "month": _month(row),
        "organization_id": row.organization_id,
        "invoice_id": str(row.invoice_id),
        "changed": row.what,
        "changed_at": row.changed_at.isoformat(),
        "changed_by": row.changed_by,
    }


def _show_held(console: Terminal, held: Sequence[HeldCorrection]) -> None:
    table = Table(title="Corrections that wait for approval (nothing is booked)", title_justify="left")
    for name in ("Month", "Organization", "Would return", "Would charge", "Causes", "Since", "Approved by"):
        table.add_column(name, justify="right" if name.startswith("Would") else "left")
    for row in held:
        table.add_row(
            _month(row), row.organization_id, _money(row.gives_back, row.currency), _money(row.charges, row.currency),
            ", ".join(row.causes), f"{row.decided_at:%Y-%m-%d %H:%M}", row.approved_by or "",
        )  # fmt: skip
    console.print(table)
    for total in held_totals(held):
        console.print(total.sentence, soft_wrap=True)
    for month in sorted({_month(row) for row in held if row.is_approved}):
        console.print(f"{month}: approved corrections are {_when_booked(month)}")


def _month(row: HeldCorrection | UndecidedChange) -> str:
    return str(row.billing_month)


def _money(amount: Decimal, currency: str) -> str:
    return format_cents(to_cents(amount, currency), currency)


def _when_booked(month: str) -> str:
    return f"booked tonight, or now by `fly-billing bill {month}`."


def _as_data(row: HeldCorrection) -> dict[str, object]:
    return {
        "month": _month(row),
        "organization_id": row.organization_id,
        "invoice_id": str(row.invoice_id),
        "currency": row.currency,
        "gives_back": plain(row.gives_back),
        "charges": plain(row.charges),
        "causes": list(row.causes),
        "reason": row.reason,
        "since": row.decided_at.isoformat(),
        "approved_by": row.approved_by,
        "why": row.why,
    }


def approve_waiting(
    console: Terminal, month: BillingMonth, currency: str, total: str, by: str, why: str, organization: str | None
) -> None:
    """Record the approval of the corrections that wait. Raises ActionableError if `total` is not their total."""
    if not by.strip() or not why.strip():
        raise ActionableError("an approval needs a name and a reason: --by NAME --why REASON")
    try:
        amount = from_cents(parse_typed_amount(total, currency), currency)
    except ValueError as problem:
        raise ActionableError(f"--total: {problem}") from problem
    with local_platform() as settings:
        database = BillingDatabase(settings.database_url)
        count = approve(database, month, currency, amount, by, why, datetime.now(UTC), organization)
    approved = format_cents(to_cents(amount, currency), currency)
    corrections, they = ("1 correction that returns", "It is") if count == 1 else (
        f"{count:,} corrections that return", "They are"
    )  # fmt: skip
    console.print(f"{month}: {by} approved {corrections} {approved}. {they} {_when_booked(str(month))}")

"""The fingerprint of an invoice's inputs. Equal fingerprints mean equal inputs, so the invoice would be the same.

It covers whatever `InvoiceInputs` has, so a new input is covered without a change here. Usage is represented by the ids
of its snapshots, which are named after their content, so that it need not be read. Not here: comparing fingerprints
(`invoicing.unchanged`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any
from uuid import UUID

from fly_billing.fingerprints import fingerprint_of
from fly_billing.invoicing.rules.inputs import InvoiceInputs

# Represented by the fingerprints of books, and by the ids of snapshots.
_ELSEWHERE = frozenset({"prices", "rollups"})


def inputs_fingerprint(inputs: InvoiceInputs, snapshots: Sequence[UUID], rules: str) -> str:
    """Return the fingerprint of an invoice's inputs.

    Args:
        inputs: The inputs, with or without the rollups of usage.
        snapshots: The snapshots of the members' usage, in the order of the members.
        rules: The version of the code that calculates the invoice.
    """
    terms = {name: value for name, value in _values(inputs).items() if name != "members"}
    members = [(member.prices.fingerprint, _values(member)) for member in inputs.members]
    return fingerprint_of((rules, list(map(str, snapshots)), terms, members))


def _values(parts: Any) -> dict[str, Any]:
    return {field.name: getattr(parts, field.name) for field in fields(parts) if field.name not in _ELSEWHERE}

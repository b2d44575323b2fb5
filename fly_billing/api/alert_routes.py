"""The routes that set thresholds, caps and the address for alerts, and acknowledge calls about caps.

Each request may be sent again: nothing is set twice. The API's role can't write; the database's functions do, and check
the token themselves (`customer_alerts.changes_with_tokens`). Not here: reading them (`api.routes`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from starlette.responses import Response

from fly_billing.api import answers, models
from fly_billing.api.callers import ORGANIZATION, Caller, Found, needs
from fly_billing.api.openapi import documented_without_answer, documented_write
from fly_billing.api.problems import RequestRefused
from fly_billing.api.rules.access import ACKNOWLEDGE, ADDRESS, WRITE_ALERTS
from fly_billing.customer_alerts.alert_addresses import AddressRefused, set_alert_address_with_token
from fly_billing.customer_alerts.changes_with_tokens import ChangedThreshold, TokenChanges, TooManyChanges, WantedLimit
from fly_billing.customer_alerts.thresholds import NoSuchThreshold

# Seconds after which a customer who changed too much may try again: an hour.
WAIT = "3600"

alert_router = APIRouter(prefix="/v1")
Writer = Annotated[Caller, needs(WRITE_ALERTS)]


@alert_router.post(
    f"{ORGANIZATION}/alerts", **documented_write("set_alert", models.AlertAnswer, WRITE_ALERTS, 201, 200)
)
def set_alert(caller: Writer, wanted: models.AlertRequest) -> Response:
    """Alert the customer when a month reaches this. Answers 201, or 200 if the organization has this alert already."""
    changed = _written(caller, lambda changes: changes.add(_limit(wanted)))
    return _answer(caller, changed, 201 if changed.is_new else 200)


@alert_router.delete(f"{ORGANIZATION}/alerts/{{alert_id}}", **documented_without_answer("remove_alert", WRITE_ALERTS))
def remove_alert(caller: Writer, alert_id: UUID) -> Response:
    """Remove an alert. One that was removed before stays removed: that is a 204, too."""
    if not _written(caller, lambda changes: changes.remove(alert_id)):
        raise RequestRefused(404)
    return Response(status_code=204)


@alert_router.put(f"{ORGANIZATION}/cap", **documented_write("set_cap", models.AlertAnswer, WRITE_ALERTS, 200))
def set_cap(caller: Writer, wanted: models.CapRequest) -> Response:
    """Set the cap, in place of the one that there is: the platform is called when a month reaches it."""
    amount = wanted.amount
    return _answer(caller, _written(caller, lambda it: it.set_cap(WantedLimit(amount.amount, amount.currency, "cap"))))


@alert_router.delete(f"{ORGANIZATION}/cap", **documented_without_answer("remove_cap", WRITE_ALERTS))
def remove_cap(caller: Writer) -> Response:
    """Remove the cap, if there is one. If it was reached, the platform gets a call that it is lifted."""
    _written(caller, TokenChanges.remove_cap)
    return Response(status_code=204)


@alert_router.put(
    f"{ORGANIZATION}/cap-calls/{{number}}/acknowledgement",
    **documented_without_answer("acknowledge_cap_call", ACKNOWLEDGE),
)
def acknowledge_cap_call(
    caller: Annotated[Caller, needs(ACKNOWLEDGE)],
    number: Annotated[int, Path(ge=1, le=2**31 - 1, description="`number` of the call.", examples=[1])],
) -> Response:
    """Acknowledge a call about the cap in place of the cap hook's answer. Needs an operator's token of the role issuer.

    404 if a newer call replaced it before it was acknowledged: read the newest one, which may say something else.
    """
    if not _written(caller, lambda changes: changes.acknowledge(number)):
        raise RequestRefused(404, "this organization has no such call about its cap, or a newer one replaced it")
    return Response(status_code=204)


@alert_router.put(f"{ORGANIZATION}/alert-address", **documented_without_answer("set_alert_address", ADDRESS))
def set_address(caller: Annotated[Caller, needs(ADDRESS)], wanted: models.AlertAddress) -> Response:
    """Send e-mails about spend to this address, in place of the billing address. Needs an issuer's token.

    Make sure that the address is the customer's: nothing is sent to confirm it.
    """
    return _addressed(caller, wanted.email)


@alert_router.delete(f"{ORGANIZATION}/alert-address", **documented_without_answer("remove_alert_address", ADDRESS))
def remove_address(caller: Annotated[Caller, needs(ADDRESS)]) -> Response:
    """Send e-mails about spend to the billing address again. Needs an issuer's token."""
    return _addressed(caller, None)


def _addressed(caller: Caller, email: str | None) -> Response:
    caller.refuse_unknown_organization()
    try:
        set_alert_address_with_token(caller.database, caller.token.id, caller.organization_id, email)
    except AddressRefused as mistake:
        raise RequestRefused(422, "email: this is not an e-mail address, such as alerts@example.com") from mistake
    return Response(status_code=204)


def _written(caller: Caller, write: Callable[[TokenChanges], Found]) -> Found:
    """Return what a change returns. Raises RequestRefused."""
    caller.refuse_unknown_organization()
    try:
        return write(TokenChanges(caller.database, caller.token.id, caller.organization_id))
    except NoSuchThreshold as mistake:
        raise RequestRefused(422, str(mistake)) from mistake
    except TooManyChanges as mistake:
        raise RequestRefused(429, str(mistake), {"Retry-After": WAIT}) from mistake


def _limit(wanted: models.AlertRequest) -> WantedLimit:
    if (wanted.kind == "percent") != (wanted.percent is not None) or (wanted.percent is None) != bool(wanted.amount):
        raise RequestRefused(422, "an alert of the kind percent has a percent, and any other has an amount")
    if wanted.amount is None:
        return WantedLimit(f"{wanted.percent}%", None, "amount", wanted.name)
    return WantedLimit(wanted.amount.amount, wanted.amount.currency, wanted.kind, wanted.name)


def _answer(caller: Caller, changed: ChangedThreshold, status: int = 200) -> Response:
    answer = answers.alert_answer(changed.threshold, caller.now)
    headers = {"Cache-Control": "no-store"}
    return Response(answer.model_dump_json(), status, headers=headers, media_type="application/json")

"""Assigns the wrong rows of a check to partitions, lists the partitions that fail, and finds the new failures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from fly_billing.money import counted

# Months and billing groups that a sentence names.
MOST_PERIODS, MOST_GROUPS = 6, 3
# The command that runs an asset's checks again.
COMMANDS = {
    "usage_events": "fly-billing land --repair",
    "usage_rollups": "fly-billing bill {period}",
    "invoices": "fly-billing bill {period}",
    "stripe_invoices": "fly-billing sync {period}",
    "stripe_reconciliation": "fly-billing reconcile {period} --record",
    "finance_months": "fly-billing finance report {period}",
}


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A partition as a check sees it.

    Attributes:
        period: A month such as `2026-10`, or a landing day such as `2026-10-31`.
        billing_group: Empty for the whole month or landing day.
    """

    period: str
    billing_group: str = ""


@dataclass(frozen=True, slots=True)
class FailedCheck:
    """A check that fails now for one place.

    Attributes:
        id: Grows with each new failure, and stays the same until the check passes.
        is_warning: Nothing is billed wrongly, but somebody must decide or fix something.
        wrong: The number of wrong rows.
        reason: The first wrong rows in words, with their fix.
        is_reported: Another alert reports this failure.
        failed_since: When the check failed first, without passing since.
        run_id: The run that found it last.
    """

    id: int
    asset: str
    check_name: str
    period: str
    billing_group: str
    is_warning: bool
    wrong: int
    reason: str
    is_reported: bool
    failed_since: datetime
    run_id: str

    @property
    def place(self) -> Place:
        return Place(self.period, self.billing_group)

    @property
    def month_of_check(self) -> str:
        """The check and its month or landing day: what one alert is about."""
        return f"{self.asset}: {self.check_name} {self.period}"


def checked_again_by(asset: str, period: str) -> str:
    """Return the command that runs the asset's checks of a month or landing day again."""
    return COMMANDS[asset].format(period=period)


def rows_by_place(
    rows: Iterable[Mapping[str, Any]],
    checked: Sequence[Place],
    group_of: Mapping[str, str],
    payers: Mapping[tuple[str, str], str] | None = None,
) -> dict[Place, list[Mapping[str, Any]]]:
    """Return the wrong rows of each place.

    A row that names no organization concerns every place of its month in this run: nothing of it could be read. A row
    whose organization has no billing group, such as a foreign invoice in Stripe, concerns the month as a whole.

    Args:
        rows: Each has a `month`, and an `organization` or an `organization_id`, which may be None.
        checked: The places that the run checked.
        group_of: The billing group of each organization.
        payers: The billing group on whose invoice an organization is, by (month, organization), where it is another.
    """
    found: dict[Place, list[Mapping[str, Any]]] = {}
    for row in rows:
        period, organization = str(row["month"]), row.get("organization", row.get("organization_id"))
        if organization is None:
            places = [place for place in checked if place.period == period] or [Place(period)]
        else:
            group = (payers or {}).get((period, organization)) or group_of.get(organization, "")
            places = [Place(period, group)]
        for place in places:
            found.setdefault(place, []).append(row)
    return found


def named_places(places: Iterable[Place]) -> str:
    """Name the months, each with its billing groups: `2026-08 (acme, beta and 4 more), 2026-09`. Empty if none."""
    named = [_named(period, [place.billing_group for place in of_period]) for period, of_period in _by_period(places)]
    more = f" and {len(named) - MOST_PERIODS} more" if len(named) > MOST_PERIODS else ""
    return ", ".join(named[:MOST_PERIODS]) + more


def sentence(failed: Sequence[FailedCheck]) -> str:
    """Say which months and billing groups fail now."""
    if not failed:
        return "Passes for every month and landing day that was checked."
    places = {each.place for each in failed}
    periods = len({place.period for place in places})
    unit = "landing day" if len(min(places).period) > len("2026-10") else "month"
    verb = "fails" if periods == 1 else "fail"
    return f"{counted(periods, unit)} {verb}: {named_places(places)}."


def new_failures(
    failed: Iterable[FailedCheck], known: Mapping[str, int]
) -> tuple[list[list[FailedCheck]], dict[str, int]]:
    """Find the months that fail and were not alerted.

    A month that stays red is not new, even if other organizations fail in it than at first. A month that was fixed and
    fails again is new.

    Args:
        known: By check and month, the highest id at the last look.

    Returns:
        The rows of each new failure, and `known` for the next look.
    """
    new: list[list[FailedCheck]] = []
    seen: dict[str, int] = {}
    unreported = sorted((each for each in failed if not each.is_reported), key=lambda each: each.month_of_check)
    for identity, group in groupby(unreported, key=lambda each: each.month_of_check):
        rows = sorted(group, key=lambda each: each.id)
        seen[identity] = rows[-1].id
        # A check that passed in between has new rows only, and their ids are higher.
        if rows[0].id > known.get(identity, -1):
            new.append(rows)
    return new, seen


def _by_period(places: Iterable[Place]) -> Iterable[tuple[str, Iterable[Place]]]:
    return groupby(sorted(set(places)), key=lambda place: place.period)


def _named(period: str, groups: Sequence[str]) -> str:
    named = [group or "the whole month" for group in groups]
    if named == ["the whole month"]:
        return period
    more = f" and {len(named) - MOST_GROUPS} more" if len(named) > MOST_GROUPS else ""
    return f"{period} ({', '.join(named[:MOST_GROUPS])}{more})"

"""`python -m tests.money_chaos`: a campaign, then broken ledgers that its audit must detect; exit code 1 if not.

`make chaos-money` runs it with 10,000 actions.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Annotated

import typer
from rich.console import Console

from tests.money_chaos.broken import BROKEN
from tests.money_chaos.campaign import MoneyOutcome, run_money
from tests.money_chaos.plan import TRIAL, MoneyPlan

console = Console(highlight=False, soft_wrap=True)


def main(
    actions: Annotated[int, typer.Option(help="Number of dashboard actions that Stripe accepts")] = MoneyPlan.actions,
    organizations: Annotated[int, typer.Option(help="Number of organizations")] = MoneyPlan.organizations,
    seed: Annotated[int, typer.Option(help="Seed of amounts, actions and faults")] = MoneyPlan.seed,
    kills: Annotated[int, typer.Option(help="Number of kills of a polling process")] = MoneyPlan.kills,
    most_minutes: Annotated[float, typer.Option(help="Minutes after which the actions end, on a slow machine")] = inf,
) -> None:
    """Click thousands of times in the dashboard under faults and kills, and compare the amounts owed and asked."""
    plan = MoneyPlan(
        actions=actions, organizations=organizations, seed=seed, kills=kills, most_seconds=most_minutes * 60
    )
    outcome = run_money(plan, lambda done, month: console.print(f"{done} of {actions} actions, {month}"))
    _print(outcome)
    are_detected = _try_broken()
    if outcome.findings.wrong or not are_detected:
        raise typer.Exit(1)


def _print(outcome: MoneyOutcome) -> None:
    found = outcome.findings
    console.print(
        f"{sum(outcome.done.values())} actions in {outcome.seconds:.0f} s: {dict(sorted(outcome.done.items()))}"
    )
    console.print(
        f"{outcome.refused} refused by Stripe; {outcome.kills} kills; {sum(outcome.struck.values())} faults struck:"
    )
    console.print(f"  {outcome.struck}")
    console.print(f"{outcome.events} events, {outcome.states} states recorded, {found.postings} events posted")
    console.print(f"{found.organizations} organizations; differences: {found.wrong or 'none'}")
    for kind, differences in found.differences.items():
        for difference in differences[:10]:
            console.print(f"  {kind}: {difference}")


def _try_broken() -> bool:
    """Run the ledger and each broken one through the same trial; return True if it finds each broken one."""
    right = run_money(TRIAL).findings.wrong
    console.print(f"the ledger as it is: {right or 'no difference'}")
    found = {name: run_money(replace(TRIAL, broken=name)).findings.wrong for name in BROKEN}
    for name, wrong in found.items():
        console.print(f"broken, {name}: {wrong or 'NOT DETECTED'}")
    return not right and all(found.values())


if __name__ == "__main__":
    typer.run(main)

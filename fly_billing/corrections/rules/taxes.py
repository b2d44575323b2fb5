"""The taxes of corrections: how much of each difference is taxed at which rates, if items have different rates.

An adjustment is taxed at the rates of the month that it corrects. The taxable amounts also depend on the items that a
discount or a maximum applies to. If that changes, the discount's own difference may be zero while the taxable amounts
change. So everything charged, adjusted and owed is added up by rates. Not here: which amounts differ
(`corrections.rules.differences`), the tax on them (`invoicing.rules.steps.taxes`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from uuid import UUID

from fly_billing.corrections.rules.differences import COMPARED, Difference, charge_key
from fly_billing.corrections.rules.returned_credits import thing_key
from fly_billing.invoicing.rules.inputs import InvoiceInputs
from fly_billing.invoicing.rules.items import InvoiceItem, is_ahead
from fly_billing.invoicing.rules.steps.taxes import Parts, like_what_counted, shares
from fly_billing.money import EXACT
from fly_billing.pricing.rules.tax_rates import Rates, rates_of, rates_of_anything

Split = dict[Rates, Decimal]
PAID = ("usage", "subscription", "one_off", "minimum")


def splits_of(items: Iterable[InvoiceItem], inputs: InvoiceInputs) -> dict[str, Split]:
    """Add up the compared items of an invoice by `charge_key` and by their tax rates.

    Raises BillingError (`mixed_taxes`, `ambiguous_tax`).
    """
    every = {item.id: item for item in items}
    splits: dict[str, Split] = {}
    parts: dict[UUID, Parts] = {}
    for item in every.values():
        if item.kind in COMPARED and not is_ahead(item, inputs.month):
            _add(splits.setdefault(charge_key(item), {}), _parts_of(item, every, inputs, parts))
    return splits


def splits_of_credits(
    returned: Iterable[Difference],
    billed: Iterable[InvoiceItem],
    adjusted: Mapping[str, Parts],
    now: Iterable[InvoiceItem],
    inputs: InvoiceInputs,
) -> dict[str, Split]:
    """Return, by key, how the amounts returned to credits are taxed: like the charges that the credits had paid."""
    sides = [_splits_of_things(items, inputs) for items in (now, billed)]
    splits: dict[str, Split] = {}
    for difference in returned:
        thing = difference.detail["thing"]
        if difference.detail["pays"] == "gross":  # money: it changes no taxable amount
            splits[difference.charge.key] = {}
            continue
        like = next(side[thing] for side in (*sides, adjusted) if side.get(thing))
        splits[difference.charge.key] = _split_like(
            {rates: abs(amount) for rates, amount in like.items()}, difference.amount
        )
    return splits


def _splits_of_things(items: Iterable[InvoiceItem], inputs: InvoiceInputs) -> dict[str, Split]:
    every = {item.id: item for item in items}
    splits: dict[str, Split] = {}
    parts: dict[UUID, Parts] = {}
    for item in every.values():
        if item.kind in PAID and not is_ahead(item, inputs.month):
            _add(splits.setdefault(thing_key(item), {}), _parts_of(item, every, inputs, parts))
    return splits


def _parts_of(
    item: InvoiceItem, every: Mapping[UUID, InvoiceItem], inputs: InvoiceInputs, parts: dict[UUID, Parts]
) -> Parts:
    """Split an item by tax rates, after the items that it refers to. `parts` caches the splits."""
    if item.id in parts:
        return parts[item.id]
    others = [UUID(part["item"]) for name in ("counted", "applied_to") for part in item.detail.get(name, ())]
    for other in others:
        _parts_of(every[other], every, inputs, parts)
    owner = f"{inputs.organization_id} in {inputs.month}"
    if item.kind in ("discount", "maximum"):
        parts[item.id] = _split_reduction(item, parts)
    elif item.kind == "minimum":
        parts[item.id] = like_what_counted(item, item.amount, rates_of_anything(inputs.taxes, owner), parts)
    else:
        rates = inputs.rates_of_fee(item) if item.kind == "subscription" else inputs.taxes
        parts[item.id] = {rates_of(item, rates, owner): item.amount}
    return parts[item.id]


def _split_reduction(item: InvoiceItem, parts: Mapping[UUID, Parts]) -> Split:
    split: Split = {}
    for part in item.detail["applied_to"]:
        _add(split, _split_like(parts[UUID(part["item"])], EXACT.minus(Decimal(part["amount"]))))
    return split


def _split_like(parts: Parts, amount: Decimal) -> Split:
    """Split the amount in proportion to these parts."""
    return dict(zip(parts, shares(amount, list(parts.values())), strict=True))


def _add(split: Split, more: Parts) -> None:
    for rates, amount in more.items():
        split[rates] = EXACT.add(split.get(rates, Decimal(0)), amount)


def taxed_differences(
    differences: Sequence[Difference],
    billed: Mapping[str, Parts],
    adjusted: Mapping[str, Parts],
    now: Mapping[str, Parts],
) -> dict[str, Split]:
    """Return, by `charge_key`, how much of each difference is taxed at which rates.

    Amounts that only moved from one rate to another are added to the first difference. Its total stays the same.
    """
    if not differences:
        return {}
    booked = {difference.charge.key: Split() for difference in differences}
    first = differences[0].charge.key
    for key in billed.keys() | adjusted.keys() | now.keys():
        split = booked[key] if key in booked else booked[first]
        _add(split, now.get(key, {}))
        for before in (billed, adjusted):
            _add(split, {rates: EXACT.minus(amount) for rates, amount in before.get(key, {}).items()})
    return {key: {rates: amount for rates, amount in split.items() if amount} for key, split in booked.items()}

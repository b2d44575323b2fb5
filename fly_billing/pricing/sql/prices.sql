-- One row per price version.
select
    id, book, key, meter, product, description, unit, currency, model, unit_amount, per, tiers, free_allowance, match,
    effective_from, effective_until, settings
from prices
order by book, key, effective_from

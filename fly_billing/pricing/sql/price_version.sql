-- At most one row: this price version, as `prices.sql` has it.
select
    book, key, meter, product, description, unit, currency, model, unit_amount, per, tiers, free_allowance, match,
    effective_from, effective_until, settings
from prices
where id = :id

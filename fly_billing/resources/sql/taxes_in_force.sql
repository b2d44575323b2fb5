-- One row per tax on these payers' invoices of this month.
-- One whose times nobody can calculate with is there as well, so that it is refused and not passed over in silence.
select organization_id, id, name, percent, is_inclusive, first_month, last_month
from tax_rates
where organization_id = any (:organizations)
    and (
        daterange(first_month, last_month, '[]') @> cast(:month as date)
        or not isfinite(first_month) or not isfinite(last_month)
    )
order by organization_id, name, id

-- One row per tax on these payers' invoices of this month.
select organization_id, id, name, percent, is_inclusive
from tax_rates
where organization_id = any (:organizations) and daterange(first_month, last_month, '[]') @> cast(:month as date)
order by organization_id, name, id

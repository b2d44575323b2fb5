-- One row per month with finalized invoices of ours. `month` is its start.
select distinct cast(month as timestamp) at time zone 'UTC' as month
from invoices
where status <> 'open' and origin = 'billed'
order by month

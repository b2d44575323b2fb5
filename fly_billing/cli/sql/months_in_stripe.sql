-- One row per month (its start) with finalized invoices of ours.
select distinct cast(month as timestamp) at time zone 'UTC' as month
from invoices
where status <> 'open' and origin = 'billed'
order by month

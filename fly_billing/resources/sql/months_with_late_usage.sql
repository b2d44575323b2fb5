-- One row per month (its start) that has finalized invoices and of which usage was landed after it was last rolled up.
select cast(m.month as timestamp) at time zone 'UTC' as month
from landed_months as m
join landing_days as d on d.landing_day = m.landing_day
where exists (
    select from invoices where invoices.month = m.month and invoices.status <> 'open' and invoices.origin = 'billed'
)
group by m.month
having max(d.lake_version) > (
    select min(s.lake_version) from usage_snapshots as s where s.month = m.month and s.is_current
)
order by m.month

-- One row per month (its start) that has finalized invoices and of which usage was landed after it was last rolled up. Where a
-- meter is time-weighted, usage of an earlier month may be held in a later one: then those are rolled up again too.
select cast(i.month as timestamp) at time zone 'UTC' as month
from (select distinct month from invoices where status <> 'open' and origin = 'billed') as i
join landed_months as m
    on m.month = i.month
    or (m.month < i.month and exists (select from meters where aggregation = 'time_weighted'))
join landing_days as d on d.landing_day = m.landing_day
group by i.month
having max(d.lake_version) > (
    select min(s.lake_version) from usage_snapshots as s where s.month = i.month and s.is_current
)
order by i.month

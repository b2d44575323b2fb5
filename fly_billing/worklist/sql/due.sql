-- name: first_month_with_work
-- One row: the first month (its first day) with accepted usage, an invoice, or an organization that may still be billed
-- for it: closing looks back three months before :before, the end of the last closed month. Null: there is none.
select min(month) as month
from (
    select min(landed_months.month) as month from landed_months where accepted > 0
    union all
    select min(invoices.month) from invoices
    union all
    select cast(greatest(
        date_trunc('month', min(created_at) at time zone 'UTC'),
        date_trunc('month', cast(:before as timestamptz) at time zone 'UTC') - interval '3 months'
    ) as date)
    from organizations having count(*) > 0
) as firsts;

-- name: landed_files
-- One row per landed file of the landing days from :since on.
select landing_day, path, sha256, bytes from usage_files where landing_day >= :since;

-- name: months_to_reconcile
-- One row per month (its start) with invoices in Stripe that can still change: unpaid ones, or ones sent since :since.
select distinct cast(i.month as timestamp) at time zone 'UTC' as month
from stripe_invoices as s
join invoices as i on i.id = s.invoice_id
where s.state = 'finalized' and (i.status = 'finalized' or s.finalized_at >= :since)
order by month;

-- name: months_to_sync
-- One row per month (its start) with finalized invoices that are missing in Stripe and that a sync can create.
select distinct cast(invoices.month as timestamp) at time zone 'UTC' as month
from invoices
left join stripe_invoices on stripe_invoices.invoice_id = invoices.id
where invoices.status = 'finalized' and invoices.origin = 'billed'
    and (
        stripe_invoices.state is null
        or stripe_invoices.state in ('pending', 'drafted', 'filled', 'verified', 'unknown')
        or (stripe_invoices.state = 'failed' and stripe_invoices.retryable)
    )
order by month;

-- name: months_with_late_usage
-- One row per month (its start) with finalized invoices and with usage that landed after its last roll-up. If a meter
-- is time-weighted, usage of an earlier month counts as well, because a level may last into later months.
select cast(i.month as timestamp) at time zone 'UTC' as month
from (select distinct month from invoices where status <> 'open' and origin = 'billed') as i
join landed_months as m
    on m.month = i.month
    or (m.month < i.month and exists (select from meters where aggregation = 'time_weighted'))
join landing_days as d on d.landing_day = m.landing_day
group by i.month
having max(d.lake_version) > (
    select min(s.lake_version) from usage_as_of as s where s.month = i.month and s.is_current
)
order by i.month;

-- name: accepted_events
-- One row per month of which usage ever landed: its first day, and the number of its accepted events.
select month, cast(sum(accepted) as bigint) as events from landed_months group by month order by month;

-- name: days_with_files
-- One row per landing day from :since on with files that landed.
select distinct landing_day as day from usage_files where landing_day >= :since order by day;

-- name: rejected_files
-- One row per file that was rejected as a whole, because it could not be read or its format is unknown.
select landing_day, path, reason, message from rejected_usage where line = 0 order by landing_day, path;

-- One row per month (its start) that ended before :before and lacks a final invoice for an organization that existed.
-- Looks back three months, and further for months with an open invoice or a billing failure. Use a backfill for older
-- gaps.
select distinct m.month
from organizations as o
cross join lateral generate_series(
    greatest(
        date_trunc('month', o.created_at, 'UTC'),
        date_trunc('month', cast(:before as timestamptz), 'UTC') - interval '3 months'
    ),
    date_trunc('month', cast(:before as timestamptz), 'UTC') - interval '1 second',
    interval '1 month'
) as m (month)
where not exists (
    select from invoices
    where invoices.organization_id = o.id and invoices.status <> 'open'
        and invoices.month = cast(m.month at time zone 'UTC' as date)
)
and not exists (
    -- The invoice of its payer covers it, and the payer is checked itself.
    select from organization_links as l
    where l.organization_id = o.id
        and daterange(l.first_month, l.last_month, '[]') @> cast(m.month at time zone 'UTC' as date)
)
union
select cast(month as timestamp) at time zone 'UTC' from invoices
where status = 'open'
    and cast(month as timestamp) at time zone 'UTC' < date_trunc('month', cast(:before as timestamptz), 'UTC')
union
select cast(month as timestamp) at time zone 'UTC' from billing_failures
where cast(month as timestamp) at time zone 'UTC' < date_trunc('month', cast(:before as timestamptz), 'UTC')
order by month

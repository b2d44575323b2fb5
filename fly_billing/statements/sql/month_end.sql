-- name: complete_days_of_snapshots
-- One row per day of the month that landed after it ended and is in all of these snapshots.
with rolled_up as (
    select min(lake_version) as lake_version from usage_as_of where snapshot_id = any (:snapshots)
)

select l.landing_day
from rolled_up
join landing_days as l on l.lake_version <= rolled_up.lake_version
where l.landing_day >= :month and l.landing_day <= :last_day
    and l.landed_at >= cast(l.landing_day + 1 as timestamp) at time zone 'UTC'
order by l.landing_day;

-- name: members_to_estimate
-- One row per organization on the invoice that an organization is on in this month, the payer first, with the columns
-- of `billed_members`; only its own row if another organization pays; none if the organization was
-- created after the month.
with payer as (
    select coalesce(l.payer_id, o.id) as id
    from organizations as o
    left join organization_links as l
        on l.organization_id = o.id and daterange(l.first_month, l.last_month, '[]') @> cast(:month as date)
    where o.id = :organization_id
),

members as (
    select :organization_id as id
    union
    select l.organization_id
    from payer
    join organization_links as l on l.payer_id = payer.id
    where payer.id = :organization_id and daterange(l.first_month, l.last_month, '[]') @> cast(:month as date)
)

select
    payer.id as payer_id, o.id, coalesce(held.currency, o.currency) as currency,
    coalesce(held.price_book, o.price_book) as price_book, o.currency as currency_now, o.created_at,
    s.snapshot_id, s.rolled_up_at, s.lake_version as usage_table_version, f.reason as rollup_problem,
    coalesce(latest.revision, 0) as revision, latest.status as invoice_status, payers.name as payer_name,
    before.id as snapshot_before_id
from payer
join organizations as payers on payers.id = payer.id
cross join members
join organizations as o on o.id = members.id
left join usage_as_of as s on s.organization_id = o.id and s.month = :month and s.is_current
left join usage_snapshots as before
    on before.organization_id = o.id and before.month = :month_before and before.is_current
left join rollup_failures as f on f.organization_id = o.id and f.month = :month
left join lateral (
    select h.currency, h.price_book
    from organization_history as h
    where h.organization_id = o.id and h.before_month > :month
    order by h.before_month
    limit 1
) as held on true
left join lateral (
    select i.revision, i.status
    from invoices as i
    where i.organization_id = payer.id and i.month = :month
    order by i.revision desc
    limit 1
) as latest on true
where o.created_at < :month_end or not isfinite(o.created_at)
order by o.id <> payer.id, o.id;

-- name: usage_of_snapshots_by_day
-- One row per meter and set of dimensions of these snapshots, with the quantity of each day of the month. Without usage
-- from before days were recorded. Dimensions are text.
with by_day as (
    select s.organization_id, s.month, r.meter, r.dimensions, daily.day, sum(daily.quantity) as quantity
    from usage_snapshots as s
    join usage_rollups as r on r.snapshot_id = s.id
    cross join lateral unnest(r.daily) with ordinality as daily (quantity, day)
    where s.id = any (:snapshots)
    group by s.organization_id, s.month, r.meter, r.dimensions, daily.day
)

select
    d.organization_id, d.month, d.meter, m.aggregation, cast(d.dimensions as text) as dimensions,
    array_agg(d.quantity order by d.day) as days
from by_day as d
join meters as m on m.key = d.meter
group by d.organization_id, d.month, d.meter, m.aggregation, d.dimensions
order by d.organization_id, d.meter, d.dimensions, d.month;

-- name: groups_to_bill_again
-- One row per month of :months (its start) with a payer that could not be billed, and was last tried before :before: the
-- billing groups of these payers. A failure of an organization that another one pays for stays until that
-- one is billed.
select cast(f.month as timestamp) at time zone 'UTC' as month, array_agg(distinct o.billing_group) as groups
from billing_failures as f
join organizations as o
    on o.id = f.organization_id
        and (o.created_at < (f.month + interval '1 month') at time zone 'UTC' or not isfinite(o.created_at))
where f.month = any (cast(:months as date[])) and f.failed_at < :before
    and not exists (
        select from organization_links as l
        where l.organization_id = f.organization_id and daterange(l.first_month, l.last_month, '[]') @> f.month
    )
group by f.month
order by f.month;

-- name: months_with_new_usage
-- One row per month of :months (its start) with usage that landed after its last roll-up, or that was never rolled up.
-- Organizations that were created after the month are not rolled up. If a meter is time-weighted, usage of an earlier month counts as well, because a level may last into later months.
select cast(asked.month as timestamp) at time zone 'UTC' as month
from unnest(cast(:months as date[])) as asked (month)
join landed_months as m
    on m.month = asked.month
    or (m.month < asked.month and exists (select from meters where aggregation = 'time_weighted'))
join landing_days as d on d.landing_day = m.landing_day
left join lateral (
    select min(s.lake_version) as lake_version from usage_as_of as s
    join organizations as o on o.id = s.organization_id
    where s.month = asked.month and s.is_current
        and o.created_at < (asked.month + interval '1 month') at time zone 'UTC'
) as rolled_up on true
group by asked.month, rolled_up.lake_version
having max(d.lake_version) > rolled_up.lake_version or (rolled_up.lake_version is null and sum(m.accepted) > 0)
order by month;

-- name: state_of_terms
-- One row: a hash that differs after any change of what invoices are calculated from, apart from usage. The sum of xmin,
-- the transaction that wrote a row, changes with each row that is added, changed or deleted.
select md5(string_agg(concat_ws(' ', number, written), ',' order by place)) as state
from (
    select 1 as place, count(*) as number, sum(cast(cast(xmin as text) as bigint)) as written from organizations
    union all
    select 2, count(*), sum(cast(cast(xmin as text) as bigint)) from organization_history
    union all
    select 3, count(*), sum(cast(cast(xmin as text) as bigint)) from organization_links
    union all
    select 4, count(*), sum(cast(cast(xmin as text) as bigint)) from subscriptions
    union all
    select 5, count(*), sum(cast(cast(xmin as text) as bigint)) from one_off_items
    union all
    select 6, count(*), sum(cast(cast(xmin as text) as bigint)) from prices
    union all
    select 7, count(*), sum(cast(cast(xmin as text) as bigint)) from meters
    union all
    select 8, count(*), sum(cast(cast(xmin as text) as bigint)) from negotiated_prices
    union all
    select 9, count(*), sum(cast(cast(xmin as text) as bigint)) from price_group_members
    union all
    select 10, count(*), sum(cast(cast(xmin as text) as bigint)) from discounts
    union all
    select 11, count(*), sum(cast(cast(xmin as text) as bigint)) from coupons
    union all
    select 12, count(*), sum(cast(cast(xmin as text) as bigint)) from commitments
    union all
    select 13, count(*), sum(cast(cast(xmin as text) as bigint)) from credit_grants
    union all
    select 14, count(*), sum(cast(cast(xmin as text) as bigint)) from credit_entries
    union all
    select 15, count(*), sum(cast(cast(xmin as text) as bigint)) from tax_rates
    union all
    select 16, count(*), sum(cast(cast(xmin as text) as bigint)) from tax_customers
    union all
    select 17, count(*), sum(cast(cast(xmin as text) as bigint)) from adjustments
) as tables;

-- One row per payer of these groups that existed before the month's end, and per organization that it pays for in this
-- month, the payer first: its currency and price book in this month, its current usage snapshot, the problem of its
-- rollups if they are damaged, and the payer's latest invoice. An organization with an invalid creation time is
-- included, so that billing refuses it instead of skipping it.
with held as (
    select distinct on (organization_id) organization_id, currency, price_book
    from organization_history
    where before_month > :month
    order by organization_id, before_month
),

members as (
    select
        id, coalesce(l.payer_id, id) as payer_id, coalesce(held.currency, organizations.currency) as currency,
        coalesce(held.price_book, organizations.price_book) as price_book, organizations.currency as currency_now,
        created_at
    from organizations
    left join organization_links as l
        on l.organization_id = organizations.id
        and daterange(l.first_month, l.last_month, '[]') @> cast(:month as date)
    left join held on held.organization_id = organizations.id
    where created_at < :month_end or not isfinite(created_at)
),

latest as (
    select distinct on (organization_id) organization_id, revision, status
    from invoices
    where month = :month
    order by organization_id, revision desc
)

select
    members.payer_id, members.id, members.currency, members.price_book, members.currency_now, members.created_at,
    usage_as_of.snapshot_id, usage_as_of.rolled_up_at, usage_as_of.lake_version as usage_table_version,
    rollup_failures.reason as rollup_problem,
    coalesce(latest.revision, 0) as revision, latest.status as invoice_status
from members
join organizations as payers on payers.id = members.payer_id
left join usage_as_of
    on usage_as_of.organization_id = members.id and usage_as_of.month = :month and usage_as_of.is_current
left join rollup_failures
    on rollup_failures.organization_id = members.id and rollup_failures.month = :month
left join latest on latest.organization_id = members.payer_id
where payers.billing_group = any (:groups)
order by members.payer_id, members.id <> members.payer_id, members.id

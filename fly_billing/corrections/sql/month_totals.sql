-- name: invoice_counts
-- One row per billing group: what its invoices of the month rest on. `currencies` are those that its organizations and
-- these invoices have, `accepted` the events that the invoices bill, `rejected` the rows that name its organizations
-- and that nobody fixed or waived, `adjustments` the corrections of these invoices, `failures` its organizations that
-- can't be billed.
with members as (
    select id, billing_group, currency from organizations where billing_group = any (:groups)
),

of_month as (
    select i.id, i.currency, m.billing_group
    from invoices as i
    join members as m on m.id = i.organization_id
    where i.month = :month and i.status <> 'void'
),

currencies as (
    select billing_group, array_agg(distinct currency order by currency) as names
    from (
        select billing_group, cast(currency as text) as currency from members
        union
        select billing_group, cast(currency as text) from of_month
    ) as seen
    group by billing_group
),

accepted as (
    select o.billing_group, sum(s.events) as number
    from of_month as o
    join invoice_snapshots as b on b.invoice_id = o.id
    join usage_snapshots as s on s.id = b.snapshot_id
    group by o.billing_group
),

rejected as (
    select m.billing_group, count(*) as number
    from unresolved_rejections as u
    join members as m on m.id = u.organization_id
    where u.usage_day >= :month and u.usage_day < :until
    group by m.billing_group
),

adjusted as (
    select m.billing_group, count(*) as number
    from adjustments as a
    join members as m on m.id = a.payer_id
    where a.month = :month
    group by m.billing_group
),

failed as (
    select m.billing_group, count(*) as number
    from billing_failures as f
    join members as m on m.id = f.organization_id
    where f.month = :month
    group by m.billing_group
)

select
    c.billing_group, c.names as currencies, cast(coalesce(accepted.number, 0) as bigint) as accepted,
    coalesce(rejected.number, 0) as rejected, coalesce(adjusted.number, 0) as adjustments,
    coalesce(failed.number, 0) as failures
from currencies as c
left join accepted on accepted.billing_group = c.billing_group
left join rejected on rejected.billing_group = c.billing_group
left join adjusted on adjusted.billing_group = c.billing_group
left join failed on failed.billing_group = c.billing_group;

-- name: invoice_sums
-- One row per billing group and currency: its invoices of the month, void ones excluded. `tax_cents` includes taxes
-- that prices contain.
with of_month as (
    select i.id, i.currency, i.status, i.total_cents, o.billing_group
    from invoices as i
    join organizations as o on o.id = i.organization_id
    where i.month = :month and i.status <> 'void' and o.billing_group = any (:groups)
),

items as (
    select t.invoice_id, count(*) as number
    from of_month as i
    join invoice_items as t on t.invoice_id = i.id
    group by t.invoice_id
),

taxes as (
    select x.invoice_id, sum(x.tax_cents) as cents
    from of_month as i
    join invoice_taxes as x on x.invoice_id = i.id
    group by x.invoice_id
)

select
    i.billing_group, cast(i.currency as text) as currency, count(*) as invoices,
    count(*) filter (where i.status <> 'open') as final,
    cast(coalesce(sum(items.number), 0) as bigint) as items,
    cast(sum(i.total_cents) as bigint) as total_cents,
    cast(coalesce(sum(taxes.cents), 0) as bigint) as tax_cents
from of_month as i
left join items on items.invoice_id = i.id
left join taxes on taxes.invoice_id = i.id
group by i.billing_group, i.currency;

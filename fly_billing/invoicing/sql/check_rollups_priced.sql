-- One row per usage rollup of a billed snapshot that no item or several items price; per item whose quantity (before
-- its price transformed it) is not the sum of its rollups; and per usage rollup that several invoices bill, void ones
-- aside. `offset 0` has Postgres read each invoice's rows by index, however long the history is. A link's item is on the
-- link's invoice (a foreign key).
with billed as materialized (
    select invoices.id, invoices.organization_id, invoices.status
    from invoices
    join organizations on organizations.id = invoices.organization_id
    where invoices.month = :month and organizations.billing_group = any (:groups)
),

links as materialized (
    select billed.organization_id, billed.status, l.invoice_id, l.rollup_id, l.item_id
    from billed
    cross join lateral (select * from invoice_item_rollups where invoice_id = billed.id offset 0) as l  -- noqa: AM09
),

rolled_up as materialized (
    select billed.organization_id, r.id, r.quantity, links.item_id
    from billed
    join invoice_snapshots as s on s.invoice_id = billed.id
    cross join lateral (select id, quantity from usage_rollups where snapshot_id = s.snapshot_id offset 0) as r  -- noqa: AM09
    left join links on links.invoice_id = billed.id and links.rollup_id = r.id
),

priced_wrongly as (
    select organization_id, id, count(item_id) as items
    from rolled_up
    group by organization_id, id
    having count(item_id) <> 1
),

sums as (
    select item_id, count(*) as rollups, sum(quantity) as quantity
    from rolled_up
    where item_id is not null
    group by item_id
),

repeated as materialized (
    select *
    from links
    where exists (
        select from invoice_item_rollups as other
        where other.rollup_id = links.rollup_id and other.invoice_id <> links.invoice_id
    )
)

select p.organization_id, r.meter, r.dimensions::text as dimensions, p.items, r.quantity
from priced_wrongly as p
join usage_rollups as r on r.id = p.id
union all
select billed.organization_id, t.description, 'quantity of item ' || t.position, coalesce(sums.rollups, 0), t.quantity
from billed
cross join lateral (
    select id, description, position, quantity, detail from invoice_items
    where invoice_id = billed.id and kind = 'usage' offset 0  -- noqa: AM09
) as t
left join sums on sums.item_id = t.id
where coalesce(sums.quantity, 0) <> coalesce(cast(t.detail -> 'transformed' ->> 'used' as numeric), t.quantity)
union all
select repeated.organization_id, r.meter, r.dimensions::text, count(*) over (partition by r.id), r.quantity
from repeated
join usage_rollups as r on r.id = repeated.rollup_id
where repeated.status <> 'void'
    and exists (
        select from invoice_item_rollups as other
        join invoices as billing on billing.id = other.invoice_id
        where other.rollup_id = repeated.rollup_id and other.invoice_id <> repeated.invoice_id
            and billing.status <> 'void'
    )
order by organization_id, meter, dimensions

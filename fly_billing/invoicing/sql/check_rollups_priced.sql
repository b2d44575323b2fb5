-- One row per usage rollup of a billed snapshot that no item or several items price; per item whose quantity (before
-- its price transformed it) is not the sum of its rollups; and per usage rollup that several invoices bill, void ones
-- aside.
select invoices.organization_id, r.meter, r.dimensions::text as dimensions, count(l.item_id) as items, r.quantity
from invoices
join organizations on organizations.id = invoices.organization_id
join invoice_snapshots as s on s.invoice_id = invoices.id
join usage_rollups as r on r.snapshot_id = s.snapshot_id
left join invoice_item_rollups as l on l.invoice_id = invoices.id and l.rollup_id = r.id
where invoices.month = :month and organizations.billing_group = any (:groups)
group by invoices.organization_id, r.id
having count(l.item_id) <> 1
union all
select invoices.organization_id, t.description, 'quantity of item ' || t.position, count(r.id), t.quantity
from invoices
join organizations on organizations.id = invoices.organization_id
join invoice_items as t on t.invoice_id = invoices.id and t.kind = 'usage'
left join invoice_item_rollups as l on l.item_id = t.id
left join invoice_snapshots as s on s.invoice_id = invoices.id
left join usage_rollups as r on r.id = l.rollup_id and r.snapshot_id = s.snapshot_id
where invoices.month = :month and organizations.billing_group = any (:groups)
group by invoices.organization_id, t.id
having coalesce(sum(r.quantity), 0) <> coalesce(cast(t.detail -> 'transformed' ->> 'used' as numeric), t.quantity)
union all
select
    invoices.organization_id, r.meter, r.dimensions::text, count(*) over (partition by r.id), r.quantity
from invoices
join organizations on organizations.id = invoices.organization_id
join invoice_item_rollups as l on l.invoice_id = invoices.id
join usage_rollups as r on r.id = l.rollup_id
where invoices.month = :month and organizations.billing_group = any (:groups) and invoices.status <> 'void'
    and exists (
        select from invoice_item_rollups as other
        join invoices as billing on billing.id = other.invoice_id
        where other.rollup_id = l.rollup_id and other.invoice_id <> l.invoice_id and billing.status <> 'void'
    )

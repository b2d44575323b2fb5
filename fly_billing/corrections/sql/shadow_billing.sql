-- name: billed_adjustments
-- One row per adjustment on an invoice of this month. Not here: void invoices.
select
    a.payer_id as organization_id, a.organization_id as about, a.id, a.month, a.product, a.description, a.amount,
    a.currency,
    a.causes, coalesce(g.pays = 'gross', false) as is_after_tax
from invoice_items as t
join invoices as i on i.id = t.invoice_id
join adjustments as a on a.id = t.adjustment_id
left join credit_grants as g on g.id = a.credit_grant_id
where i.month = :month and i.status <> 'void'
order by a.payer_id, a.month, a.made_at, a.id;

-- name: billed_by_product
-- One row per product of each payer's invoice of this month, open or final; one row without product for an invoice without
-- items. Not here: void invoices.
select
    i.organization_id, o.name as organization_name, i.currency, i.total_cents, t.product,
    coalesce(sum(t.amount_cents), 0) as cents
from invoices as i
join organizations as o on o.id = i.organization_id
left join invoice_items as t on t.invoice_id = i.id
where i.month = :month and i.status <> 'void' and i.origin = 'billed'
group by i.id, i.organization_id, o.name, i.currency, i.total_cents, t.product
order by i.organization_id, t.product;

-- name: billed_one_offs
-- One row per one-off item on an invoice of this month. Not here: void invoices.
select t.organization_id, o.id, o.description, o.amount, o.currency, o.quantity, o.unit, o.unit_amount, t.product,
    t.period_start, t.period_end
from invoice_items as t
join invoices as i on i.id = t.invoice_id
join one_off_items as o on o.id = t.one_off_item_id
where i.month = :month and i.status <> 'void'
order by t.organization_id, o.occurred_at, o.id;

-- name: billed_snapshots
-- One row per usage snapshot that an invoice of this month billed, also if it is not current any more. Not here: void
-- invoices.
select s.snapshot_id
from invoice_snapshots as s
join invoices as i on i.id = s.invoice_id
where i.month = :month and i.status <> 'void';

-- name: days_of_rollups
-- One row per usage rollup: the quantity of each day of its month, in order; null if it was not stored.
select id, daily from usage_rollups where id = any (:ids);

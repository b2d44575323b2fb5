-- One row per item of these invoices that concerns the organization, in order: all of its own invoices, and its own
-- lines on those of its payer.
select
    t.id, t.invoice_id, t.kind, t.organization_id, t.product, t.description, t.quantity, t.unit, t.amount, t.amount_cents,
    t.period_start, t.period_end, t.detail, one_off_items.occurred_at
from invoice_items as t
join invoices as i on i.id = t.invoice_id
left join one_off_items on one_off_items.id = t.one_off_item_id
where t.invoice_id = any (:ids) and :organization_id in (i.organization_id, t.organization_id)
order by t.invoice_id, t.position

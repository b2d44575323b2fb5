-- One row per one-off item on an invoice of this month; void ones are left out.
select t.organization_id, o.id, o.description, o.amount, o.currency, o.quantity, o.unit, o.unit_amount, t.product
from invoice_items as t
join invoices as i on i.id = t.invoice_id
join one_off_items as o on o.id = t.one_off_item_id
where i.month = :month and i.status <> 'void'
order by t.organization_id, o.occurred_at, o.id

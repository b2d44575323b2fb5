-- One row: the invoice that the item is on, and the item's place on it.
select i.id, i.organization_id, i.month, i.revision, i.number, i.origin, i.status, i.currency, i.total_cents, t.position
from invoice_items as t
join invoices as i on i.id = t.invoice_id
where t.id = :item_id

-- One row per item of these invoices, in the invoice's order.
select id, invoice_id, kind, product, description, quantity, unit, amount_cents, detail
from invoice_items
where invoice_id = any (:ids)
order by invoice_id, position

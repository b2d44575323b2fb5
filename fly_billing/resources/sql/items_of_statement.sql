-- One row per item of these invoices, in order.
select product, description, quantity, unit, amount, amount_cents, detail
from invoice_items
where invoice_id = any (:ids)
order by invoice_id, position

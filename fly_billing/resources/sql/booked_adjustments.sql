-- One row per invoice and thing that was adjusted: the sum of its adjustments.
select invoice_id, item_key, sum(amount) as amount
from adjustments
where invoice_id = any (:invoices)
group by invoice_id, item_key

-- One row per adjustment of these invoices: how much of it was taxed at which rates, where that differs by item.
select invoice_id, item_key, detail -> 'taxed' as taxed
from adjustments
where invoice_id = any (:invoices)

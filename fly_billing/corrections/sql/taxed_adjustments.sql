-- One row per adjustment of these invoices: how much of it was taxed at which rates, where that differs by item. What went
-- back to credits is left out: it is taxed like what they had paid.
select invoice_id, item_key, detail -> 'taxed' as taxed
from adjustments
where invoice_id = any (:invoices) and credit_grant_id is null

-- One row per invoice that a person left as it is, and up to which change of terms.
select invoice_id, max(up_to_change) as up_to_change
from term_decisions
where invoice_id = any (:invoices)
group by invoice_id

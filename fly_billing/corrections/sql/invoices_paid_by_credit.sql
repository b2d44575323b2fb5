-- One row per invoice of these of which credit paid something, or something of an adjustment.
select i.id
from unnest(cast(:invoices as uuid[])) as i (id)
where exists (select from credit_entries as e where e.invoice_id = i.id)
    or exists (
        select from adjustments as a
        join invoice_items as t on t.adjustment_id = a.id
        join credit_entries as e on e.invoice_id = t.invoice_id
        where a.invoice_id = i.id
    )

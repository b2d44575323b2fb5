-- One row per invoice of this list with something to pay of which the journal knows no request, nor a new beginning.
select i.id
from invoices as i
left join stripe_invoices as s on s.invoice_id = i.id
where i.id = any (:ids) and i.total_cents <> 0 and coalesce(s.generation, 0) = 0 and s.stripe_invoice_id is null
    and not exists (select from stripe_attempts as a where a.invoice_id = i.id and a.step <> 'create_customer')

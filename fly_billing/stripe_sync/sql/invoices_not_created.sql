-- One row per invoice of this list with something to pay that the journal knows nothing of in Stripe: it has no id
-- there, and no create under its generation that Stripe may have taken. (One that may have been taken is sent again
-- under its key.)
select i.id
from invoices as i
left join stripe_invoices as s on s.invoice_id = i.id
where i.id = any (:ids) and i.total_cents <> 0 and s.stripe_invoice_id is null
    and not exists (
        select from stripe_attempts as a
        where a.invoice_id = i.id and a.step = 'create' and a.generation = coalesce(s.generation, 0)
            and a.outcome is distinct from 'not_applied'
    )

-- stripe_event_standing
-- One row, or none: the invoice of ours that an event is about, locked until the transaction ends. Known by its id in
-- Stripe, or else by the id of ours that it carries there. `is_own_request`: a sync or a repair of ours made it happen.
select
    i.id, i.status, i.origin, s.state as stripe_state, s.stripe_invoice_id,
    exists (select from stripe_attempts as a where a.idempotency_key = :idempotency_key) as is_own_request
from invoices as i
left join stripe_invoices as s on s.invoice_id = i.id
where i.id = coalesce(
    (select known.invoice_id from stripe_invoices as known where known.stripe_invoice_id = :object_id),
    cast(:invoice_id as uuid)
)
for update of i

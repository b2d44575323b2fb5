-- stripe_events_waiting
-- One row per event that waited for our sync and need wait no longer, oldest first.
select e.id, e.type, e.created_at as created, e.object_id, e.livemode, e.invoice_id, e.idempotency_key, e.paid_at,
    e.next_attempt_at, e.error, e.error_code
from stripe_events as e
join stripe_invoices as s on s.invoice_id = e.invoice_id
where e.outcome = 'waiting' and s.state in ('finalized', 'skipped_zero')
order by e.created_at, e.id

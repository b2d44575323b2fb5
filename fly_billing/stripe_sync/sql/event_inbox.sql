-- name: stripe_event_add
-- stripe_event_add
-- One row if the event is new, none if it was recorded before.
insert into stripe_events (
    id, type, created_at, received_at, source, object_id, invoice_id, livemode, idempotency_key, paid_at,
    next_attempt_at, error, error_code, outcome, reason, code, customer_text, operator_text
)
values (
    :id, :type, :created, :now, :source, :object_id, :invoice_id, :livemode, :idempotency_key, :paid_at,
    :next_attempt_at, :error, :error_code, :outcome, :reason, :code, :customer_text, :operator_text
)
on conflict do nothing
returning id;

-- name: stripe_event_known
-- stripe_event_known
-- One row per event of these that is recorded already.
select id from stripe_events where id = any (:ids);

-- name: stripe_event_settle
-- stripe_event_settle
-- One row if the event was still waiting: it gets its outcome, or the reason to keep waiting.
update stripe_events set
    outcome = :outcome, reason = :reason, code = :code, customer_text = :customer_text, operator_text = :operator_text,
    alerted_at = null
where id = :id and outcome = 'waiting'
returning id;

-- name: stripe_event_standing
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
for update of i;

-- name: stripe_event_status
-- stripe_event_status
-- No rows. The invoice takes the status that Stripe gave it; the database refuses one that can't follow.
update invoices set
    status = :status, paid_at = case when :status = 'paid' then cast(:paid_at as timestamptz) end
where id = :invoice_id;

-- name: stripe_events_mark_polled
-- stripe_events_mark_polled
-- No rows. All events until then were read; it never goes back.
insert into stripe_events_polled (until) values (:until)
on conflict (only_row) do update set until = greatest(stripe_events_polled.until, excluded.until);

-- name: stripe_events_polled
-- stripe_events_polled
-- One row, or none before the first poll: all events that Stripe made before then were read.
select until from stripe_events_polled;

-- name: stripe_events_waiting
-- stripe_events_waiting
-- One row per event that waited for our sync and need wait no longer, or that our invoice's row could not take
-- (`was_refused`), oldest first.
select e.id, e.type, e.created_at as created, e.object_id, e.livemode, e.invoice_id, e.idempotency_key, e.paid_at,
    e.next_attempt_at, e.error, e.error_code, e.code is not null as was_refused
from stripe_events as e
join stripe_invoices as s on s.invoice_id = e.invoice_id
where e.outcome = 'waiting' and (s.state in ('finalized', 'skipped_zero') or e.code is not null)
order by e.created_at, e.id;

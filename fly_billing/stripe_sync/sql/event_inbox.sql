-- name: record_stripe_event
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

-- name: recorded_stripe_events
-- One row per event of this list that is already recorded.
select id from stripe_events where id = any (:ids);

-- name: settle_stripe_event
-- One row if the event was still waiting. Sets its outcome, or the reason why it keeps waiting.
update stripe_events set
    outcome = :outcome, reason = :reason, code = :code, customer_text = :customer_text, operator_text = :operator_text,
    alerted_at = null
where id = :id and outcome = 'waiting'
returning id;

-- name: invoice_of_stripe_event
-- One row or none: our invoice that an event is about, locked until the transaction ends. It is found by its Stripe id,
-- or else by our invoice id in the metadata of the Stripe invoice. `is_own_request` is true if one of our syncs or
-- repairs caused the event. The lock lets other transactions refer to the invoice: one that records money first locks the
-- organization and then refers to the invoice, and this one locks them in the other order.
select
    i.id, i.status, i.origin, s.state as stripe_state, s.stripe_invoice_id,
    exists (select from stripe_attempts as a where a.idempotency_key = :idempotency_key) as is_own_request
from invoices as i
left join stripe_invoices as s on s.invoice_id = i.id
where i.id = coalesce(
    (select known.invoice_id from stripe_invoices as known where known.stripe_invoice_id = :object_id),
    cast(:invoice_id as uuid)
)
for no key update of i;

-- name: set_time_at_stripe
-- One row. When the change happened at Stripe that this transaction makes: its accounting month is the one of that time.
select set_config('fly_billing.happened_at', :happened_at, true);

-- name: set_invoice_status
-- No rows. Sets the invoice's status to the one in Stripe. A trigger refuses a status that can't follow the current
-- one.
update invoices set
    status = :status, paid_at = case when :status = 'paid' then cast(:paid_at as timestamptz) end
where id = :invoice_id;

-- name: advance_stripe_poll_position
-- No rows. Records that all events before :until were read. The position never moves back.
insert into stripe_events_polled (until) values (:until)
on conflict (only_row) do update set until = greatest(stripe_events_polled.until, excluded.until);

-- name: stripe_poll_position
-- One row, or none before the first poll: all events that Stripe created before `until` were read.
select until from stripe_events_polled;

-- name: waiting_stripe_events
-- One row per event, oldest first, that waited for our sync and can be applied now, or whose change the database
-- refused (`was_refused`).
select e.id, e.type, e.created_at as created, e.object_id, e.livemode, e.invoice_id, e.idempotency_key, e.paid_at,
    e.next_attempt_at, e.error, e.error_code, e.code is not null as was_refused
from stripe_events as e
join stripe_invoices as s on s.invoice_id = e.invoice_id
where e.outcome = 'waiting' and (s.state in ('finalized', 'skipped_zero') or e.code is not null)
order by e.created_at, e.id;

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
returning id

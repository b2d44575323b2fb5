-- One row: the id of the repair that is about to be made.
insert into stripe_repairs (stripe_invoice_id, claimed_invoice_id, step, idempotency_key, request_hash, run_id, sent_at)
values (:stripe_invoice_id, :claimed_invoice_id, :step, :idempotency_key, :request_hash, :run_id, :now)
returning id

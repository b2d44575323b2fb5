-- One row: the id of the attempt that is about to be made.
insert into stripe_attempts (invoice_id, step, generation, idempotency_key, request_hash, sent_at)
values (:invoice_id, :step, :generation, :idempotency_key, :request_hash, :now)
returning id
